"""The project's own kernels for training on a CPU, in C, compiled where they are first used.

torch's convolutions on a CPU multiply directly. `winograd.c` takes a quarter of the products for the 3x3 convolutions
that small networks consist of, and `norm_act.c` reads a map once where normalisation and activation read it twice;
the other files are for what is left of a step when these are quick. A network is prepared to compute by them and put
back. Nothing needs them: without a C compiler, or on another device, torch's own operations compute the same.

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
