"""The device and precision of a training; sets and restores torch's process-wide switches.

Imports torch and the settings; never a design, hydra or optuna.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from archsearch.errors import DeviceMemoryError, DivergedError, SpecError
from archsearch.formatting import pluralize
from archsearch.process import give_freed_memory_back, keep_freed_memory
from archsearch.processor import processor_name
from archsearch.settings.training import Precision, TrainSettings, resolve_precision, wants_kernels

T = TypeVar("T")
# cuDNN's search for the fastest algorithms pays off from this number of images in a whole run; measured in
# benchmarks/training_notes.md.
_SEARCH_PAYS_FROM = 5_000_000
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "_STATUS_ALLOC_FAILED")  # the last is of cuBLAS and cuDNN
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_device(asked: str) -> torch.device:
    """Return the device that `train.device` names; `auto` prefers CUDA, then MPS, then the CPU.

    Raises `SpecError` if the machine has no such device.
    """
    mps = torch.backends.mps.is_available()
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    device = torch.device(asked)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SpecError(
            "train.device", f"'{asked}' was requested, but torch sees no CUDA device", "Set train.device=auto."
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        known = ", ".join(f"cuda:{index}" for index in range(torch.cuda.device_count()))
        raise SpecError("train.device", f"there is no '{asked}'", f"Known: {known}.")
    if device.type == "mps" and not mps:
        raise SpecError("train.device", "'mps' was requested, but torch sees no Apple GPU", "Set train.device=auto.")
    return device


def cuda_devices() -> list[str]:
    """Return the names of the CUDA devices that torch sees: `cuda:0`, `cuda:1`, ..."""
    return [f"cuda:{index}" for index in range(torch.cuda.device_count())]


def choose_precision(settings: TrainSettings, device: torch.device) -> Precision:
    """Return the precision of activations in training, see `resolve_precision`; weights stay fp32.

    Raises `SpecError` for fp16 on a CPU, where it gains nothing.
    """
    if settings.precision == "fp16" and device.type == "cpu":
        raise SpecError("train.precision", "fp16 needs a GPU", "Set train.precision=bf16 or fp32.")
    return resolve_precision(settings, device.type, has_bf16_units=lambda: has_bf16_units(device))


def evaluation_precision(settings: TrainSettings, device: torch.device) -> Precision:
    """Return the precision of activations in evaluation: fp32 if kernels are wanted, even if they are missing."""
    return "fp32" if wants_kernels(settings, device.type) else choose_precision(settings, device)


def has_bf16_units(device: torch.device) -> bool:
    """Return whether `device` has bf16 units that make torch faster.

    On a CPU that is only AMX: with AVX512-BF16 instructions alone, convolutions were half as fast as in fp32.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def autocast(device: torch.device, precision: Precision, *, keep_casts: bool = True) -> torch.autocast:
    """Return a new autocast context for `precision`; with `keep_casts` it caches the cast weights."""
    enabled = precision != "fp32"
    return torch.autocast(device.type, dtype=_DTYPES[precision], enabled=enabled, cache_enabled=keep_casts)


def device_name(device: torch.device) -> str:
    """Return the name of the device for reports."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return "Apple GPU (MPS)"
    return f"{processor_name()}, {pluralize(torch.get_num_threads(), 'thread')}"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` means that a device is out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _OUT_OF_MEMORY)


def cause_of(error: Exception) -> str:
    """Return the first line of torch's message, or the error's type if it has none."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__


def memory_used_up(device: torch.device, batch_size: int, cause: str) -> DeviceMemoryError:
    """Return the error for a device that is out of memory, with its fix."""
    others = ", or fewer study.workers where several share it" if device.type == "cuda" else ""
    return DeviceMemoryError(
        f"train.batch_size: {device} has not enough memory for batches of {batch_size} ({cause}). "
        f"Set train.batch_size={max(1, batch_size // 2)} or a smaller arch.width{others}."
    )


def freed_after(do: Callable[[], T], device: torch.device, *, batch_size: int) -> T:
    """Return what `do` returns; if it runs out of memory or diverges, free what it held on `device`.

    Raises `DeviceMemoryError` for every error that means out of memory, and `DivergedError`.
    """
    raised: DeviceMemoryError | DivergedError
    try:
        return do()
    except DivergedError as error:
        raised = DivergedError(*error.args)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raised = memory_used_up(device, batch_size, str(error).strip().partition("\n")[0])
    if device.type == "cuda":  # only here, after the error's frames have released their tensors
        with contextlib.suppress(RuntimeError):  # the device's context may not exist
            torch.cuda.empty_cache()
    raise raised


@contextlib.contextmanager
def switches(settings: TrainSettings, device: torch.device, *, images: int) -> Iterator[None]:
    """Set torch's process-wide switches for one training over `images` images in all, and restore them at the end.

    Threads, if `train.threads` is set. On the CPU: flushing of denormals (one costs up to a hundred times a normal
    number and contributes nothing), and an allocator that keeps freed memory. With `train.deterministic`: deterministic
    algorithms; otherwise, in long runs on CUDA: cuDNN's search for the fastest ones. On CUDA: the current device, for
    streams and graphs; at the end its free memory is released to other processes, since torch's allocator keeps it.
    """
    threads = torch.get_num_threads()
    deterministic = torch.are_deterministic_algorithms_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        if device.type == "cpu":
            torch.set_flush_denormal(True)
            keep_freed_memory()
        if device.type == "cuda":
            torch.backends.cudnn.benchmark = not settings.deterministic and images >= _SEARCH_PAYS_FROM
        if settings.deterministic:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
            torch.use_deterministic_algorithms(True)
        with torch.cuda.device(device) if device.type == "cuda" else contextlib.nullcontext():
            yield
        if device.type == "cuda":
            torch.cuda.empty_cache()  # not after an error: its frames still hold the tensors
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = benchmark
        if settings.deterministic:
            torch.use_deterministic_algorithms(deterministic)
        if device.type == "cpu":
            torch.set_flush_denormal(False)
            give_freed_memory_back()
