"""The Python API for programs and notebooks; torch, Hydra and OmegaConf are imported only when needed.

Like the commands, it composes and decodes a design and passes it on.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.config_files import block_lookup, config_folder, option_file, read_design, read_yaml
from archsearch.config_files.limits import check_values
from archsearch.config_files.rules import check_design
from archsearch.design.spec import DesignSpec, decode_design

if TYPE_CHECKING:
    from torch import nn

    from archsearch.analysis.check import Checked
    from archsearch.analysis.measure import Footprint
    from archsearch.importer.from_module import Imported
    from archsearch.network.portable import Takes

Source = str | Path | Mapping[str, Any]
"""A design: the path of a YAML file, the name of a shipped network, or a mapping."""


def load_design(
    source: Source,
    *,
    block: str | Mapping[str, Any] = "normal",
    classes: int = 10,
    channels: int = 3,
    image_size: int = 32,
    folders: tuple[Path, ...] = (),
) -> DesignSpec:
    """Return the design that `source` describes.

    `block`, `classes`, `channels` and `image_size` are the values of `${block}`, `${data.classes}`, `${data.channels}`
    and `${data.image_size}`. Blocks are looked up by name in `folders`, next to the file (`../block`), and among the
    shipped ones.
    Raises `SpecError` if the design cannot be read.
    """
    from archsearch.cli.compose import resolve

    searched = list(folders)
    if isinstance(source, Mapping):
        raw = dict(source)
        check_values(raw, "design")
        check_design(raw, "design")
    else:
        file = Path(source)
        if file.suffix not in (".yaml", ".yml"):
            file = option_file("arch", str(source))
        raw = read_design(file)
        searched.append(file.resolve().parent.parent)
    blocks = block_lookup([*searched, config_folder()])
    tree = {"arch": raw, "block": block, "data": {"classes": classes, "channels": channels, "image_size": image_size}}
    return decode_design(resolve(tree)["arch"], blocks)


def analyse(design: DesignSpec | Source) -> Footprint:
    """Return the footprint of `design`: parameters, MACs, receptive field (px), one row per layer.

    Raises `SpecError` if the design is not a valid network, or if its width is `fit` (use `check` for it).
    """
    from archsearch.analysis.measure import measure
    from archsearch.design.lower import lower

    return measure(lower(_design(design)))


def check(design: DesignSpec | Source, limits: Mapping[str, Any] | str = "advanced_convolution") -> Checked:
    """Return `design` with its width resolved, its footprint, and one margin per limit.

    `limits` is a mapping as in `conf/constraints`, or the name of a shipped one. Margins of broken limits have fixes.
    """
    from archsearch.analysis.check import check_design
    from archsearch.analysis.limits import decode_limits

    raw = read_yaml(option_file("constraints", limits)) if isinstance(limits, str) else limits
    return check_design(_design(design), decode_limits(raw), block_lookup([config_folder()]))


def build(design: DesignSpec | Source, *, seed: int = 0) -> nn.Module:
    """Return the network of `design` on the CPU, freshly initialised: (B, C, H, W) images to (B, K) logits."""
    import torch

    from archsearch.design.lower import lower
    from archsearch.network.assemble import assemble

    return assemble(lower(_design(design)), generator=torch.Generator().manual_seed(seed))


def load(run_dir: str | Path, *, takes: Takes = "normalised") -> nn.Module:
    """Return the trained network of the run directory or safetensors file `run_dir`, ready to use on the CPU.

    Its input is a batch of images (B, C, H, W): normalised ones by default, bytes with `takes="uint8"`, floats in 0..1
    with `takes="unit"`.
    Raises `DataError` if there is no finished run.
    """
    from archsearch.runs.load import load_network

    return load_network(Path(run_dir), takes)


def from_module(network: nn.Module, input: tuple[int, int, int] = (3, 32, 32), *, name: str = "") -> Imported:  # noqa: A002
    """Return the design of a torch module for images of the shape `input` (C, H, W), with the module's weights.

    The import is verified: the design has the same parameters, MACs and logits as the module. `check(imported.design)`
    returns its receptive field and margins. Raises `SpecError` for a module that a design cannot express exactly.
    """
    from archsearch.importer.from_module import from_module as read

    return read(network, input, name=name)


def _design(design: DesignSpec | Source) -> DesignSpec:
    return design if isinstance(design, DesignSpec) else load_design(design)
