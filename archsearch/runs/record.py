"""The record of a run, `result.json` and `design.yaml`: written atomically, and read back. Does not import torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any

from archsearch.analysis.check import Checked
from archsearch.analysis.limits import margin_record
from archsearch.analysis.seconds import SECONDS
from archsearch.decode import decode
from archsearch.design.spec import self_contained
from archsearch.errors import DataError
from archsearch.report.vocabulary import record_of
from archsearch.settings.augment import decode_policy, policy_record
from archsearch.settings.data import DataSettings

if TYPE_CHECKING:
    from archsearch.data.dataset import Dataset
    from archsearch.settings.augment import AugmentPolicy
    from archsearch.settings.experiment import Experiment
    from archsearch.training.result import TrainResult

RESULT = "result.json"
_TRAINED = ("epochs", "pruned", "images_per_second", "seconds", "device", "precision", "backend", "compiled", "kernels")


def result_record(experiment: Experiment, checked: Checked, dataset: Dataset, result: TrainResult) -> dict[str, Any]:
    """Return the content of `result.json`; accuracies are in 0..1, separate for validation and test."""
    return {
        "design": checked.design.name,
        "design_id": checked.design_id,
        "data": dataset.name,
        "data_fingerprint": dataset.fingerprint,
        "data_settings": asdict(experiment.data),
        "augment": policy_record(experiment.augment),
        "accuracy": {
            "validation": result.validation_accuracy,
            "validation_best": result.best_validation_accuracy,
            "validation_best_epoch": result.best_epoch,
            "test": result.test_accuracy,
            "test_flip": result.test_accuracy_flip,
        },
        "loss": {"validation": result.validation_loss, "test": result.test_loss},
        "images": {split: len(getattr(dataset, split)) for split in ("train", "validation", "test")},
        **record_of(checked.footprint, ("parameters", "macs", "receptive_field", "activations")),
        **({} if checked.training is None else {SECONDS: round(checked.training.seconds, 3)}),
        "margins": [margin_record(margin) for margin in checked.margins],
        **record_of(result, _TRAINED),
        "versions": dict(result.versions),
        "seed": experiment.seed,
        "notices": list(result.notices),
    }


def design_yaml(checked: Checked) -> str:
    """Return the design as a self-contained YAML text, which `arch=FILE` reads."""
    import yaml

    head = (
        "# python -m archsearch.run arch=design.yaml\n# This design with its blocks inlined and its width resolved.\n"
    )
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the same text, ten times as fast with libyaml
    return head + yaml.dump(self_contained(checked.design), Dumper=dumper, sort_keys=False, width=120)


def weights_metadata(design: str, dataset: Dataset) -> dict[str, str]:
    """Return the metadata of the weights, so that one file is enough to build and use the network.

    These are the `design` as YAML, the classes (one per line, in the order of the logits), the mean and standard
    deviation of each channel (in 0..1), and a description of the input.
    """
    colours = "1, H, W), grey" if len(dataset.mean) == 1 else "3, H, W), red, green, blue"
    return {
        "design": design,
        "classes": "\n".join(dataset.classes),
        "mean": json.dumps(list(dataset.mean)),
        "std": json.dumps(list(dataset.std)),
        "input": f"images (B, {colours}: (bytes / 255 - mean) / std as float32",
    }


def write_design(file: Path, checked: Checked) -> str:
    """Write `design.yaml` and return its text."""
    text = design_yaml(checked)
    _write(file, text)
    return text


def write_json(file: Path, record: dict[str, Any]) -> None:
    """Write `record` as indented JSON."""
    _write(file, json.dumps(record, indent=2) + "\n")


def _write(file: Path, text: str) -> None:
    from archsearch.training.storage import write_whole

    write_whole(file, text.encode())


def run_dataset(run_dir: Path) -> Dataset:
    """Return the data set that the run in `run_dir` was trained and evaluated on.

    Raises `DataError` if the run has no result, or if the images have changed since.
    """
    from archsearch.data.load import load_dataset

    record = _result(run_dir)
    raw = record.get("data_settings") or {"name": "auto"}
    if not isinstance(raw, dict) or "name" not in raw:
        raise DataError(f"{run_dir / RESULT}: is damaged: data_settings names no data")
    if raw["name"] == "auto":  # what it resolved to then; the result has the title of the set
        raw = {**raw, "name": "shapes" if record.get("data") == "shapes" else "cifar10"}
    dataset = load_dataset(decode(DataSettings, {**raw, "download": False}, "data"))
    if dataset.fingerprint != record.get("data_fingerprint"):
        raise DataError(f"{run_dir}: its images ({record.get('data')}) are not those of its training")
    return dataset


def run_policy(run_dir: Path) -> AugmentPolicy | None:
    """Return the augmentation of the run in `run_dir`; None if the run is too old to have recorded it."""
    record = _result(run_dir).get("augment")
    return None if record is None else decode_policy(record)


def was_tested(run_dir: Path) -> bool:
    """Return whether the run in `run_dir` was evaluated on the test images; a trial of a search never is."""
    accuracy = _result(run_dir).get("accuracy")
    return isinstance(accuracy, dict) and accuracy.get("test") is not None


def read_result(run_dir: Path) -> dict[str, Any] | None:
    """Return the content of `result.json` in `run_dir`; None if it is missing or not a complete result."""
    try:
        record = json.loads((run_dir / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and _is_whole(record) else None


def _is_whole(record: Mapping[str, Any]) -> bool:
    kinds: Mapping[type | UnionType, Sequence[str]] = {
        str: ("design", "design_id", "data", "data_fingerprint", "device"),
        int: ("parameters", "macs", "receptive_field", "epochs", "seed"),
        int | float: ("seconds",),
        dict: ("accuracy", "loss", "versions"),
        list: ("notices",),
    }
    accuracy = record.get("accuracy") or {}
    return all(isinstance(record.get(name), kind) for kind, names in kinds.items() for name in names) and all(
        isinstance(accuracy.get(name, ""), int | float | None) for name in ("test", "test_flip", "validation")
    )


def _result(run_dir: Path) -> dict[str, Any]:
    file = run_dir / RESULT
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise DataError(f"{file}: no result: {run_dir} is not the folder of a finished run") from None
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise DataError(f"{file}: is damaged: expected a JSON object")
    return record
