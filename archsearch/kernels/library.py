"""The compiled kernels: built once per processor and compiler, kept in the user's cache folder, loaded by ctypes.

The C files do not include headers of torch or Python, so that a build takes two seconds and needs only a C compiler.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch

from archsearch.errors import RunError
from archsearch.kernels.cache import load_library

_HERE = Path(__file__).parent
_UNITS = ("winograd", "patches", "images", "depthwise", "norm_act", "maps", "pairs", "muon", "augment")
_HEADERS = ("lanes.h", "products.h", "tiles.h", "patch_tiles.h", "map_tiles.h", "winograd_rows.h")
# OpenMP when compiling, but not when linking: the kernels use the OpenMP library that torch has loaded.
_FLAGS = ("-O3", "-march=native", "-fno-math-errno", "-std=gnu11", "-fopenmp", "-fPIC")
LEAST_LANES = 8  # kernels of this number of lanes can be built for every processor
_KINDS = {torch.float32: "_fp32", torch.bfloat16: "_bf16"}  # every unit is compiled once for each dtype
_POINTER, _LONG, _INT = ctypes.c_void_p, ctypes.c_long, ctypes.c_int
_SIGNATURES = {
    "kernel_lanes": [],
    "kernel_tiles": [],
    "winograd_forward": [_POINTER] * 3 + [_LONG] * 7 + [_INT, _LONG],
    "winograd_weights": [_POINTER] * 3 + [_LONG] * 8,
    "patches_forward": [_POINTER] * 4 + [_LONG],
    "patches_images": [_POINTER] * 4 + [_LONG],
    "patches_weights": [_POINTER] * 4 + [_LONG],
    "images_forward": [_POINTER] * 4,
    "images_weights": [_POINTER] * 4,
    "depthwise_forward": [_POINTER] * 4 + [_INT],
    "depthwise_images": [_POINTER] * 4,
    "depthwise_weights": [_POINTER] * 4,
    "norm_statistics": [_POINTER] * 8 + [_LONG] * 3,
    "scale_act": [_POINTER] * 4 + [_LONG] * 2 + [_INT],
    "norm_act_backward": [_POINTER] * 6 + [_LONG] * 2 + [_INT],
    "add_maps": [_POINTER] * 3 + [_LONG],
    "average_pixels": [_POINTER] * 2 + [_LONG] * 3,
    "spread_average": [_POINTER] * 2 + [_LONG] * 3,
    "drop_values": [_POINTER] * 3 + [_LONG] * 2,
    "pairs_whole": [_POINTER] * 3 + [_LONG] * 3,
    "pairs_halves": [_POINTER] * 3 + [_LONG] * 3,
    "muon_step": [_POINTER] * 2 + [_LONG],
    "augment_images": [_POINTER] * 13,
}


Argument = torch.Tensor | ctypes.Array[Any] | int | None


class KernelCall:
    """A call of a kernel, which can be repeated."""

    __slots__ = ("_arguments", "_function", "_given", "_name")

    def __init__(self, name: str, function: Callable[..., int], arguments: Sequence[Argument]) -> None:
        """Hold the arguments of `function`; a tensor is passed as its address."""
        self._name, self._function, self._arguments = name, function, arguments
        self.moved()

    def __call__(self) -> None:
        """Call the kernel; raise `MemoryError` if it cannot allocate memory."""
        if self._function(*self._given):
            raise MemoryError(f"the kernel {self._name} could not allocate memory")

    def tensors(self) -> Iterator[torch.Tensor]:
        """Return the tensors that the kernel reads and writes."""
        return (one for one in self._arguments if isinstance(one, torch.Tensor))

    def moved(self) -> None:
        """Look up the addresses of the tensors again."""
        self._given = [one.data_ptr() if isinstance(one, torch.Tensor) else one for one in self._arguments]


_calls: ContextVar[Callable[[KernelCall], None] | None] = ContextVar("calls", default=None)


@contextlib.contextmanager
def calls_into(take: Callable[[KernelCall], None]) -> Iterator[None]:
    """Pass every kernel call to `take` after it has run."""
    before = _calls.set(take)
    try:
        yield
    finally:
        _calls.reset(before)


class Kernels:
    """The loaded library; its functions take addresses of feature maps that are channels last in memory.

    Feature maps are float32 or bfloat16; weights and statistics are float32. `lanes` divides the channels of feature
    maps. `of` selects these kernels or the `narrower` ones by numbers of channels. `tiles` is whether the processor has
    instructions for matrix products in bfloat16 (Intel AMX).
    """

    def __init__(self, library: ctypes.CDLL, build_narrower: Callable[[], Kernels] | None = None) -> None:
        for name, arguments in _SIGNATURES.items():
            for kind in _KINDS.values():
                getattr(library, name + kind).argtypes = arguments
        self._library = library
        self.lanes: int = library.kernel_lanes_fp32()
        self.tiles = bool(library.kernel_tiles_bf16())
        self._build_narrower = build_narrower

    @functools.cached_property
    def narrower(self) -> Kernels | None:
        """The kernels with fewer lanes, built at the first access, or None if there are none; raises `RunError`."""
        return None if self._build_narrower is None or self.lanes <= LEAST_LANES else self._build_narrower()

    def of(self, *channels: int) -> Kernels | None:
        """Return the widest kernels whose lanes divide every number in `channels`, or None."""
        if all(count % self.lanes == 0 for count in channels):
            return self
        # Checked first, to avoid a build of narrower kernels that could not be used either.
        return None if any(count % LEAST_LANES for count in channels) else self.narrower

    def __call__(self, name: str, images: torch.Tensor, *arguments: Argument) -> None:
        """Call the function `name` for the dtype of `images`; a tensor is passed as its address.

        Raises `MemoryError` if the function cannot allocate memory.
        """
        call = KernelCall(name, getattr(self._library, name + _KINDS[images.dtype]), (images, *arguments))
        call()
        take = _calls.get()
        if take is not None:
            take(call)

    def __reduce__(self) -> tuple[object, tuple[()]]:
        """Load the library again when this is copied or unpickled: it belongs to one process."""
        return load_kernels, ()


def laid_out(images_BCHW: torch.Tensor) -> torch.Tensor:
    """Return the feature map in the layout of the kernels: channels last in memory."""
    return images_BCHW.contiguous(memory_format=torch.channels_last)


@functools.cache
def load_kernels() -> Kernels:
    """Return the kernels, and build them first if there are none for this processor and compiler.

    Raises `RunError` if the system is not Linux, there is no compiler, or the build or the loading fails.
    """
    if not sys.platform.startswith("linux"):
        raise RunError(f"the kernels are for Linux, this is {platform.system()}")
    compiler = shutil.which(os.environ.get("CC") or "gcc") or shutil.which("cc")
    if compiler is None:
        raise RunError("no C compiler was found (gcc, cc or $CC)")
    return _load(compiler, build_narrower=lambda: _load(compiler, "-DNARROW"))


def _load(compiler: str, *more: str, build_narrower: Callable[[], Kernels] | None = None) -> Kernels:
    """Return the kernels that `compiler` builds with the additional flags `more`; raise `RunError` on failure."""
    name = f"kernels-{_digest(compiler, *more)}"
    try:
        return Kernels(load_library(name, lambda work: _compile(compiler, work, *more)), build_narrower)
    except (OSError, AttributeError) as error:
        raise RunError(f"the kernels could not be loaded: {error}") from error


def _compile(compiler: str, work: Path, *more: str) -> Path:
    library, commands = work / "kernels.so", []
    for unit in _UNITS:
        for kind in _KINDS.values():
            half = ["-DHALF"] if kind == "_bf16" else []
            target = str(work / f"{unit}{kind}.o")
            commands.append([compiler, *_FLAGS, *more, *half, "-c", str(_HERE / f"{unit}.c"), "-o", target])
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(_run, commands))
    _run([compiler, "-shared", *(command[-1] for command in commands), "-lm", "-o", str(library)])
    return library


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise RunError(f"{command[0]} failed on the kernels: {lines[0] if lines else f'exit code {done.returncode}'}")


def _digest(compiler: str, *more: str) -> str:
    """Return a digest of all that a build depends on: sources, flags, compiler, processor."""
    digest = hashlib.sha256("\0".join((*_FLAGS, *more)).encode())
    for name in (*_HEADERS, *(f"{unit}.c" for unit in _UNITS)):
        digest.update((_HERE / name).read_bytes())
    version = subprocess.run([compiler, "--version"], capture_output=True, check=False)
    digest.update(version.stdout)
    digest.update(f"{platform.machine()}{_processor_flags()}".encode())
    return digest.hexdigest()[:16]


def _processor_flags() -> str:
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        return next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return ""
