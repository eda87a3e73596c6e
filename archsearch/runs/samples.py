"""The picture of augmented samples: composed settings in, a PNG out. Knows no hydra."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archsearch.decode import decode
from archsearch.settings.augment import decode_policy
from archsearch.settings.data import DataSettings


def draw_samples(tree: Mapping[str, Any], file: Path) -> None:
    """Write to `file` training images of the data in `tree`, each beside several draws of its policy."""
    from archsearch.augment.samples import write_samples
    from archsearch.data.load import load_dataset

    policy = decode_policy(tree.get("augment", {}))
    dataset = load_dataset(decode(DataSettings, tree.get("data", {}), "data"))
    write_samples(file, policy, dataset.train.images_BHWC, mean=dataset.mean, std=dataset.std)
