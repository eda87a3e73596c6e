"""What makes two trainings the same: hashes of designs, settings and data. Imports `settings` alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from archsearch.settings.training import RESULT_NEUTRAL

TRAINING = ("augment", "optimizer", "schedule", "train", "seed")
"""The parts of a configuration that decide the result of a training, beside the design and the data."""


def hash_of(value: object) -> str:
    """Return 16 hexadecimal digits of plain values, the same for equal ones (SHA-256 of their JSON)."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]


def trial_key(design_id: str, tree: Mapping[str, Any], fingerprint: str, precision: str | None = None) -> str:
    """Return 16 digits that trainings share which give the same result: design, training settings, data.

    `precision` is what `train.precision` stands for on the device; None leaves the word of the settings.
    """
    parts = {name: tree.get(name) for name in TRAINING}
    if isinstance(parts["train"], Mapping):
        parts["train"] = {key: value for key, value in parts["train"].items() if key not in RESULT_NEUTRAL}
        if precision is not None:
            # bf16 keeps the word under which earlier versions recorded it, so that their studies go on.
            parts["train"]["precision"] = "auto" if precision == "bf16" else precision
    return hash_of([design_id, json.dumps(parts, sort_keys=True, default=str), fingerprint])
