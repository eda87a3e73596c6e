"""Fuzz: draw inputs of every kind, hand them to the library in processes of their own, and report what must not be.

    python tests/fuzz/fuzz.py                                      50 000 inputs; exit code 1 for any failure
    python tests/fuzz/fuzz.py --inputs 2000 --seed 7 --only yaml   some of one kind, from another seed
    python tests/fuzz/fuzz.py --repeat outputs/fuzz/yaml-7-3.txt   one failing input again, with its traceback

Failing inputs are kept in outputs/fuzz, one file each: what was raised, and the input.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE), str(HERE.parent / "oracles")]

CHUNK = 2500  # inputs of one process
LONGEST = 2.0  # seconds of processor time for one input
MEMORY = 2 << 30  # bytes that a process may hold
FROZEN = 300.0  # seconds of silence after which a process is killed


class Hang(BaseException):
    """An input that took longer than `LONGEST`."""


def drawn(kind: str, seed: int, count: int) -> list[Any]:
    """Return `count` inputs of `kind`, the same ones for the same seed."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from strategies import STRATEGIES

    found: list[Any] = []

    @seeded(seed)
    @settings(
        max_examples=count, phases=[Phase.generate], database=None, deadline=None,
        suppress_health_check=tuple(HealthCheck),  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    @given(STRATEGIES[kind])
    def keep(payload: Any) -> None:
        found.append(payload)

    keep()
    return found[:count]


def attempt(kind: str, payload: Any, longest: float = LONGEST) -> tuple[str, str, float]:
    """Return `used`, `refused`, `traceback`, `hang` or `disagreement`, with its text, and the seconds it took."""
    from targets import Disagreement, examine

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Hang

    before, begun = signal.signal(signal.SIGPROF, stop), time.process_time()
    signal.setitimer(signal.ITIMER_PROF, longest)
    try:
        outcome, text = "used" if examine(kind, payload) else "refused", ""
    except Hang:
        outcome, text = "hang", traceback.format_exc()
    except Disagreement:
        outcome, text = "disagreement", traceback.format_exc()
    except BaseException:  # noqa: BLE001  (every other one is a finding)
        outcome, text = "traceback", traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    return outcome, text, time.process_time() - begun


def work(kind: str, seed: int, count: int, folder: Path) -> None:
    """Try `count` inputs; print a line of JSON for each that fails, and one with the counts at the end."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    counts: Counter[str] = Counter()
    longest, running = 0.0, folder / f"{kind}-{seed}.running"
    inputs = drawn(kind, seed, count)
    attempt("limits", ({}, "quick"), FROZEN)  # imports what is imported once, which takes long on a busy machine
    for index, payload in enumerate(inputs):
        running.write_text(repr(payload))
        outcome, text, seconds = attempt(kind, payload)
        counts[outcome] += 1
        longest = max(longest, seconds)
        if text:
            keep(folder / f"{kind}-{seed}-{index}.txt", text, repr(payload))
        if index % 20 == 0:
            print(flush=True)
    running.unlink()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"counts": counts, "longest": longest, "peak": peak}), flush=True)


def keep(file: Path, text: str, payload: str) -> None:
    """Write a failing input below what was raised."""
    file.write_text(f"{text}\n----\n{payload}\n", encoding="utf-8", errors="surrogatepass")


def repeat(file: Path) -> int:
    """Try the input in `file` again; return the exit code."""
    kind = file.name.partition("-")[0]
    payload = file.read_text(encoding="utf-8").rpartition("\n----\n")[2]
    outcome, text, seconds = attempt(kind, eval(payload, {"nan": float("nan"), "inf": float("inf")}))  # noqa: S307
    print(f"{text}{outcome}, {seconds:.2f} s")
    return int(outcome not in ("used", "refused"))


def main() -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append")
    parser.add_argument("--folder", type=Path, default=Path("outputs/fuzz"))
    parser.add_argument("--repeat", type=Path)
    parser.add_argument("--work", nargs=3)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.repeat:
        return repeat(given.repeat)
    if given.work:
        work(given.work[0], int(given.work[1]), int(given.work[2]), given.folder)
        return 0
    return oversee(given.inputs, given.seed, given.only, given.folder)


def oversee(inputs: int, seed: int, only: list[str] | None, folder: Path) -> int:
    """Share `inputs` among processes, one after another, and print the summary; return 1 if any failed."""
    from strategies import SHARES

    shares = {kind: share for kind, share in SHARES.items() if not only or kind in only}
    begun, by_kind, outcomes = time.monotonic(), Counter[str](), Counter[str]()
    peak, longest = 0, 0.0
    for kind, share in shares.items():
        left, number = round(inputs * share / sum(shares.values())), 0
        while left > 0:
            count = min(left, CHUNK)
            found = chunk(kind, seed * 1000 + number, count, folder)
            tried = sum(found["counts"].values())
            by_kind[kind] += tried
            outcomes.update(found["counts"])
            peak, longest = max(peak, found["peak"]), max(longest, found["longest"])
            print(
                f"{kind} {seed * 1000 + number}: {dict(found['counts'])}, longest {found['longest']:.2f} s", flush=True
            )
            left, number = left - count, number + 1
    kinds = ", ".join(f"{kind} {count}" for kind, count in by_kind.items())
    print(
        f"{sum(by_kind.values())} inputs ({kinds}): {outcomes['used']} used, {outcomes['refused']} refused, "
        f"{outcomes['traceback']} tracebacks, {outcomes['hang']} hangs above {LONGEST:g} s, "
        f"{outcomes['disagreement']} disagreements, {outcomes['killed']} killed; longest {longest:.2f} s, "
        f"peak memory {peak / 1e6:.0f} MB, {time.monotonic() - begun:.0f} s; seed {seed}"
    )
    failed = sum(outcomes[one] for one in ("traceback", "hang", "disagreement", "killed"))
    if failed:
        print(f"the failing inputs are in {folder}; repeat one with --repeat FILE")
    return int(failed > 0)


def chunk(kind: str, seed: int, count: int, folder: Path) -> dict[str, Any]:
    """Return what one process reports of `count` inputs; one that dies or falls silent counts as killed."""
    command = [sys.executable, __file__, "--folder", str(folder), "--work", kind, str(seed), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        last = ""
        signal.signal(signal.SIGALRM, lambda *_: process.kill())
        for line in process.stdout:
            signal.setitimer(signal.ITIMER_REAL, FROZEN)
            last = line.strip() or last
        signal.setitimer(signal.ITIMER_REAL, 0)
    if process.returncode == 0:
        return json.loads(last)
    running = folder / f"{kind}-{seed}.running"
    payload = running.read_text() if running.exists() else "None"
    keep(folder / f"{kind}-{seed}-killed.txt", f"the process ended with {process.returncode}", payload)
    return {"counts": {"killed": 1}, "longest": 0.0, "peak": 0}


if __name__ == "__main__":
    sys.exit(main())
