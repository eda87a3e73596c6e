"""Run all benchmarks and write their results to one Markdown file: `make bench ARGS="--root DIR"`.

    python benchmarks [--root DIR] [--only startup accuracy] [--out outputs/benchmarks.md]

DIR, or ARCHSEARCH_CIFAR10, holds the CIFAR-10 images: train/CLASS/* and test/CLASS/*. A benchmark whose images, GPU or
extra are missing reports this and is skipped. All benchmarks take hours on two cores, so `--only` selects some; the
short ones run first. Each runs in its own process, and its tables are written as soon as it ends. A failure does not
stop the others: the file and the last line name the failed benchmarks, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import ast
import os
import platform
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TextIO

from archsearch.processor import processor_name

HERE = Path(__file__).resolve().parent
JOBS = (
    "startup",
    "study_commands",
    "analysis_speed",
    "check_cost",
    "network_table",
    "pictures",
    "feasible_proposals",
    "augmentation",
    "recorded_step",
    "training_speed",
    "space_steps",
    "step_cost",
    "gpu_steps",
    "workers",
    "export_agreement",
    "import_models",
    "receptive_field",
    "accuracy experiment=brisk",
    "accuracy experiment=brisk train.precision=fp32 train.kernels=torch train.compile=false",
    "accuracy",
    "sweep_overhead",
    "search_scale",
    "search_efficiency",
    "long_searches",
    "ablation",
    "gpu_all",
    "compare_networks",
    "fidelity",
    "search_on_images",
)
PACKAGES = ("torch", "torchvision", "albumentations", "optuna", "hydra-core", "numpy")
LAST_WORDS = 10  # last stderr lines of a failed benchmark that the file keeps


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the selected benchmarks; return 1 if any failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=os.environ.get("ARCHSEARCH_CIFAR10"), help="image folder")
    parser.add_argument("--only", nargs="+", choices=sorted({job.split()[0] for job in JOBS}), metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("outputs", "benchmarks.md"))
    options = parser.parse_args(arguments)
    environment = dict(os.environ)
    if options.root is not None:
        environment["ARCHSEARCH_CIFAR10"] = str(options.root.resolve())
    jobs = [job for job in JOBS if options.only is None or job.split()[0] in options.only]
    try:
        failed = run_all(jobs, HERE, options.out, environment)
    except KeyboardInterrupt:
        print(f"stopped; the results of the finished benchmarks are in {options.out}")
        return 130
    print(f"{options.out}: {len(jobs)} benchmarks" + (f", FAILED: {', '.join(failed)}" if failed else ""))
    return int(bool(failed))


def run_all(jobs: Sequence[str], folder: Path, out: Path, environment: dict[str, str]) -> list[str]:
    """Run the scripts in `jobs` with their arguments and append each result to `out`; return the failed jobs."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(f"# Benchmarks, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC\n\n{conditions()}\n", encoding="utf-8")
    failed: list[str] = []
    for job in jobs:
        name, *given = job.split()
        script = folder / f"{name}.py"
        print(f"== {job}", file=sys.stderr, flush=True)
        begun = time.monotonic()
        code, printed, errors = run([sys.executable, str(script), *given], environment)
        took = f"{time.monotonic() - begun:.0f} s"
        command = " ".join(["python", f"benchmarks/{script.name}", *given])
        claim = (ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
        end = f"Took {took}."
        if code:
            failed.append(job)
            end = f"**Failed** with exit code {code} after {took}:\n\n```\n{errors.strip()}\n```"
        with out.open("a", encoding="utf-8") as file:
            file.write(f"\n## {job}\n\n    {command}\n\n{claim}\n\n{printed.strip()}\n\n{end}\n")
    return failed


def run(command: Sequence[str], environment: dict[str, str]) -> tuple[int, str, str]:
    """Run the command and echo its output; return the exit code, stdout and the last lines of stderr."""
    printed: list[str] = []
    errors: deque[str] = deque(maxlen=LAST_WORDS)
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None, "a pipe"
        assert process.stderr is not None, "a pipe"
        listener = threading.Thread(target=_pass_on, args=(process.stderr, errors, sys.stderr), daemon=True)
        listener.start()
        _pass_on(process.stdout, printed, sys.stdout)
        listener.join()
    return process.returncode, "".join(printed), "".join(errors)


def _pass_on(lines: Iterable[str], kept: deque[str] | list[str], to: TextIO) -> None:
    for line in lines:
        kept.append(line)
        to.write(line)
        to.flush()


def conditions() -> str:
    """Return one sentence with the machine and the versions."""
    load = f", load {os.getloadavg()[0]:.1f} at the start" if hasattr(os, "getloadavg") else ""
    found: list[str] = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True, check=False
    )
    commit = f", commit {described.stdout.strip()}" if described.returncode == 0 else ""
    return (
        f"{processor_name()}, {os.cpu_count()} cores{load}, {platform.system()}, "
        f"Python {platform.python_version()}, {', '.join(found)}{commit}."
    )


if __name__ == "__main__":
    sys.exit(main())
