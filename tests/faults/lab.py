"""Commands that tests disturb: each in a folder of its own, killed, given again, and compared with what must hold."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from invariants import digests_below, output_faults, study_faults, trials_of

from archsearch.settings.study import StudySettings

Point = tuple[str, int]
LONGEST = 300.0  # seconds that a command may take on the busiest machine
SMALL = (
    "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "arch=quick", "constraints=none",
    "arch.width=0.25", "train.epochs=2", "train.batch_size=20", "train.device=cpu", "train.threads=1",
    "train.kernels=torch", "train.compile=false", "train.checkpoint_seconds=0.001",
)  # fmt: skip
WIDTHS = {"arch.stages.c1.width": (32, 64), "arch.stages.c2.width": (64, 96, 128)}
RUN_DIR = "outputs/run"
KINDS = ("run", "list", "search", "workers")
"""A single run, a list of designs, a sampled search by one process, and one by two worker processes."""
ASKED = {"run": 1, "list": 3, "search": 3, "workers": 4}
HAS_PATIENCE = "patience" in StudySettings.__dataclass_fields__
QUICK = [("archsearch.search.storage.database", "BUSY_SECONDS", 1.0)]
"""Settings of modules for a test of a locked database: otherwise a writer waits a minute before it complains."""


class Warm:
    """The process that forks commands; see warm.py."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "warm.log"
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "PYTHONDONTWRITEBYTECODE": "1"}
        environment.pop("HYDRA_FULL_ERROR", None)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("warm.py"))],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, start_new_session=True,
            )  # fmt: skip
        self.codes: dict[int, int] = {}
        self._buffer = b""
        self._ready: list[dict[str, Any]] = []
        self._expect("ready")

    def start(self, arguments: list[str], folder: Path, **more: Any) -> Command:
        """Start a command in `folder`; its output goes into a file of its own below `folder/harness`."""
        place = folder / "harness"
        place.mkdir(parents=True, exist_ok=True)
        output = place / f"{len(list(place.glob('*.out'))):03d}.out"
        self._send({"arguments": arguments, "folder": str(folder), "output": str(output), **more})
        command = Command(self, self._expect("started")["pid"], output)
        until = time.monotonic() + LONGEST
        while not output.with_suffix(".started").exists() and command.poll() is None and time.monotonic() < until:
            time.sleep(0.002)
        command.begun = time.monotonic()
        return command

    def preload(self, modules: Path) -> None:
        """Have the process import what a command wrote into `modules` at its end."""
        self._send({"preload": json.loads(modules.read_text())})

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None, "a pipe"
        self.process.stdin.close()
        self.process.wait(30)
        assert self.process.stdout is not None, "a pipe"
        self.process.stdout.close()

    def receive(self, timeout: float) -> None:
        """Take in the events that have come, waiting for one at most `timeout` seconds."""
        assert self.process.stdout is not None, "a pipe"
        if not select.select([self.process.stdout], [], [], timeout)[0]:
            return
        received = os.read(self.process.stdout.fileno(), 65536)
        if not received:
            raise AssertionError(f"the warm process has ended: {self.log.read_text()[-2000:]}")
        *lines, self._buffer = (self._buffer + received).split(b"\n")
        for event in map(json.loads, lines):
            if event["event"] == "ended":
                self.codes[event["pid"]] = event["code"]
            else:
                self._ready.append(event)

    def _send(self, request: dict[str, Any]) -> None:
        assert self.process.stdin is not None, "a pipe"
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()

    def _expect(self, event: str) -> dict[str, Any]:
        until = time.monotonic() + LONGEST
        while not self._ready and time.monotonic() < until:
            self.receive(1.0)
        found = self._ready.pop(0)
        assert found["event"] == event, found
        return found


@dataclass(eq=False)
class Command:
    """A started command, the leader of a process group."""

    warm: Warm
    pid: int
    output: Path
    begun: float = 0.0

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while it runs."""
        self.warm.receive(0)
        return self.warm.codes.get(self.pid)

    def wait(self, timeout: float = LONGEST) -> int | None:
        """Return the exit code, or None where it still runs after `timeout` seconds."""
        until = time.monotonic() + timeout
        while (code := self.poll()) is None and (left := until - time.monotonic()) > 0:
            self.warm.receive(min(left, 1.0))
        return code

    def kill(self) -> bool:
        """Kill the whole process group; return whether the command was still running."""
        running = self.poll() is None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.wait()
        return running

    def signal(self, number: int) -> None:
        """Send a signal to the command's process alone."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def processes(self) -> list[int]:
        """Return the processes of its group that live, the command first."""
        found: list[int] = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = stat.read_text().rpartition(")")[2].split()
                if int(fields[2]) == self.pid and fields[0] != "Z":
                    found.append(int(stat.parent.name))
        return sorted(found, key=lambda pid: (pid != self.pid, pid))

    @property
    def text(self) -> str:
        """What it has printed so far."""
        return self.output.read_text(errors="replace")


@dataclass
class Reference:
    """Of undisturbed commands in this session: lengths and points by kind, and the weights of every design."""

    seconds: dict[str, float] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    points: dict[str, list[Point]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Reference:
        """Return what was written as JSON."""
        raw = json.loads(file.read_text())
        points = {kind: [(label, count) for label, count in each] for kind, each in raw["points"].items()}
        return cls(raw["seconds"], raw["digests"], points)

    def point(self, kind: str, pattern: str, *, last: bool = False) -> Point:
        """Return the first point, or the last one, of a kind of command whose label matches `pattern`."""
        found = [point for point in self.points[kind] if re.fullmatch(pattern, point[0])]
        assert found, f"no point of {kind} is like '{pattern}': {sorted({label for label, _ in self.points[kind]})}"
        return found[-1 if last else 0]


@dataclass
class Lab:
    """One command of one kind in a folder of its own, and all that was seen of it."""

    warm: Warm
    folder: Path
    kind: str
    storage: str = "sqlite:///outputs/studies.db"
    patience: float = 60.0
    beating: tuple[float, float] = (0.5, 30.0)  # seconds of study.heartbeat and study.grace
    commands: list[Command] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    written: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.study = f"{self.kind}-{self.folder.name}-{os.getpid()}"

    @property
    def arguments(self) -> list[str]:
        """The command line of a study that nobody else uses."""
        both = [*SMALL, f"study.storage='{self.storage}'", f"study.name={self.study}"]
        if HAS_PATIENCE:
            both.append(f"study.patience={self.patience:g}")
        if self.kind == "run":
            return [*both, f"hydra.run.dir={RUN_DIR}"]
        if self.kind == "list":
            return ["-m", *both, "arch.stages.c2.width=64,96,128"]
        space = [f"{key}=choice({','.join(map(str, values))})" for key, values in WIDTHS.items()]
        workers = 2 if self.kind == "workers" else 1
        heart = [f"study.heartbeat={self.beating[0]:g}", f"study.grace={self.beating[1]:g}"]
        return [
            "-m",
            *both,
            *space,
            *heart,
            "sampler=random",
            f"study.trials={ASKED[self.kind]}",
            f"study.workers={workers}",
        ]

    def start(self, arguments: list[str] | None = None, **more: Any) -> Command:
        """Give the command, or the one that goes on with a run."""
        command = self.warm.start(arguments or self.next_arguments(), self.folder, **more)
        self.commands.append(command)
        return command

    def next_arguments(self) -> list[str]:
        """Return what a user would type now: a run that has a folder is continued in it, a sweep is repeated."""
        if self.kind == "run" and (self.folder / RUN_DIR / ".hydra" / "overrides.yaml").is_file():
            return [f"resume={RUN_DIR}"]
        return self.arguments

    def finish(self, **more: Any) -> None:
        """Let the command run to its end, undisturbed; it must end well at the first try."""
        arguments = self.next_arguments()
        command = self.start(arguments, **more)
        code = command.wait()
        if code == 2 and self.kind == "run" and not (self.folder / RUN_DIR / "design.yaml").exists():
            # Killed while Hydra wrote the first files: nothing is there to continue, so the user starts again.
            command = self.start(self.arguments, **more)
            code = command.wait()
        if code is None:
            command.kill()
            self.faults.append(f"hangs: {command.text[-500:]}")
        elif code != 0:
            self.faults.append(f"'{' '.join(arguments[:1])} ...' ended with exit code {code}: {command.text[-500:]}")

    def look(self) -> None:
        """Note what finished trainings measured, times included: none may be trained to a result again."""
        for file in self.folder.rglob("result.json"):
            metrics = file.with_name("metrics.jsonl")
            if metrics.is_file():
                lines = metrics.read_text(errors="replace")
                if self.written.setdefault(str(metrics), lines) != lines:
                    self.faults.append(f"{metrics.parent.relative_to(self.folder)} was trained to a result twice")
                    self.written[str(metrics)] = lines

    def check(self, reference: Reference, *, asked: int | None = None) -> list[str]:
        """Return all that is wrong after `finish`; the folder goes where nothing is."""
        self.look()
        trials = trials_of(self._absolute_storage(), self.study)
        asked = ASKED[self.kind] if asked is None else asked
        found = [*self.faults, *study_faults(trials, self.folder, asked, reference.digests, single=self.kind == "run")]
        for command in self.commands:
            found += output_faults(command.text)
            if left := command.processes():
                found.append(f"{len(left)} processes are left")
                command.kill()
        found = list(dict.fromkeys(found))
        if not found:
            shutil.rmtree(self.folder, ignore_errors=True)
        return found

    def _absolute_storage(self) -> str:
        prefix = "sqlite:///"
        return (
            prefix + str(self.folder / self.storage.removeprefix(prefix))
            if self.storage.startswith(prefix)
            else self.storage
        )


def measure(warm: Warm, folder: Path, kinds: tuple[str, ...] = ("list", "run", "search")) -> Reference:
    """Run all designs of the space once, and commands of each kind, undisturbed; return what they came to."""
    found, modules = Reference(), folder / "modules.json"
    everything = Lab(warm, folder / "everything", "list")
    listed = [f"{key}={','.join(map(str, values))}" for key, values in WIDTHS.items()]
    arguments = [one for one in everything.arguments if not one.startswith("arch.stages")] + listed
    command = everything.start(arguments, modules=str(modules))
    assert command.wait() == 0, command.text
    warm.preload(modules)
    found.digests |= digests_below(everything.folder)
    for kind in kinds:
        lab = Lab(warm, folder / f"undisturbed-{kind}", kind)
        log = folder / f"points-{kind}"
        command = lab.start(points=str(log))
        assert command.wait() == 0, command.text
        found.seconds[kind] = time.monotonic() - command.begun
        found.points[kind] = read_points(log)
        found.digests |= digests_below(lab.folder)
    return found


def kill_at_random(lab: Lab, seconds: float, kills: int, rng: random.Random, *, whole: bool = True) -> int:
    """Kill the command `kills` times at moments drawn over `seconds`, giving it again; return how many kills met it.

    Where `whole` is false, one of its processes is killed, whichever, and the others end by themselves or go on.
    """
    met = 0
    for _ in range(kills):
        command = lab.start()
        code = command.wait(rng.uniform(0, seconds))
        if code is None:
            if whole:
                met += command.kill()
            elif processes := command.processes():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(processes), signal.SIGKILL)
                    met += 1
                if command.wait() is None:
                    lab.faults.append("hangs after one of its processes was killed")
                    command.kill()
                until = time.monotonic() + 60
                while command.processes() and time.monotonic() < until:
                    time.sleep(0.02)
            lab.look()
        elif code != 0:
            lab.faults.append(f"ended with exit code {code} before the kill: {command.text[-500:]}")
        else:
            break
    return met


def kill_at_point(lab: Lab, point: Point) -> bool:
    """Kill the command at a named point; return whether it came there."""
    command = lab.start(kill=list(point))
    code = command.wait()
    lab.look()
    if code is None:
        lab.faults.append(f"hangs before the point {point}")
    return command.kill() or code == -signal.SIGKILL


def read_points(log: Path) -> list[Point]:
    """Return the points that a command passed, in their order; of two that leave the same files, one."""
    lines = [line.partition(" ") for line in log.read_text().splitlines()]
    points = [(label, int(count)) for count, _, label in lines]
    return [point for point in points if point[0].startswith(("after", "within", "before unlink"))]


def signal_at_random(lab: Lab, seconds: float, number: int, rng: random.Random) -> None:
    """Send a signal at a random moment: the command must end by itself, with 130 for Ctrl-C and SIGTERM."""
    command = lab.start()
    command.wait(rng.uniform(0, seconds))
    running = command.poll() is None
    for pid in command.processes() if number == signal.SIGINT else [command.pid]:  # a terminal reaches all
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    code = command.wait(120)
    lab.look()
    if code is None:
        lab.faults.append(f"goes on 120 s after signal {number}")
        command.kill()
    elif code == -number and "\nstudy" in command.text:
        pass  # all was done, and Python was ending
    elif running and number != signal.SIGHUP and code not in (0, 130):
        lab.faults.append(f"ended with exit code {code} after signal {number}: {command.text[-300:]}")
