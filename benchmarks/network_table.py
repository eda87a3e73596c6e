"""Make the page of the shipped networks: `python benchmarks/network_table.py [--out docs/reference/networks.md]`.

It lists parameters, MACs and receptive field for images of 3 x 32 x 32 and ten classes, the limits of
`advanced_convolution` that each network breaks, and its source: the first sentence of its file in `conf/arch`. Prints
the page, or writes it to `--out`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from archsearch.analysis.check import check_design
from archsearch.analysis.limits import decode_limits
from archsearch.config_files import config_folder, option_file, read_yaml
from archsearch.formatting import number
from archsearch.library import load_design

LIMITS = "advanced_convolution"
INTRODUCTION = f"""\
# Shipped networks

`python benchmarks/network_table.py --out docs/reference/networks.md` makes this page. The figures are for images of
3 x 32 x 32 and ten classes, with `block=normal` where a network uses `${{block}}`. *Limits* are those of
`{LIMITS}`: the network keeps `all`, or the broken ones are named.
`python -m archsearch.show arch=NAME` shows a network and how to keep its limits.

| network | parameters | MACs | receptive field, px | limits | what it is |
|---|---|---|---|---|---|
"""
FOOTER = """
`tests/network/` compares these with their sources in parameters, MACs and, with the same weights, logits:
convmixer_256_8, convnext_atto, densenet_bc_40, efficientnet_lite0, ghostnet, mobilenet_v3_small, repvgg_a0, resnet8,
shufflenet_v2_x0_5, squeezenet, tiniest and wrn16_2. The source is torchvision or timm where these have the network,
else a module written from the paper. Networks for 224 px are compared at 224 px with 1 000 classes; on 32 px many end
with a map of one pixel, and their files say which strides to change.
"""


def main() -> None:
    """Print the page, or write it to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    out: Path | None = parser.parse_args().out
    if out is None:
        sys.stdout.write(page())
    else:
        out.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the Markdown page."""
    return INTRODUCTION + "\n".join(rows()) + "\n" + FOOTER


def rows() -> Iterator[str]:
    """Yield the table row of every network, sorted by name."""
    limits = decode_limits(read_yaml(option_file("constraints", LIMITS)))
    for file in sorted((config_folder() / "arch").glob("*.yaml")):
        if file.stem == "file":  # the option for the user's own designs
            continue
        found = check_design(load_design(file.stem), limits)
        footprint = found.footprint
        broken = [margin.limit for margin in found.margins if not margin.kept]
        cells = (
            f"[{file.stem}](../../conf/arch/{file.name})",
            number(footprint.parameters),
            number(footprint.macs),
            number(footprint.receptive_field),
            ", ".join(broken) or "all",
            source(file.read_text(encoding="utf-8")),
        )
        yield f"| {' | '.join(cells)} |"


def source(text: str) -> str:
    """Return the first sentence after the command in the opening comment of `text`."""
    lines = re.match(r"(?:#.*\n)*", text)
    assert lines is not None, "it may match nothing"
    comment = " ".join(line.removeprefix("#").strip() for line in lines[0].splitlines()[1:])
    return re.split(r"\.(?:\s|$)", comment)[0]


if __name__ == "__main__":
    main()
