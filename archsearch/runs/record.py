"""The record of a run: `result.json` and `design.yaml`, written whole or not at all. No torch, no hydra."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.analysis.check import Checked
from archsearch.analysis.limits import margin_record
from archsearch.design.export import self_contained
from archsearch.settings.augment import policy_record

if TYPE_CHECKING:
    from archsearch.data.dataset import Dataset
    from archsearch.settings.experiment import Experiment
    from archsearch.training.result import TrainResult


def result_record(experiment: Experiment, checked: Checked, dataset: Dataset, result: TrainResult) -> dict[str, Any]:
    """Return what `result.json` holds; accuracies are from 0 to 1, validation and test apart."""
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
        "images": {
            "train": len(dataset.train),
            "validation": len(dataset.validation),
            "test": len(dataset.test),
        },
        "parameters": checked.footprint.parameters,
        "macs": checked.footprint.macs,
        "receptive_field": checked.footprint.receptive_field,
        "margins": [margin_record(margin) for margin in checked.margins],
        "epochs": result.epochs,
        "pruned": result.pruned,
        "images_per_second": result.images_per_second,
        "seconds": result.seconds,
        "device": result.device,
        "precision": result.precision,
        "backend": result.backend,
        "compiled": result.compiled,
        "kernels": result.kernels,
        "versions": dict(result.versions),
        "seed": experiment.seed,
        "notices": list(result.notices),
    }


def design_yaml(checked: Checked) -> str:
    """Return the design as one self-contained YAML text that `arch=FILE` runs again."""
    import yaml

    head = (
        "# python -m archsearch.run arch=design.yaml\n# This design with its blocks inlined and its width worked out.\n"
    )
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the same text, ten times as fast where it was built
    return head + yaml.dump(self_contained(checked.design), Dumper=dumper, sort_keys=False, width=120)


def weights_metadata(design: str, dataset: Dataset) -> dict[str, str]:
    """Return what stands beside the weights, so that one file is enough to build the network and to use it.

    The `design` as YAML, a class a line in the order of the logits, and mean and deviation of each colour (in 0..1).
    """
    return {
        "design": design,
        "classes": "\n".join(dataset.classes),
        "mean": json.dumps(list(dataset.mean)),
        "std": json.dumps(list(dataset.std)),
        "input": "images (B, 3, H, W), red, green, blue: (bytes / 255 - mean) / std as float32",
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
