"""Trained designs and their values, as targets of the model: one score each, on a common level, near normal.

Imports numpy and scipy only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from archsearch.search.samplers.gaussian_process import Array
from archsearch.search.space import Design, Key, Space

Direction = Literal["maximize", "minimize"]

RUNG, EARLIER = "rung", "earlier"
"""Keys of `Design.context`: `RUNG` holds log(epochs / epochs of a full training), `EARLIER` 1 for an earlier study."""

POWERS = (-8.0, 12.0)  # range of the exponent of the Yeo-Johnson transform
AUGMENTATION = 0.05  # weight of the sum in a scalarised objective (Knowles 2006, ParEGO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A trained design with its value per objective; `values` is None if the training failed."""

    design: Design
    values: tuple[float, ...] | None

    @property
    def usable(self) -> bool:
        """Whether every value is a finite number."""
        return self.values is not None and all(math.isfinite(value) for value in self.values)


def scalarised(observations: Sequence[Observation], directions: Sequence[Direction], rng: Generator) -> Array:
    """Return one score per observation [N], higher is better; failed observations get the worst score of the others.

    Several objectives are scaled to 0..1 and combined by the augmented Chebyshev function (Knowles 2006, ParEGO,
    equation 2). Its weights are drawn at random for every proposal, so that the whole Pareto front is searched.
    """
    signs = np.array([1.0 if direction == "maximize" else -1.0 for direction in directions])
    rows = [each.values if each.usable else (math.nan,) * len(signs) for each in observations]
    values_NO = np.array(rows, dtype=float) * signs
    if len(signs) == 1:
        score_N = values_NO[:, 0]
    else:
        low, high = np.nanmin(values_NO, axis=0), np.nanmax(values_NO, axis=0)
        loss_NO = (high - values_NO) / np.where(high > low, high - low, 1.0) * rng.dirichlet(np.ones(len(signs)))
        score_N = -(loss_NO.max(axis=1) + AUGMENTATION * loss_NO.sum(axis=1))
    return np.where(np.isnan(score_N), np.nanmin(score_N), score_N)


def levelled(scores_N: Array, designs: Sequence[Design], space: Space) -> Array:
    """Return the scores, with every context shifted to the level of full trainings in this study.

    The shift is the mean difference over the designs that have scores on both levels, such as promoted designs, which
    are better than most. If no design has both, it is the difference of the means. The model corrects what remains.
    """
    groups: dict[tuple[tuple[str, float], ...], list[int]] = {}
    for index, design in enumerate(designs):
        groups.setdefault(tuple(sorted(design.context.items())), []).append(index)
    if len(groups) < 2:
        return scores_N
    moved_N = scores_N.copy()
    known: dict[Key, float] = {}
    done: list[int] = []
    for context in sorted(groups, key=lambda items: (len(items), [-value for _, value in items])):
        own = groups[context]
        keys = [space.key(designs[index].params) for index in own]
        both = [known[key] - scores_N[index] for key, index in zip(keys, own, strict=True) if key in known]
        shift = np.mean(both) if both else moved_N[done].mean() - scores_N[own].mean() if done else 0.0
        moved_N[own] += shift
        known.update((key, float(moved_N[index])) for key, index in zip(keys, own, strict=True) if key not in known)
        done += own
    return moved_N


def gaussianised(scores_N: Array) -> Array:
    """Return finite scores, transformed by the power transform of Yeo and Johnson (2000) to mean 0 and variance 1.

    The score of a bad training is an outlier; after the transform it does not hide the differences between good ones.
    The power is the maximum likelihood estimate (their equation 3.1). Equal scores all become 0.
    """
    scores_N = scores_N / max(float(np.abs(scores_N).max()), 1.0)  # otherwise the squares of huge scores overflow
    spread = float(scores_N.std())
    if spread < 1e-12:
        return np.zeros_like(scores_N)
    standard_N = (scores_N - scores_N.mean()) / spread
    slope = float(np.sum(np.sign(standard_N) * np.log1p(np.abs(standard_N))))

    def cost(power: float) -> float:
        return (
            0.5 * len(standard_N) * math.log(float(_transformed(standard_N, power).var()) + 1e-300)
            - (power - 1.0) * slope
        )

    found: Any = minimize_scalar(cost, bounds=POWERS, method="bounded")
    transformed_N = _transformed(standard_N, float(found.x))
    deviation = float(transformed_N.std())
    return (transformed_N - transformed_N.mean()) / deviation if deviation > 0 else standard_N


def _transformed(standard_N: Array, power: float) -> Array:
    size_N = np.log1p(np.abs(standard_N))
    power_N = np.where(standard_N >= 0, power, 2.0 - power)
    safe_N = np.where(np.abs(power_N) < 1e-9, 1.0, power_N)
    return np.sign(standard_N) * np.where(np.abs(power_N) < 1e-9, size_N, np.expm1(safe_N * size_N) / safe_N)


def representatives(scores_N: Array, limit: int) -> NDArray[np.intp]:
    """Return at most `limit` indices: half of them the best scores, the rest at evenly spaced ranks of the others."""
    order = np.argsort(-scores_N, kind="stable")
    if len(order) <= limit:
        return np.arange(len(order))
    best, others = order[: limit // 2], order[limit // 2 :]
    evenly = np.linspace(0, len(others) - 1, limit - len(best)).round().astype(np.intp)
    return np.sort(np.concatenate([best, others[evenly]]))
