"""Test accuracy of networks of equal size by receptive field, on the embedded set or on real images.

    python benchmarks/receptive_field.py [--root DIR] [--fields 7 15 31 47] [--epochs 10] [--seed 0]

`--root` is a folder of images, train/CLASS/* and test/CLASS/*. Without it, the images are the embedded set `shapes`,
whose classes differ only in details that lie far apart (receptive_field_xeon2.md).

All four networks have nine convolutions with the same strides, and about 106 000 parameters. Those with smaller
receptive fields have 1x1 instead of the last 3x3 convolutions, and are wider there. Ten epochs of the embedded set take
about 100 s of CPU time each.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from archsearch.data import Images, load_dataset
from archsearch.processor import processor_name
from archsearch.settings.data import DataSettings

STRIDES = (1, 1, 2, 1, 2, 1, 1, 1, 1)
WIDE = {7: (3, 152), 15: (5, 128), 31: (7, 64), 47: (9, 48)}
"""By receptive field in px: the number of 3x3 convolutions among the nine, and the width of the last five."""
BATCH = 128


def network(field: int) -> tuple[nn.Sequential, int]:
    """Return the network with a receptive field, and the field computed from kernel sizes and strides."""
    spatial, width = WIDE[field]
    layers: list[nn.Module] = []
    size, jump, channels = 1, 1, 3
    for index, (stride, out) in enumerate(zip(STRIDES, (16, 16, 24, 24, *[width] * 5), strict=True)):
        kernel = 3 if index < spatial else 1
        layers += [nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
        size, jump, channels = size + (kernel - 1) * jump, jump * stride, out
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10)]
    return nn.Sequential(*layers, *head).to(memory_format=torch.channels_last), size


def tensors(images: Images) -> tuple[Tensor, Tensor]:
    """Return float images [B, 3, H, W] of about unit variance, and labels [B]."""
    scaled = (images.images_BHWC.astype(np.float32) - 128) / 64
    pixels = torch.from_numpy(scaled).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    return pixels, torch.from_numpy(images.labels_B)


def accuracy(net: nn.Module, images_BCHW: Tensor, labels_B: Tensor) -> float:
    """Return the accuracy in percent."""
    net.eval()
    with torch.inference_mode():
        right = [
            (net(images_BCHW[start : start + 500]).argmax(1) == labels_B[start : start + 500]).sum()
            for start in range(0, len(labels_B), 500)
        ]
    return 100 * float(sum(right)) / len(labels_B)


def main() -> None:
    """Train each network and print its accuracy on the test images after every epoch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="folder with train/CLASS/* and test/CLASS/*; default: shapes")
    parser.add_argument("--fields", type=int, nargs="+", default=sorted(WIDE), choices=sorted(WIDE))
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    images = DataSettings(name="shapes") if wanted.root is None else DataSettings(name="folder", root=str(wanted.root))
    data = load_dataset(images)
    train_BCHW, train_labels = tensors(data.train)
    test_BCHW, test_labels = tensors(data.test)
    conditions = f"torch {torch.__version__}, 1 thread, {processor_name()}"
    print(f"{images.name} {data.fingerprint}, {len(data.train)} training images, seed {wanted.seed}, {conditions}")
    for field in wanted.fields:
        torch.manual_seed(wanted.seed)
        net, size = network(field)
        assert size == field, "the table of widths and the layers disagree"
        steps = len(train_labels) // BATCH
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=wanted.epochs * steps)
        begun = time.process_time()
        for epoch in range(1, wanted.epochs + 1):
            net.train()
            loss = torch.zeros(())
            for chosen in torch.randperm(len(train_labels))[: steps * BATCH].split(BATCH):
                loss = nn.functional.cross_entropy(net(train_BCHW[chosen]), train_labels[chosen])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
            reached = accuracy(net, test_BCHW, test_labels)
            parameters = sum(weight.numel() for weight in net.parameters())
            spent = time.process_time() - begun
            words = f"RF {field:2d} px, {parameters} parameters, epoch {epoch:2d}: {reached:5.1f} %"
            print(f"{words}, loss {loss.item():.3f}, {spent:.0f} s of CPU time", flush=True)


if __name__ == "__main__":
    main()
