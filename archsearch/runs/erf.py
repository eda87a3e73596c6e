"""The effective receptive field of a trained network: the pixels that influence the middle unit of a feature map.

Legend: B images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from archsearch.analysis.measure import rows, stage_ends
from archsearch.augment.normalise import Normaliser
from archsearch.report.figures.erf import EffectiveField, draw_effective_fields
from archsearch.runs.folder import refuse_links
from archsearch.runs.load import Trained, read_trained
from archsearch.runs.record import run_dataset

IMAGES = 256
NEGLIGIBLE = 1 - 0.9545
"""Pixels with less influence than this fraction of the strongest do not count (Luo et al., NIPS 2016, section 3)."""
_BATCH = 64


def draw_erf(run_dir: Path, file: Path) -> list[EffectiveField]:
    """Draw the effective over the theoretical receptive fields of a run's network to `file`; return the effective ones.

    Raises `DataError` if the run, its weights or its images are missing, `SpecError` if `file` has no picture format.
    """
    refuse_links(run_dir)
    trained, dataset = read_trained(run_dir), run_dataset(run_dir)
    images_BHWC = dataset.test.images_BHWC[:IMAGES]
    sights = look(trained, np.ascontiguousarray(images_BHWC.transpose(0, 3, 1, 2)))
    name = trained.design.get("name", "network")
    draw_effective_fields(
        sights, file, title=f"{name}: effective over theoretical receptive field", images=len(images_BHWC)
    )
    return sights


def look(trained: Trained, images_BCHW: np.ndarray) -> list[EffectiveField]:
    """Return the effective field of the middle unit of the last feature map of the stem and of each stage.

    The influence of a pixel is the absolute gradient of that unit, summed over the unit's channels, with respect to the
    pixel's normalised channels, averaged over the uint8 `images_BCHW` and summed over these channels (Luo et al.,
    NIPS 2016). It is scaled so that the strongest pixel has 1.
    """
    ends = [(name, row) for name, row in stage_ends(rows(trained.plan)) if name != "head"]
    modules = [trained.network.get_submodule(name if name == "stem" else f"stages.{name}") for name, _ in ends]
    normalise = Normaliser(trained.mean, trained.std, "cpu")
    _, height, width = trained.plan.input_shape
    influence = np.zeros((len(ends), height, width))
    maps: dict[int, Tensor] = {}

    def keeps(index: int) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _module, _given, out_BCHW: maps.update({index: out_BCHW})

    hooks = [module.register_forward_hook(keeps(index)) for index, module in enumerate(modules)]
    try:
        for start in range(0, len(images_BCHW), _BATCH):
            batch_BCHW = normalise(torch.from_numpy(images_BCHW[start : start + _BATCH])).requires_grad_()
            trained.network(batch_BCHW)
            for index in range(len(ends)):
                out_BCHW = maps[index]
                middle = out_BCHW[:, :, out_BCHW.shape[2] // 2, out_BCHW.shape[3] // 2].sum()
                (gradient_BCHW,) = torch.autograd.grad(middle, batch_BCHW, retain_graph=True)
                influence[index] += gradient_BCHW.abs().sum((0, 1)).double().numpy()
    finally:
        for hook in hooks:
            hook.remove()
    found: list[EffectiveField] = []
    for (name, row), map_HW in zip(ends, influence, strict=True):
        share_HW = map_HW / (map_HW.max() or 1.0)
        seen_rows, seen_columns = row.middle_field()
        found.append(
            EffectiveField(
                stage=name,
                influence_HW=share_HW,
                effective=float(np.sqrt((share_HW > NEGLIGIBLE).sum())),
                size=row.receptive_field,
                rows=seen_rows,
                columns=seen_columns,
            )
        )
    return found
