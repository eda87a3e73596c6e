"""The project's own kernels for training on a CPU, in C, compiled where they are first used; imports torch and errors.

torch's convolutions on a CPU multiply directly. `winograd.c` takes a quarter of the products for the 3x3 convolutions
that small networks consist of, and `norm_act.c` reads a map once where normalisation and activation read it twice;
the other files are for what is left of a step when these are quick.
Nothing needs them: without a C compiler, or on another device, torch's own operations compute the same.
"""

from archsearch.kernels.chain import Chain
from archsearch.kernels.equip import Equipped, equip, fitting, suited, usable
from archsearch.kernels.folded import Folded
from archsearch.kernels.library import KernelCall, Kernels, calls_into, load_kernels
from archsearch.kernels.maps import add_maps, global_average, share_map
from archsearch.kernels.pairs import whole_pairs

__all__ = [
    "Chain",
    "Equipped",
    "Folded",
    "KernelCall",
    "Kernels",
    "add_maps",
    "calls_into",
    "equip",
    "fitting",
    "global_average",
    "load_kernels",
    "share_map",
    "suited",
    "usable",
    "whole_pairs",
]
