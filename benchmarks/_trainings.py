"""Shared by several benchmarks: run trainings in separate processes and keep their results in a JSON Lines file."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from archsearch.overrides import quoted
from archsearch.training.storage import replace_whole

Record = dict[str, Any]
STOPPING = 60.0  # seconds that an interrupted training has to save its checkpoint
_KEPT = (
    "design", "design_id", "parameters", "macs", "receptive_field", "accuracy", "epochs", "seconds", "images",
    "images_per_second", "device", "precision", "backend", "data", "seed", "versions",
)  # fmt: skip

TINIEST_TRANSFORMS = (
    "{horizontal_flip: {p: 0.5}}",
    "{random_crop: {padding: 4, border: replicate, p: 1.0}}",
    "{shift_scale_rotate: {shift: 0.0, scale: 0.0, rotate: 15, p: 0.95, border: reflect_101}}",
    "{brightness_contrast: {brightness: 0.1, contrast: 0.1, p: 0.9}}",
)
TINIEST_RECIPE = (
    "optimizer=adamw",
    "optimizer.learning_rate=0.02",
    "optimizer.weight_decay=0.01",
    "optimizer.decay_norm_and_bias=true",
    "schedule=onecycle",
    "schedule.warmup=0.01",
    "schedule.initial_ratio=0.04",
    "schedule.final_ratio=0.1",
    "train.batch_size=256",
    "train.ema=0.999",
    "train.label_smoothing=0",
    f"augment.transforms=[{', '.join(TINIEST_TRANSFORMS)}]",
)
"""The recipe of tiniest's author (github.com/xvel/cifar10-tiniest, train.py), except for missing augmentations."""


class TrainingError(Exception):
    """A training ended without a result; the message has its command and the end of its output."""


class Records:
    """Finished trainings by key, in a JSON Lines file that is rewritten after each of them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
        self.by_key: dict[str, Record] = {record.pop("key"): record for record in map(json.loads, lines)}

    def add(self, key: str, record: Record) -> None:
        """Save `record`, so that later commands do not repeat the training."""
        self.by_key[key] = record
        lines = [json.dumps({"key": name, **each}) + "\n" for name, each in self.by_key.items()]
        replace_whole(self.file, "".join(lines).encode())


@dataclass(frozen=True, slots=True)
class Training:
    """A training in its own process, in `folder`; an interrupted one resumes, a finished one is not repeated."""

    overrides: Sequence[str]
    folder: Path  # holds the run directory, the study and the output

    @property
    def run_dir(self) -> Path:
        """The run directory."""
        return self.folder / "run"

    def start(self) -> Running:
        """Start the process; its output goes to a file in `folder`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        begun = any((self.run_dir / name).exists() for name in ("checkpoint.pt", "result.json"))
        arguments = [f"resume={quoted(str(self.run_dir))}"] if begun else self._anew()
        command = [sys.executable, "-m", "archsearch.run", *arguments]
        output = (self.folder / "printed.txt").open("w+", encoding="utf-8")
        return Running(self, command, output, subprocess.Popen(command, stdout=output, stderr=output))

    def run(self) -> Record:
        """Train to the end and return the same as `Running.result`."""
        running = self.start()
        try:
            return running.result()
        finally:
            running.stop()

    def remove(self) -> None:
        """Remove `folder`."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _anew(self) -> list[str]:
        database = f"study.storage={quoted(f'sqlite:///{self.folder}/studies.db')}"
        return [*self.overrides, f"hydra.run.dir={quoted(str(self.run_dir))}", database]


@dataclass(frozen=True, slots=True)
class Running:
    """The process of a training, and its output file."""

    training: Training
    command: list[str]
    output: IO[str]
    process: subprocess.Popen[bytes]

    def result(self) -> Record:
        """Wait; return the values of `result.json` and of each epoch. Raises `TrainingError` if the training failed."""
        code = self.process.wait()
        if code:
            self.output.seek(0)
            raise TrainingError(
                f"{' '.join(self.command)}\nfailed with exit code {code}: {self.output.read()[-2000:].strip()}"
            )
        whole = json.loads((self.training.run_dir / "result.json").read_text(encoding="utf-8"))
        return {name: whole.get(name) for name in _KEPT} | {"history": history(self.training)}

    def stop(self) -> None:
        """Stop the process if it is running; it saves a checkpoint first."""
        if self.process.poll() is None:
            self.process.terminate()  # a process in the background may ignore SIGINT
            try:
                self.process.wait(STOPPING)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.output.close()


def history(training: Training) -> list[Record]:
    """Return the metrics of the finished epochs."""
    file = training.run_dir / "metrics.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(line) for line in lines]


def folder_of(file: Path, key: str) -> Path:
    """Return the folder of the training that the file of records `file` stores under `key`."""
    digest = hashlib.sha256(key.encode()).hexdigest()[:8]
    return (file.parent / "runs" / f"{re.sub(r'[^0-9A-Za-z]+', '_', key)[:60]}-{digest}").resolve()


def data_overrides(root: Path, cache: Path) -> list[str]:
    """Return the overrides that load the images in `root` and cache the decoded ones in `cache`."""
    return ["data=folder", f"data.root={quoted(str(root.resolve()))}", f"data.cache={quoted(str(cache.resolve()))}"]


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add the option `--root`."""
    where = "folder with train/CLASS/* and test/CLASS/* (or ARCHSEARCH_CIFAR10)"
    parser.add_argument("--root", type=Path, default=os.environ.get("ARCHSEARCH_CIFAR10"), help=where)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return mean and standard deviation, or the value if there is only one."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} +- {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def wait_until(running: Sequence[Running], deadline: float) -> None:
    """Wait until all processes have ended or the monotonic clock reaches `deadline`."""
    while any(each.process.poll() is None for each in running) and time.monotonic() < deadline:
        time.sleep(0.1)
