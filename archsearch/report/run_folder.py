"""The folder of a run: its files, and the end of its log. Reads only; any of it may be missing."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from archsearch.errors import SpecError
from archsearch.report.vocabulary import finite
from archsearch.search.reading import TrialRead

KNOWN = (
    "result.json", "design.yaml", "model.safetensors", "curves.png", "design.png", "card.json", "card.png", "erf.png",
    "metrics.jsonl",
)  # fmt: skip
TAIL = 5  # lines


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """A run's folder: whether it is there, its files by name with their bytes, and its last log lines."""

    path: Path
    found: bool
    files: dict[str, int]
    tail: tuple[str, ...]


def read_run_folder(trial: TrialRead, *, tail: int = TAIL) -> RunFolder | None:
    """Return what the trial's folder holds; None where the trial names none."""
    name = trial.attrs.get("run_dir")
    if not isinstance(name, str) or not name:
        return None
    folder = Path(name)
    try:
        listed = {one.name: one.stat().st_size for one in sorted(folder.iterdir()) if one.is_file()}
        found = True
    except OSError:
        listed, found = {}, False
    return RunFolder(path=folder, found=found, files=listed, tail=tuple(_tail(folder, listed, tail)))


def run_folder(trial: TrialRead) -> Path:
    """Return the folder of the trial's run; raises `SpecError` where it names none, or one that is not there."""
    files = read_run_folder(trial, tail=0)
    if files is None:
        raise SpecError("trial", f"trial {trial.number} names no folder: it was made by another program")
    if not files.found:
        fix = "Go to the folder that the search was started in, or train it again."
        raise SpecError("trial", f"the folder of trial {trial.number}, {files.path}, does not exist", fix)
    return files.path


def _tail(folder: Path, listed: dict[str, int], lines: int) -> list[str]:
    logs = [folder / name for name in listed if name.endswith((".log", ".out", ".err"))]
    for file in (*sorted(logs, key=lambda one: one.stat().st_mtime, reverse=True), folder / "metrics.jsonl"):
        try:
            with file.open(encoding="utf-8", errors="replace") as opened:
                last = [line.rstrip("\n") for line in deque((one for one in opened if one.strip()), maxlen=lines)]
        except OSError:
            continue
        if last:
            return [_epoch(line) for line in last] if file.name == "metrics.jsonl" else last
    return []


def _epoch(line: str) -> str:
    """Return a line of metrics.jsonl in words; any other line as it is."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    if not isinstance(record, dict) or "epoch" not in record:
        return line
    parts = [f"epoch {record['epoch']}"]
    for key, name, scale, unit in (
        ("train_loss", "loss", 1.0, ""),
        ("train_accuracy", "train", 100.0, " %"),
        ("validation_accuracy", "validation", 100.0, " %"),
        ("images_per_second", "", 1.0, " images/s"),
    ):
        if (value := finite(record.get(key))) is not None:
            digits = 0 if unit == " images/s" else 4 if not unit else 2
            parts.append(f"{name} {scale * value:.{digits}f}{unit}".strip())
    return "  ".join(parts)
