"""Export every shipped network with ONNX and torch.export, and compare classes and logits with the original.

    python benchmarks/export_agreement.py                  on images of the embedded set
    python benchmarks/export_agreement.py --root DIR       on images of DIR/test/CLASS/*

Networks are freshly initialised, with random BatchNorm statistics, scales and shifts. As after training, none of them
is 0 or 1, so an export cannot drop one unnoticed. Needs archsearch[export]. Prints a table and the conditions.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

from archsearch.config_files import config_folder
from archsearch.data.load import load_dataset
from archsearch.library import build, check
from archsearch.network.portable import (
    Agreement,
    Preprocessed,
    as_function,
    compare,
    read_onnx,
    read_torch_export,
    write_onnx,
    write_torch_export,
)
from archsearch.settings.data import DataSettings, ShapesSettings

IMAGES = 1000


def randomise(network: nn.Module, generator: torch.Generator) -> None:
    """Set the statistics, scales and shifts of every norm of `network` to random values, as after training."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.2, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(0, 0.2, generator=generator)


def agreements(name: str, images_BCHW: np.ndarray, mean: tuple[float, ...], std: tuple[float, ...]) -> list[Agreement]:
    """Return the agreement of the shipped network `name` with its ONNX and torch.export exports."""
    network = build(check(name, {}).design)
    randomise(network, torch.Generator().manual_seed(0))
    whole = Preprocessed(network, mean, std, "uint8").eval()
    with tempfile.TemporaryDirectory() as folder:
        onnx, program = Path(folder, "net.onnx"), Path(folder, "net.pt2")
        write_onnx(whole, images_BCHW[:2], onnx, {})
        write_torch_export(whole, images_BCHW[:2], program, "{}")
        return [
            compare(as_function(whole), read, images_BCHW) for read in (read_onnx(onnx), read_torch_export(program))
        ]


def main() -> int:
    """Print a row for every network; return 1 if any class differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    images = os.environ.get("ARCHSEARCH_CIFAR10")
    parser.add_argument(
        "--root",
        "--folder",
        default=images,
        help="folder with train/CLASS/* and test/CLASS/*; without it, the embedded set",
    )
    parser.add_argument("--arch", nargs="+", help="only these networks")
    options = parser.parse_args()
    if missing := [name for name in ("onnx", "onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]:
        print(f"skipped: {', '.join(missing)} not installed; pip install 'archsearch[export]'")
        return 0
    folder, chosen = options.root, options.arch
    drawn = DataSettings(name="shapes", shapes=ShapesSettings(train_images=1000, test_images=IMAGES))
    dataset = load_dataset(drawn if folder is None else DataSettings(name="folder", root=folder))
    images_BCHW = np.ascontiguousarray(dataset.test.images_BHWC[:IMAGES].transpose(0, 3, 1, 2))
    heads = [f"{kind}: {what}" for kind in ("ONNX", "torch.export") for what in ("same class", "largest difference")]
    print(f"| arch | {' | '.join(heads)} | largest logit |")
    print("|---|---|---|---|---|---|", flush=True)
    equal = True
    shipped = sorted(file.stem for file in (config_folder() / "arch").glob("*.yaml") if file.stem != "file")
    for name in chosen or shipped:
        onnx, program = agreements(name, images_BCHW, dataset.mean, dataset.std)
        cells = [f"{one.same} of {one.images} | {one.difference:.1e}" for one in (onnx, program)]
        print(f"| {name} | {' | '.join(cells)} | {onnx.scale:.3g} |", flush=True)
        equal = equal and onnx.same == program.same == len(images_BCHW)
    versions = ", ".join(f"{library} {version(library)}" for library in ("torch", "onnx", "onnxscript", "onnxruntime"))
    print(f"\n{len(images_BCHW)} test images of {dataset.name}, uint8 input, seed 0, CPU; {versions}, Python "
          f"{platform.python_version()}")  # fmt: skip
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
