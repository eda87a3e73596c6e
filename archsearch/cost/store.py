"""Where the models of a machine's steps are kept, and what finished trainings say of them; no torch, no numpy.

A model is one small file, named after the conditions that it was measured under: machine, threads, settings and
versions. It is written whole, so a reader sees a complete file or none, and one process at a time measures. A file that
is damaged is measured again. Beside it lies a line for every finished training, the seconds that were predicted and
measured; lines that are damaged are skipped.
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
"""Below `data.cache`."""
_FORMAT = 1  # counts up where the kinds of layers, the probes or the file change
_GPUS = Path("/proc/driver/nvidia/gpus")
SETTINGS = (
    "device", "threads", "precision", "compile", "kernels", "cuda_graphs", "channels_last", "deterministic",
)  # fmt: skip
"""Those of `train.*` that a step's seconds depend on."""
_ENVIRONMENT = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")

PATIENCE = 300.0
"""Seconds that a process waits for another's measurement, of about a minute."""

Conditions = Mapping[str, object]


def conditions_of(train: TrainSettings, optimizer: OptimizerSettings) -> Conditions:
    """Return what a step's seconds depend on beside design and batch; torch is not imported."""
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
    """Return the model in `file`, or None where there is no complete one; a notice names a damaged one."""
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
    """Write the model whole; a notice says where it cannot be written, and every process then measures."""
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
    """Hold the lock of the model in `file`: two measurements at once would both be of a busy machine.

    Without the lock where the file system has none, and where it was waited for longer than `patience` seconds.
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
    """Add a finished training to those of the model in `file`; no error where it cannot be written."""
    line = json.dumps({"predicted": predicted, "seconds": seconds}) + "\n"
    with contextlib.suppress(OSError), _observations(file).open("a", encoding="utf-8") as opened:
        opened.write(line)  # one write of less than a page: lines of several processes do not mix


def observed(file: Path) -> list[float]:
    """Return what finished trainings took, as multiples of what the model in `file` had predicted, in order."""
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
    """Return the models of NVIDIA's GPUs as its driver lists them under Linux."""
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
