"""The project's own kernels for training on a CPU, in C, compiled where they are first used; imports torch and errors.

torch's convolutions on a CPU multiply directly. `winograd.c` takes a quarter of the products for the 3x3 convolutions
that small networks consist of, and `norm_act.c` reads a map once where normalisation and activation read it twice.
Nothing needs them: without a C compiler, or on another device, torch's own operations compute the same.
"""

from archsearch.kernels.chain import Chain, equip
from archsearch.kernels.library import Kernels, load_kernels

__all__ = ["Chain", "Kernels", "equip", "load_kernels"]
