"""The images of a run, found again from what `result.json` says of them. Knows no hydra."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.decode import decode
from archsearch.errors import DataError
from archsearch.settings.data import DataSettings

if TYPE_CHECKING:
    from archsearch.data.dataset import Dataset
    from archsearch.settings.augment import AugmentPolicy


def run_dataset(run_dir: Path) -> Dataset:
    """Return the data set that the run in `run_dir` was trained and tested on.

    Raises `DataError` where the run does not say which, or where there are other images in their place by now.
    """
    from archsearch.data.load import load_dataset

    record = _result(run_dir)
    raw = dict(record.get("data_settings") or {"name": record.get("data")})
    if raw["name"] == "auto":  # what it has found then
        raw["name"] = record.get("data")
    dataset = load_dataset(decode(DataSettings, {**raw, "download": False}, "data"))
    if dataset.fingerprint != record.get("data_fingerprint"):
        raise DataError(f"{run_dir}: its images ({record.get('data')}) are not those that it was trained on any more")
    return dataset


def run_policy(run_dir: Path) -> AugmentPolicy | None:
    """Return how the training images of the run in `run_dir` were augmented; None for one that is too old to say."""
    from archsearch.settings.augment import decode_policy

    said = _result(run_dir).get("augment")
    return None if said is None else decode_policy(said)


def was_tested(run_dir: Path) -> bool:
    """Return whether the run in `run_dir` has been judged on its test images, which a trial of a study never is."""
    accuracy = _result(run_dir).get("accuracy")
    return isinstance(accuracy, dict) and accuracy.get("test") is not None


def _result(run_dir: Path) -> dict[str, Any]:
    file = run_dir / "result.json"
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except OSError:
        raise DataError(f"{file}: there is no result: {run_dir} is not the folder of a finished run") from None
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise DataError(f"{file}: is damaged: it is no JSON object")
    return record
