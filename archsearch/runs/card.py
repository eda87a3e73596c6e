"""The report card of a trained network: its confusions, its confidence, and samples of its augmented images.

Legend: B batch, N images, K classes, H height, W width, C channels.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from archsearch.augment.samples import augmented_samples, write_samples
from archsearch.data.load import load_samples
from archsearch.decode import decode
from archsearch.errors import DataError
from archsearch.report.card import CARD, Bin, Card, Mistake, Split
from archsearch.report.figures.card import draw_card
from archsearch.runs.folder import refuse_links
from archsearch.runs.load import read_trained
from archsearch.runs.record import run_dataset, run_policy, was_tested, write_json
from archsearch.settings.augment import decode_policy
from archsearch.settings.data import DataSettings
from archsearch.settings.training import Precision
from archsearch.training.evaluation import EvaluationInput, logits_of, to_device

if TYPE_CHECKING:
    from archsearch.data.dataset import Dataset
    from archsearch.settings.augment import AugmentPolicy

BINS = 15
MISTAKES = 20
_SAMPLES, _DRAWS = 3, 17
_DRAWN, _EACH = 8, 2  # most images of a picture of samples: in all, and per class
_WIDE = 96  # px; images of that picture are enlarged up to this width, at most to three times their size
_BATCH = 500
_LARGEST = 64  # px, longer side of a mistake's picture in `card.json`
_WIDEST = 1200  # px, longer side of the mosaic in `card.json`


def write_card(
    run_dir: Path,
    network: nn.Module,
    dataset: Dataset,
    policy: AugmentPolicy | None,
    *,
    split: Split,
    title: str,
    device: torch.device,
    precision: Precision,
    batch_size: int,
    picture: Path | None,
    probabilities_NK: np.ndarray | None = None,
) -> Card:
    """Write `card.json` of `network` on the `split` of `dataset` to `run_dir`, and its `picture`; return the card.

    `probabilities_NK` are the network's outputs on those images, computed if None. Without a `policy` the card has no
    augmented samples.
    """
    images = dataset.test if split == "test" else dataset.validation
    if probabilities_NK is None:
        how = EvaluationInput(mean=dataset.mean, std=dataset.std, batch_size=batch_size, precision=precision)
        probabilities_NK = logits_of(network, to_device(images, device), how).softmax(1).cpu().numpy()
    bare = make_card(probabilities_NK, images.labels_B, dataset.classes, split=split)
    wrong = [_in_colour(images.images_BHWC[mistake.image]) for mistake in bare.mistakes]
    samples = None if policy is None else _samples(dataset, policy)
    card = replace(
        bare,
        mistakes=tuple(
            replace(one, picture=_jpeg(image, _LARGEST)) for one, image in zip(bare.mistakes, wrong, strict=True)
        ),
        augmented=None if samples is None else _jpeg(samples, _WIDEST),
    )
    write_json(run_dir / CARD, {"data": dataset.name, **card.record()})
    if picture is not None:
        draw_card(card, wrong, samples, picture, title=title)
    return card


def renew_card(run_dir: Path, file: Path | None = None, *, policy: AugmentPolicy | None = None) -> tuple[Card, Path]:
    """Write the card of a finished run on the images that it was evaluated on; return it and the file of its picture.

    A trial of a search never uses the test images, and neither does its card. Its samples show training images
    augmented by `policy`, by default that of the training. Raises `DataError` if the run, its weights or its images
    are missing.
    """
    refuse_links(run_dir)
    split: Split = "test" if was_tested(run_dir) else "validation"
    trained, dataset = read_trained(run_dir), run_dataset(run_dir)
    if not len(dataset.test if split == "test" else dataset.validation):
        raise DataError(f"{run_dir}: no validation images (data.validation=0), so there is no report card")
    picture = file or run_dir / "card.png"
    card = write_card(
        run_dir,
        trained.network,
        dataset,
        policy or run_policy(run_dir),
        split=split,
        title=f"{trained.design.get('name', 'network')} on {dataset.name}",
        device=torch.device("cpu"),
        precision="fp32",
        batch_size=_BATCH,
        picture=picture,
    )
    return card, picture


def make_card(
    probabilities_NK: np.ndarray, labels_N: np.ndarray, classes: tuple[str, ...], *, split: Split = "test"
) -> Card:
    """Return the card, without pictures, of `probabilities_NK` against the true classes `labels_N`; N is at least 1.

    The expected calibration error is that of Guo et al. (ICML 2017), equation 5, over 15 bins of equal width: the mean
    over the images of the absolute difference between accuracy and mean confidence in their bin.
    """
    guesses_N, confidence_N = probabilities_NK.argmax(1), probabilities_NK.max(1)
    right_N = guesses_N == labels_N
    confusion_KK = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion_KK, (labels_N, guesses_N), 1)
    wrong = np.flatnonzero(~right_N)
    surest = wrong[np.argsort(-confidence_N[wrong], kind="stable")][:MISTAKES]
    bins = _bins(confidence_N, right_N)
    return Card(
        split=split,
        classes=classes,
        confusion=tuple(tuple(int(count) for count in row) for row in confusion_KK),
        bins=bins,
        calibration_error=sum(one.images * abs(one.accuracy - one.confidence) for one in bins) / len(labels_N),
        mistakes=tuple(
            Mistake(
                image=int(index),
                label=int(labels_N[index]),
                guess=int(guesses_N[index]),
                confidence=float(confidence_N[index]),
            )
            for index in surest
        ),
    )


def _bins(confidence_N: np.ndarray, right_N: np.ndarray) -> tuple[Bin, ...]:
    """Return the bins that contain an image; each includes its upper edge, as in Guo et al."""
    edges = np.linspace(0, 1, BINS + 1)
    index_N = np.clip(np.searchsorted(edges, confidence_N, side="left") - 1, 0, BINS - 1)
    return tuple(
        Bin(
            low=float(edges[index]),
            high=float(edges[index + 1]),
            images=int(inside.sum()),
            confidence=float(confidence_N[inside].mean()),
            accuracy=float(right_N[inside].mean()),
        )
        for index in range(BINS)
        if (inside := index_N == index).any()
    )


def _samples(dataset: Dataset, policy: AugmentPolicy) -> np.ndarray:
    """Return a mosaic of training images spread over the set, each with several random augmentations."""
    images_NHWC = _spread(dataset, _SAMPLES)
    return _in_colour(augmented_samples(policy, images_NHWC, mean=dataset.mean, std=dataset.std, draws=_DRAWS))


def draw_samples(tree: Mapping[str, Any], file: Path) -> None:
    """Write a picture of training images of the data in `tree`, each with several augmentations, to `file`."""
    policy = decode_policy(tree.get("augment", {}))
    settings = decode(DataSettings, tree.get("data", {}), "data")
    samples = load_samples(settings, most=_DRAWN, each=_EACH)
    images_NHWC = samples.images.images_BHWC
    zoom = max(1, min(3, _WIDE // images_NHWC.shape[2]))
    write_samples(file, policy, images_NHWC, mean=samples.mean, std=samples.std, zoom=zoom)


def _spread(dataset: Dataset, most: int) -> np.ndarray:
    """Return at most `most` training images at equal distances in the set."""
    images = len(dataset.train)
    return dataset.train.images_BHWC[np.linspace(0, images - 1, min(most, images)).astype(int)]


def _in_colour(image_HWC: np.ndarray) -> np.ndarray:
    """Return a one-channel image as a grey image of three channels, and any other image unchanged."""
    return image_HWC.repeat(3, axis=2) if image_HWC.shape[2] == 1 else image_HWC


def _jpeg(image_HWC: np.ndarray, most: int) -> bytes:
    """Return the image as a JPEG, at most `most` px on its longer side."""
    from PIL import Image

    picture, content = Image.fromarray(image_HWC), io.BytesIO()
    picture.thumbnail((most, most))
    picture.save(content, "JPEG", quality=92, subsampling=0)
    return content.getvalue()
