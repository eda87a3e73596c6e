"""Networks that other people have written, imported as designs: how many, with what differences, and why not the rest.

    python benchmarks/import_models.py [--side 96] [--most 30] [--only resnet18 ...]

All of torchvision's classification models with at most `--most` million parameters, and timm's below 10 million where
timm is installed, freshly initialised, on images of `--side` px. Parameters and MACs are the module's and, of what was
imported, equal to the design's; logits are compared with the module's weights and with drawn ones. The receptive field
is held against the gradient of the author's network: of the px that the middle of its last convolution depends on.
Prints a table, the reasons of the refusals, and conditions.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import platform
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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

LARGEST = 900  # px of an image that the gradient is computed for
OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}
"""Arguments without which a model takes minutes to initialise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that may be imported."""

    name: str
    make: Callable[[], nn.Module]


def candidates(most: float) -> Iterator[Candidate]:
    """Yield torchvision's models with at most `most` million parameters, and timm's with at most 10."""
    for name in torchvision.models.list_models(module=torchvision.models):
        options = {"weights": None, "num_classes": 10, **OPTIONS.get(name, {})}
        if torchvision.models.get_model_weights(name)["DEFAULT"].meta["num_params"] <= most * 1e6:
            yield Candidate(name=name, make=_maker(torchvision.models.get_model, name, options))
    if importlib.util.find_spec("timm") is None:
        print("| timm is not installed: its models are left out | | | | | | | |")
        return
    timm: Any = importlib.import_module("timm")
    for name in timm.list_models():
        make = _maker(timm.create_model, name, {"pretrained": False, "num_classes": 10})
        if _millions(make) <= min(most, 10):
            yield Candidate(name=f"timm {name}", make=make)


def _maker(function: Callable[..., nn.Module], name: str, options: dict[str, Any]) -> Callable[[], nn.Module]:
    return lambda: function(name, **options)


def _millions(make: Callable[[], nn.Module]) -> float:
    """Return the million parameters of a model; infinite for one that cannot be made without memory for its weights."""
    try:
        with torch.device("meta"):
            return sum(each.numel() for each in make().parameters()) / 1e6
    except (NotImplementedError, RuntimeError):
        return math.inf


def reads_back(imported: Imported) -> bool:
    """Return whether the design that is written to a file gives the same network."""
    again = decode_design(self_contained(imported.design), no_blocks)
    return lower(again) == lower(imported.design)


def field_of_gradient(network: nn.Module, field: int) -> int | None:
    """Return the rows that the middle of the last convolution over a map depends on; None where that is not feasible.

    `field` is the expected number, from which the size of the image follows. All weights are positive and small, so
    that no activation stops the gradient; several draws, because a maximum has the gradient of one value.
    """
    side = -(-(field + 96) // 32) * 32
    if side > LARGEST:
        return None
    network = network.double().eval()
    generator = torch.Generator().manual_seed(0)
    last: dict[str, Tensor] = {}

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        if output.shape[-1] > 1:
            last["map"] = output

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(keep)
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=generator).div_(10 * module.weight[0].numel())
    seen = torch.zeros(side, dtype=torch.bool)
    for _ in range(2):
        pixels = torch.rand(1, 3, side, side, dtype=torch.float64, generator=generator).requires_grad_()
        network(pixels)
        middle = last["map"].shape[-1] // 2
        (gradient,) = torch.autograd.grad(last["map"][0, :, middle, middle].sum(), pixels)
        seen |= gradient[0].abs().amax((0, 2)) > 0
    rows = seen.nonzero().flatten()
    return int(rows[-1] - rows[0]) + 1


def has_gates(design: object) -> bool:
    """Return whether maps are multiplied: a gate depends on all px, which the receptive field leaves out."""
    return "multiply" in str(design)


def reason_of(error: SpecError) -> str:
    """Return a refusal without paths, lines and numbers."""
    return re.sub(r"\b\d+\b", "N", re.sub(r" \([^()]*, line .*", "", error.what))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=96, help="px of the images")
    parser.add_argument("--most", type=float, default=30, help="million parameters of the largest model")
    parser.add_argument("--only", nargs="*", help="names of models")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    reasons, tried, imports = Counter[str](), 0, 0
    print("| network | parameters | MACs | logits | reads back | receptive field | of the gradient | notes |")
    print("|---|---|---|---|---|---|---|---|")
    for candidate in candidates(options.most):
        if options.only and candidate.name not in options.only:
            continue
        tried += 1
        torch.manual_seed(0)
        network = candidate.make()
        try:
            imported = from_module(network, (3, options.side, options.side))
        except SpecError as error:
            reasons[reason_of(error)] += 1
            print(f"| {candidate.name} | refused: {error.where}: {reason_of(error)} | | | | | | |", flush=True)
            continue
        imports += 1
        field = measure(lower(imported.design)).receptive_field
        gates = has_gates(imported.design.source)
        seen = "gates" if gates else field_of_gradient(network, field) or f"image above {LARGEST} px"
        counts = f"{number(imported.parameters)} | {number(imported.macs)} | {imported.difference:.0e}"
        notes = "; ".join(note.partition(":")[0] for note in imported.notes)
        back = "yes" if reads_back(imported) else "NO"
        print(f"| {candidate.name} | {counts} | {back} | {field} | {seen} | {notes} |", flush=True)
    print(f"\n{imports} of {tried} imported.\n\n| refused because | networks |\n|---|---|")
    for reason, count in reasons.most_common():
        print(f"| {reason} | {count} |")
    print(f"\nPython {platform.python_version()}, torch {torch.__version__}, torchvision {torchvision.__version__}.")


if __name__ == "__main__":
    main()
