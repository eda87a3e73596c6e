"""Files with the models of a machine's step times, and with the times of finished trainings; no torch, no numpy.

A model is one small file, named by a hash of the conditions that it was measured under: machine, threads, settings and
versions. It is written atomically, so a reader sees a complete file or none, and one process at a time measures. A
damaged file is measured again. Next to it, a JSON Lines file has the predicted and the measured seconds of every
finished training; damaged lines are skipped.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from archsearch.cost.model import StepModel
from archsearch.errors import StorageError
from archsearch.notices import notice_once
from archsearch.processor import processor_name
from archsearch.settings.training import OptimizerSettings, TrainSettings

FOLDER = "step_time"
"""Folder below `data.cache`."""
_FORMAT = 1  # increased when the kinds of layers, the probes or the file format change
_GPUS = Path("/proc/driver/nvidia/gpus")
SETTINGS = (
    "device", "threads", "precision", "compile", "kernels", "cuda_graphs", "channels_last", "deterministic",
)  # fmt: skip
"""The keys of `train.*` that the time of a step depends on."""
_ENVIRONMENT = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")

PATIENCE = 300.0
"""Seconds that a process waits for the measurement of another, which takes about a minute."""

Conditions = Mapping[str, object]


def conditions_of(train: TrainSettings, optimizer: OptimizerSettings) -> Conditions:
    """Return what the time of a step depends on in addition to design and batch; torch is not imported."""
    return {
        "format": _FORMAT,
        "processor": processor_name(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpus": _gpus(),
        "torch": importlib.metadata.version("torch"),
        "optimizer": optimizer.name,
        **{name: getattr(train, name) for name in SETTINGS},
        **{name: os.environ.get(name) for name in _ENVIRONMENT},
    }


def model_file(cache: str, conditions: Conditions) -> Path:
    """Return the file of the model for `conditions`."""
    return Path(cache) / FOLDER / f"{_digest(conditions)[:16]}.json"


def read_model(file: Path) -> StepModel | None:
    """Return the model in `file`; None if it is missing or damaged, the latter with a notice."""
    try:
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        if content["digest"] == _digest(content["model"]):
            return _model_in(content["model"])
    except FileNotFoundError:
        return None
    except (OSError, AttributeError, KeyError, TypeError, ValueError, RecursionError):
        pass
    notice_once(f"{file}: the measured step times are damaged; they are measured again")
    return None


def _model_in(raw: Any) -> StepModel:
    return StepModel(
        device=str(raw["device"]),
        rates={str(kind): _numbers(one) for kind, one in raw["rates"].items()},
        evaluated_image=float(raw["evaluated_image"]),
        error=float(raw["error"]),
    )


def write_model(file: Path, model: StepModel, conditions: Conditions) -> None:
    """Write the model atomically; if that fails, print a notice that every process has to measure."""
    from archsearch.training.storage import write_whole

    plain = {
        "device": model.device,
        "rates": {kind: list(one) for kind, one in model.rates.items()},
        "evaluated_image": model.evaluated_image,
        "error": model.error,
    }
    content = {"conditions": dict(conditions), "model": plain, "digest": _digest(plain)}
    try:
        write_whole(file, json.dumps(content, indent=1).encode())
    except StorageError as error:
        notice_once(f"the measured step times are not kept, every process measures them: {error}")


@contextlib.contextmanager
def measuring(file: Path, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of the model in `file`: two measurements at once would slow each other down.

    Continues without the lock if the file system has no locks, or after waiting for `patience` seconds.
    """
    from filelock import FileLock

    lock = FileLock(f"{file}.lock", timeout=patience)
    with contextlib.suppress(OSError, NotImplementedError):  # `filelock.Timeout` is an OSError
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def observe(file: Path, predicted: float, seconds: float) -> None:
    """Add a finished training to those of the model in `file`; ignore a file that cannot be written."""
    line = json.dumps({"predicted": predicted, "seconds": seconds}) + "\n"
    with contextlib.suppress(OSError), _observations(file).open("a", encoding="utf-8") as opened:
        opened.write(line)  # one write of less than a page: lines of several processes do not mix


def observed(file: Path) -> list[float]:
    """Return the ratios of measured to predicted seconds of the trainings of the model in `file`, in order."""
    found: list[float] = []
    with contextlib.suppress(OSError, UnicodeDecodeError), _observations(file).open(encoding="utf-8") as lines:
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError, ZeroDivisionError, RecursionError):
                one = json.loads(line)
                ratio = float(one["seconds"]) / float(one["predicted"])
                if math.isfinite(ratio) and ratio > 0:
                    found.append(ratio)
    return found


def _observations(file: Path) -> Path:
    return file.with_suffix(".trained.jsonl")


def _gpus() -> list[str]:
    """Return the models of the NVIDIA GPUs that the driver lists on Linux."""
    found: list[str] = []
    for one in sorted(_GPUS.glob("*/information")):
        with contextlib.suppress(OSError):
            found += re.findall(r"^Model:\s*(.+?)\s*$", one.read_text(encoding="utf-8"), re.MULTILINE)
    return found


def _numbers(raw: Any) -> tuple[float, float, float, float]:
    one, two, three, four = (float(each) for each in raw)
    if not all(math.isfinite(each) and each >= 0 for each in (one, two, three, four)):
        raise ValueError
    return one, two, three, four


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
