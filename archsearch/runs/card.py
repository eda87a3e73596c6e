"""The report card of a trained network: what it takes for what, how sure it is, and what its training images became.

Legend: B batch, N images, K classes, H height, W width, C = 3 colours. Knows no hydra.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from archsearch.augment.normalise import Normaliser
from archsearch.augment.samples import augmented_samples
from archsearch.report.card import Bin, Card, Mistake, draw_card
from archsearch.runs.record import write_json
from archsearch.training.device import Precision, autocast
from archsearch.training.evaluation import Resident, reside

if TYPE_CHECKING:
    from archsearch.data.dataset import Dataset
    from archsearch.settings.augment import AugmentPolicy

BINS = 15
MISTAKES = 20
_SAMPLES, _DRAWS = 3, 17


def write_card(
    run_dir: Path,
    network: nn.Module,
    dataset: Dataset,
    policy: AugmentPolicy,
    *,
    title: str,
    device: torch.device,
    precision: Precision,
    batch_size: int,
) -> Card:
    """Write `card.png` and `card.json` of `network` on the test images of `dataset` into `run_dir`; return the card."""
    probabilities_NK = predict(
        network,
        reside(dataset.test, device),
        mean=dataset.mean,
        std=dataset.std,
        precision=precision,
        batch_size=batch_size,
    )
    card = make_card(probabilities_NK, dataset.test.labels_B, dataset.classes)
    write_json(run_dir / "card.json", {"data": dataset.name, **card.record()})
    spread = np.linspace(0, len(dataset.train) - 1, _SAMPLES).astype(int)
    draw_card(
        card,
        [dataset.test.images_BHWC[mistake.image] for mistake in card.mistakes],
        augmented_samples(policy, dataset.train.images_BHWC[spread], mean=dataset.mean, std=dataset.std, draws=_DRAWS),
        run_dir / "card.png",
        title=title,
    )
    return card


@torch.inference_mode()
def predict(
    network: nn.Module,
    images: Resident,
    *,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
    precision: Precision,
    batch_size: int,
) -> np.ndarray:
    """Return the (N, K) probabilities that `network`, in evaluation mode, gives `images`; its mode is put back."""
    device, training = images.labels_N.device, network.training
    normalise = Normaliser(mean, std, device)
    network.eval()
    found: list[torch.Tensor] = []
    for start in range(0, len(images), batch_size):
        images_BCHW = normalise(images.images_NHWC[start : start + batch_size].permute(0, 3, 1, 2))
        with autocast(device, precision):
            logits_BK = network(images_BCHW)
        found.append(logits_BK.float().softmax(1))
    network.train(training)
    return torch.cat(found).cpu().numpy()


def make_card(probabilities_NK: np.ndarray, labels_N: np.ndarray, classes: tuple[str, ...]) -> Card:
    """Return the card of `probabilities_NK` against the right classes `labels_N`; N is at least 1.

    The expected calibration error is that of Guo et al. (ICML 2017), equation 5, over 15 bins of equal width: the mean
    over the images of the distance between accuracy and mean confidence in their bin.
    """
    guesses_N, confidence_N = probabilities_NK.argmax(1), probabilities_NK.max(1)
    right_N = guesses_N == labels_N
    confusion_KK = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(confusion_KK, (labels_N, guesses_N), 1)
    wrong = np.flatnonzero(~right_N)
    surest = wrong[np.argsort(-confidence_N[wrong], kind="stable")][:MISTAKES]
    bins = _bins(confidence_N, right_N)
    return Card(
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
    """Return the bins that hold an image; each takes its upper edge, as in Guo et al."""
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
