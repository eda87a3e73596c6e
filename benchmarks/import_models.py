"""Import published models as designs: how many succeed, with what differences, and why the others are rejected.

    python benchmarks/import_models.py [--side 96] [--most 10] [--every 1] [--only resnet18 ...]

Imports all classification models of torchvision and timm with at most `--most` million parameters that accept images of
`--side` or 224 px, freshly initialised. Parameters and MACs are those of the module, and equal to those of an imported
design. Logits are compared with the module's weights and with random ones. The receptive field is compared with the
gradient of the original network: the px that the centre of its last convolution depends on. Separate processes import
several models each, in at most `--limit` seconds. Prints a table, the reasons for rejections, and the conditions.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import platform
import re
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from archsearch.analysis.measure import measure
from archsearch.design.lower import lower
from archsearch.design.spec import decode_design, no_blocks, self_contained
from archsearch.errors import SpecError
from archsearch.formatting import number
from archsearch.importer.from_module import Imported
from archsearch.library import from_module

LARGEST = 900  # px of the largest image that the gradient is computed for
OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}
"""Arguments without which a model takes minutes to initialise."""


TIMM = "timm "
"""Prefix of the names of timm models."""


def names() -> list[str]:
    """Return the names of all models of torchvision and timm."""
    timm: Any = importlib.import_module("timm")
    return [
        *torchvision.models.list_models(module=torchvision.models),
        *(f"{TIMM}{each}" for each in timm.list_models()),
    ]


def make(name: str) -> nn.Module:
    """Return a model with fresh weights, for 10 classes."""
    if name.startswith(TIMM):
        timm: Any = importlib.import_module("timm")
        return timm.create_model(name.removeprefix(TIMM), pretrained=False, num_classes=10).eval()
    return torchvision.models.get_model(name, weights=None, num_classes=10, **OPTIONS.get(name, {})).eval()


def millions(name: str) -> float:
    """Return the millions of parameters of a model; infinite if it cannot be built on the meta device."""
    try:
        with torch.device("meta"):
            return sum(each.numel() for each in make(name).parameters()) / 1e6
    except (NotImplementedError, RuntimeError):
        return math.inf


def size_of_images(network: nn.Module, side: int) -> int | None:
    """Return `side` or 224, the first size that the network accepts; None if neither."""
    for each in (side, 224):
        with torch.no_grad(), contextlib.suppress(Exception):
            network(torch.zeros(2, 3, each, each))
            return each
    return None


def reads_back(imported: Imported) -> bool:
    """Return whether the design, written to a file and read again, gives the same network."""
    again = decode_design(self_contained(imported.design), no_blocks)
    return lower(again) == lower(imported.design)


def field_of_gradient(network: nn.Module, field: int) -> int | None:
    """Return the px that the centre of the last convolution's feature map depends on; None if the image is too large.

    The axis with fewer px counts. `field` is the expected number, which determines the size of the image. All weights
    are positive and small, so that no activation blocks the gradient; several random images are used, because a maximum
    passes the gradient to one value only.
    """
    side = -(-(field + 96) // 32) * 32
    if side > LARGEST:
        return None
    network = network.double().eval()
    generator = torch.Generator().manual_seed(0)
    last: dict[str, Tensor] = {}

    def keep(module: nn.Module, _inputs: Any, output: Any) -> None:
        """Keep the output of a layer that does not pool: that after the last sum, not of a shortcut that runs last."""
        whole = isinstance(output, Tensor) and output.ndim == 4 and output.shape[-1] > 1
        if whole and "Pool" not in type(module).__name__:
            last["map"] = output

    for weight in network.parameters():
        if weight.ndim <= 1 and not weight.detach().any():  # a scale of 0 blocks the gradient; shifts do not matter
            nn.init.ones_(weight)
    for module in network.modules():
        if not any(True for _ in module.children()):
            module.register_forward_hook(keep)
        if isinstance(module, nn.Conv2d):
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=generator).div_(10 * module.weight[0].numel())
    seen = torch.zeros(side, side, dtype=torch.bool)
    for _ in range(4):
        pixels = torch.rand(1, 3, side, side, dtype=torch.float64, generator=generator).requires_grad_()
        network(pixels)
        middle = last["map"].shape[-1] // 2
        (gradient,) = torch.autograd.grad(last["map"][0, :, middle, middle].sum(), pixels)
        seen |= gradient[0].abs().amax(0) > 0
    places = seen.nonzero()
    return int((places.amax(0) - places.amin(0)).min()) + 1


def has_gates(design: object) -> bool:
    """Return whether feature maps are multiplied: a gate depends on all px, which the receptive field ignores."""
    return "multiply" in str(design)


def reason_of(error: SpecError) -> str:
    """Return the message of a rejection without paths, lines and numbers."""
    return re.sub(r"\b\d+\b", "N", re.sub(r" \([^()]*, line .*", "", error.what))


def row(name: str, options: argparse.Namespace) -> dict[str, Any] | None:
    """Return the result for a model; None if it is too large or accepts no such images."""
    if millions(name) > options.most:
        return None
    torch.manual_seed(0)
    network = make(name)
    side = size_of_images(network, options.side)
    if side is None:
        return None
    try:
        imported = from_module(network, (3, side, side))
    except SpecError as error:
        return {"rejected": reason_of(error), "cells": [f"rejected: {error.where}: {reason_of(error)}", *[""] * 7]}
    field = measure(lower(imported.design)).receptive_field
    gates = has_gates(imported.design.source)
    seen = "gates" if gates else (field_of_gradient(network, field) or f"image above {LARGEST} px")
    counts = [number(imported.parameters), number(imported.macs), f"{imported.difference:.0e}"]
    notes = "; ".join(note.partition(":")[0] for note in imported.notes)
    back = "yes" if reads_back(imported) else "NO"
    return {"rejected": "", "cells": [str(side), *counts, back, str(field), str(seen), notes]}


def rows_of(chunk: list[str], options: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield the name and row of each model of a chunk, from separate processes; a model without result is rejected."""
    while chunk:
        arguments = [f"--side={options.side}", f"--most={options.most}", "--only", *chunk]
        command = [sys.executable, __file__, "--child", *arguments]
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=options.limit, check=False)
            text, why = done.stdout, f"the process ended with exit code {done.returncode}"
        except subprocess.TimeoutExpired as error:
            text, why = (error.stdout or b"").decode(), f"no result within {options.limit} s"
        found = [json.loads(line) for line in text.splitlines() if line.startswith("[") and line.endswith("]")]
        yield from ((name, made) for name, made in found)
        chunk = chunk[len(found) :]
        if chunk:
            yield chunk[0], {"rejected": why, "cells": [f"rejected: {why}", *[""] * 7]}
            chunk = chunk[1:]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=96, help="image size in px")
    parser.add_argument("--most", type=float, default=10, help="maximum parameters, in millions")
    parser.add_argument("--every", type=int, default=1, help="import only every Nth model")
    parser.add_argument("--chunk", type=int, default=25, help="models per process")
    parser.add_argument("--limit", type=float, default=900, help="maximum seconds per process")
    parser.add_argument("--only", nargs="*", help="model names")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.child:
        for name in options.only:
            print(json.dumps([name, row(name, options)]), flush=True)
        return
    chosen = options.only or names()[:: options.every]
    reasons, tried, imports = Counter[str](), 0, 0
    print("| network | px | parameters | MACs | logits | reads back | receptive field | of the gradient | notes |")
    print("|---|---|---|---|---|---|---|---|---|")
    for start in range(0, len(chosen), options.chunk):
        for name, made in rows_of(chosen[start : start + options.chunk], options):
            if made is None:
                continue
            tried += 1
            imports += not made["rejected"]
            reasons.update([made["rejected"]] if made["rejected"] else [])
            print(f"| {name} | {' | '.join(made['cells'])} |", flush=True)
    share = f" ({imports / tried:.0%})" if tried else ""
    print(f"\n{imports} of {tried} imported{share}.\n\n| reason for rejection | networks |\n|---|---|")
    for reason, count in reasons.most_common():
        print(f"| {reason} | {count} |")
    versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {version('timm')}"
    print(f"\nPython {platform.python_version()}, {versions}.")


if __name__ == "__main__":
    main()
