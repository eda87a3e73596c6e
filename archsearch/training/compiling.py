"""Whether `torch.compile` pays within a run, and the fall-back where it fails; imports torch."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from archsearch.errors import RunError

Forward = Callable[[Tensor], Tensor]

# Images of a whole run from which compiling has paid for itself; see docs/training.md for the measurement.
PAYS_FROM_IMAGES = {"cpu": 400_000, "cuda": 8_000_000}


def wants_compile(asked: Literal["auto"] | bool, device: torch.device, images: int) -> tuple[bool, str | None]:
    """Return whether to compile for a run over `images` images, and a notice where `auto` would but cannot."""
    if asked != "auto":
        return asked, None
    if images < PAYS_FROM_IMAGES.get(device.type, images + 1):
        return False, None
    if not _has_compiler():
        return False, "train.compile=auto: no C++ compiler was found (g++, clang++ or $CXX), training goes uncompiled"
    return True, None


def compile_network(
    network: nn.Module, rehearse: Callable[[Forward], None], *, required: bool
) -> tuple[Forward | None, str | None]:
    """Return the compiled forward of `network`, or None and a notice where compiling fails.

    `rehearse` runs the function once, forward and backward, since compiling happens at the first call; running
    statistics are put back after it and gradients dropped. `network` itself is not changed, so state-dict names
    stay clean. Raises `RunError` where compiling fails and is `required`.
    """
    try:
        with kept_statistics(network):
            compiled: Forward = torch.compile(network, dynamic=False)
            rehearse(compiled)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        cause = cause_of(error)
        if required:
            raise RunError(f"train.compile=true: compiling failed: {cause}. Set train.compile=false.") from error
        return None, f"train.compile=auto: compiling failed ({cause}), training goes uncompiled"
    return compiled, None


def cause_of(error: Exception) -> str:
    """Return the first line of what torch says, or the error's kind where it says nothing."""
    said = str(error).strip()
    return said.splitlines()[0][:200] if said else type(error).__name__


@contextlib.contextmanager
def kept_statistics(network: nn.Module) -> Iterator[None]:
    """Put the running statistics of `network` back at the end, and drop its gradients."""
    statistics = [buffer.clone() for buffer in network.buffers()]
    try:
        yield
    finally:
        network.zero_grad(set_to_none=True)
        with torch.no_grad():
            for buffer, kept in zip(network.buffers(), statistics, strict=True):
                buffer.copy_(kept)


def forget_compiled() -> None:
    """Drop what torch keeps of compiled networks in memory; its cache on disk stays, so that an equal one is quick."""
    torch._dynamo.reset()


def _has_compiler() -> bool:
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++", "c++"]
    return any(shutil.which(name) for name in names) or os.name == "nt"
