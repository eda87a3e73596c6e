"""The project's own kernels for training on a CPU, in C, compiled on first use.

torch's convolutions on a CPU multiply directly. `winograd.c` needs a quarter of the products for the 3x3 convolutions
that small networks consist of, and `norm_act.c` reads a feature map once, while a separate normalisation and activation
read it twice. The other files speed up what then dominates a step. `prepare` makes a network compute with the kernels,
`put_back` undoes it. The kernels are optional: without a C compiler, or on another device, torch computes the same.

Imports torch, the plain modules of `network` and the plain executor of `augment`; only `training.backend` imports it.
"""

from archsearch.kernels.fused_augmenter import FusedAugmenter
from archsearch.kernels.library import Kernels, calls_into, load_kernels
from archsearch.kernels.prepare import prepare, put_back
from archsearch.kernels.weights import muon_step

__all__ = [
    "FusedAugmenter",
    "Kernels",
    "calls_into",
    "load_kernels",
    "muon_step",
    "prepare",
    "put_back",
]
