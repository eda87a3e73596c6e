"""Which way a training computes a network's logits: as it is, by our kernels, or compiled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from archsearch.errors import RunError, SpecError
from archsearch.kernels import Chain, equip, load_kernels
from archsearch.settings.training import TrainSettings
from archsearch.training.compiling import Forward, compile_network, wants_compile
from archsearch.training.device import Precision


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The function from images to logits, what it is and computes in, and a notice where `auto` fell back.

    `cast` is the format that torch casts activations to. The kernels keep maps in bf16 by themselves and cast nothing.
    """

    forward: Forward
    precision: Precision
    cast: Precision
    name: Literal["eager", "native", "compiled"] = "eager"
    notice: str | None = None

    @property
    def told(self) -> str:
        """What stands behind device and precision where a run's conditions are told."""
        return {"compiled": " compiled", "native": " with kernels"}.get(self.name, "")


def choose_way(
    network: nn.Module,
    settings: TrainSettings,
    device: torch.device,
    precision: Precision,
    *,
    images: int,
    rehearse: Callable[[Forward], None],
) -> Way:
    """Return the way of a run over `images` images in all; the kernels are given to `network` itself.

    `rehearse` runs a step forward and backward. On a CPU the kernels go before compiling, unless that is asked for.
    Raises `SpecError` and `RunError` where what is asked for cannot be done.
    """
    native, why_not = _equip(network, settings, device)
    if native is not None:
        return Way(forward=network, precision=native, cast="fp32", name="native")
    wanted, notice = wants_compile(settings.compile, device, images)
    forward: Forward | None = None
    if wanted:
        forward, notice = compile_network(network, rehearse, required=settings.compile is True)
    if forward is None:
        return Way(forward=network, precision=precision, cast=precision, notice=notice or why_not)
    return Way(forward=forward, precision=precision, cast=precision, name="compiled", notice=notice)


def _equip(network: nn.Module, settings: TrainSettings, device: torch.device) -> tuple[Precision | None, str | None]:
    """Return the format that `network` now keeps maps in by the kernels, and a notice where `auto` would but cannot.

    They keep maps in bf16 unless fp32 is asked for, since it moves half as much memory. Processors with units for bf16
    are no exception: the kernels were faster there than torch, also where they did not use them.
    """
    if settings.kernels == "native":
        if device.type != "cpu":
            what = f"native kernels are for a CPU, the run is on {device.type}"
            raise SpecError("train.kernels", what, "Set train.kernels=auto.")
        if settings.compile is True:
            raise SpecError("train.kernels", "native cannot be combined with train.compile", "Set train.compile=false.")
    elif settings.kernels == "torch" or settings.compile is True or device.type != "cpu":
        return None, None
    if not any(isinstance(module, Chain) for module in network.modules()):
        return None, None
    kept: Precision = "fp32" if settings.precision == "fp32" else "bf16"
    try:
        equip(network, load_kernels(), in_bf16=kept == "bf16")
    except RunError as error:
        if settings.kernels == "native":
            raise RunError(f"train.kernels=native: {error}. Set train.kernels=torch.") from error
        return None, f"train.kernels=auto: {error}; training goes on with torch's, which take longer"
    return kept, None
