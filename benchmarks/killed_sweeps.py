"""Whether sweeps that are killed at random moments end with what was asked for, once, and leave nothing behind.

    python benchmarks/killed_sweeps.py --case group --kills 20
    .ci/with_postgres python benchmarks/killed_sweeps.py --case workers --kills 20

Every case gives the real command on images that the program draws. `group` kills all processes of a sweep with SIGKILL
and gives the command again; `parent` kills the one that started two workers; `workers` kills random ones of four that
share a PostgreSQL server, while their parent goes on; `twins` starts the same command twice at once and kills one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archsearch.processor import processor_name
from archsearch.search.storage.database import open_store
from archsearch.search.storage.study import load_study, study_names

EPOCHS = 4
SPACE = [f"arch.stages.{stage}.width=choice(8,12,16,20,24,28)" for stage in ("c1", "c2", "c3")]
SMALL = [
    *("data=shapes", "data.shapes.train_images=120", "data.shapes.test_images=40", f"train.epochs={EPOCHS}"),
    *("train.batch_size=20", "train.compile=false", "train.threads=1", "train.device=cpu"),
]
WORKERS = {"group": 1, "parent": 2, "workers": 4, "twins": 1}
LONGEST = {"group": 14.0, "parent": 18.0, "workers": 9.0, "twins": 14.0}  # seconds from one kill to the next


@dataclass(slots=True)
class Found:
    """What was seen on the way: kills, and by trial the moment at which its result was written."""

    kills: int = 0
    starts: int = 0
    spared: int = 0  # kills that found the sweep at its end
    results: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def main() -> None:
    """Run one case and print what was found; exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=sorted(WORKERS), default="group")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    storage, name = "sqlite:///outputs/studies.db", f"killed-{uuid.uuid4().hex[:8]}"
    if options.case == "workers":
        if "ARCHSEARCH_POSTGRES" not in os.environ:
            sys.exit("workers: set ARCHSEARCH_POSTGRES, or start this through .ci/with_postgres")
        storage = os.environ["ARCHSEARCH_POSTGRES"]
    settings = [f"study.storage='{storage}'", f"study.name={name}", f"study.trials={options.trials}"]
    settings += [f"study.workers={WORKERS[options.case]}", "sampler=random"]
    command = [sys.executable, "-m", "archsearch.run", "-m", *SMALL, *SPACE, *settings]
    mark = uuid.uuid4().hex
    environment = {**os.environ, "KILLED_SWEEPS": mark, "OMP_NUM_THREADS": "1"}
    rng, found, begin = random.Random(options.seed), Found(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        {"workers": kill_workers, "twins": kill_twin}.get(options.case, kill_whole)(
            command, environment, rng, options.kills, found, whole=options.case == "group"
        )
        code = start(command, environment, found).wait()
        if code != 0:
            found.faults.append(f"the last command ended with exit code {code}:\n{Path('said').read_text()[-2000:]}")
        time.sleep(2)
        found.faults += [f"process {pid} is left" for pid in marked(mark)]
        trials = evaluator(storage, name, options.trials, found)
    seconds = time.monotonic() - begin
    print(
        f"case {options.case}: {WORKERS[options.case]} workers, {found.kills} kills, the command given {found.starts} "
        f"times, {seconds:.0f} s; {found.spared} kills fell on a sweep that had ended"
    )
    print(f"trials: {trials}")
    print("faults:", *(found.faults or ["none"]), sep="\n  ")
    print(f"{processor_name()}, {os.cpu_count()} cores, Python {platform.python_version()}, seed {options.seed}")
    sys.exit(bool(found.faults))


def start(command: list[str], environment: Mapping[str, str], found: Found) -> subprocess.Popen[bytes]:
    """Start the sweep in a process group of its own; what it says goes into the file `said`."""
    found.starts += 1
    with Path("said").open("ab") as said:
        return subprocess.Popen(command, env=dict(environment), stdout=said, stderr=said, start_new_session=True)


def kill_whole(
    command: list[str], environment: Mapping[str, str], rng: random.Random, kills: int, found: Found, *, whole: bool
) -> None:
    """Kill all of a sweep, or the process that was started, at a random moment, `kills` times."""
    for _ in range(kills):
        process = start(command, environment, found)
        try:
            process.wait(rng.uniform(0.5, LONGEST["group" if whole else "parent"]))
            found.spared += 1
        except subprocess.TimeoutExpired:
            if whole:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        process.wait()
        found.kills += 1
        note_results(found)


def kill_twin(
    command: list[str], environment: Mapping[str, str], rng: random.Random, kills: int, found: Found, *, whole: bool
) -> None:
    """Keep the same command running twice, and kill one of the two at a random moment, `kills` times."""
    del whole
    twins = [start(command, environment, found) for _ in range(2)]
    for _ in range(kills):
        time.sleep(rng.uniform(0.5, LONGEST["twins"]))
        place = rng.randrange(2)
        found.spared += twins[place].poll() is not None
        twins[place].kill()
        twins[place].wait()
        found.kills += 1
        note_results(found)
        twins[place] = start(command, environment, found)
    for twin in twins:
        if code := twin.wait():
            found.faults.append(f"a twin ended with exit code {code}")


def kill_workers(
    command: list[str], environment: Mapping[str, str], rng: random.Random, kills: int, found: Found, *, whole: bool
) -> None:
    """Kill one of the worker processes at a random moment, `kills` times, while the sweep goes on."""
    del whole
    process = start(command, environment, found)
    while found.kills < kills:
        time.sleep(rng.uniform(0.5, LONGEST["workers"]))
        if process.poll() is not None:
            found.spared += 1
            break
        workers = list(workers_of(process.pid))
        if workers:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rng.choice(workers), signal.SIGKILL)
                found.kills += 1
        note_results(found)
    if code := process.wait():
        found.faults.append(f"the sweep ended with exit code {code}:\n{Path('said').read_text()[-2000:]}")


def workers_of(parent: int) -> Iterator[int]:
    """Yield the worker processes of a sweep."""
    for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                yield int(child)


def marked(mark: str) -> Iterator[int]:
    """Yield the processes that this program has started, or that those have."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"KILLED_SWEEPS={mark}".encode() in (folder / "environ").read_bytes():
                yield int(folder.name)


def note_results(found: Found) -> None:
    """Note which results are there, and whether one was written again."""
    for file in Path("outputs/sweeps").glob("*/*/result.json"):
        moment = file.stat().st_mtime_ns
        if found.results.setdefault(str(file), moment) != moment:
            found.faults.append(f"{file} was written twice")
            found.results[str(file)] = moment


def evaluator(storage: str, name: str, asked: int, found: Found) -> str:
    """Compare the study with what was asked for; return its trials by what became of them."""
    note_results(found)
    store = open_store(storage)
    try:
        assert name in study_names(store), "the last command has made it"
        trials = load_study(store, name).trials()
    finally:
        store.close()
    states = Counter(trial.user_attrs.get("state_reason", trial.state.name) for trial in trials)
    trained: list[Any] = [trial for trial in trials if trial.user_attrs.get("state_reason") == "complete"]
    if len(trained) != asked:
        found.faults.append(f"{len(trained)} trials are complete, {asked} were asked for")
    for trial in trials:
        attrs = trial.user_attrs
        if attrs.get("state_reason") not in ("complete", "infeasible"):
            said = f"{trial.state.name}, {attrs.get('cause')}"
            found.faults.append(f"trial {trial.number}: {said}\n{attrs.get('traceback', '')}")
    keys = Counter(trial.user_attrs["key"] for trial in trained)
    found.faults += [f"{key} was trained {count} times" for key, count in keys.items() if count > 1]
    for trial in trained:
        folder = Path(trial.user_attrs["run_dir"])
        lines = (folder / "metrics.jsonl").read_text().splitlines() if folder.is_dir() else []
        if len(lines) != EPOCHS or sorted(trial.intermediate_values) != list(range(1, EPOCHS + 1)):
            found.faults.append(f"trial {trial.number}: {len(lines)} lines, epochs {[*trial.intermediate_values]}")
    folders = len(list(Path("outputs/sweeps").glob("*/[0-9]*")))
    if folders != len(trained):
        found.faults.append(f"{folders} folders of trials")
    deaths = sum("deaths" in trial.user_attrs for trial in trials)
    return f"{dict(states)}, {len(keys)} different trainings, {deaths} of them lost a worker on the way"


if __name__ == "__main__":
    main()
