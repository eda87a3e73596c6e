"""Memory that the maps of a recorded step take in turn, once each has been read for the last time; imports torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence, Set
from typing import Final, Protocol

from torch import Tensor, UntypedStorage

_LEAST: Final = 64 * 1024  # bytes of what is worth sharing: maps


class Touching(Protocol):
    """A call that can tell which tensors it reads and writes, and that can be told that they lie elsewhere now."""

    def tensors(self) -> Iterable[Tensor]:
        """Return all of them."""
        ...

    def moved(self) -> None:
        """Look up anew where they lie."""
        ...


def storages_of(tensors: Iterable[Tensor]) -> set[int]:
    """Return which memory `tensors` lie in; tensors that are views of one another lie in the same."""
    return {one.untyped_storage()._cdata for one in tensors}


def share_memory(calls: Sequence[Touching], taken: Set[int], kept: Set[int]) -> None:
    """Let maps of one size that are never needed at once lie in the same memory.

    `taken` is the memory that the calls themselves take, of which every byte is written before it is read; what is
    `kept` is needed after the last call. A map lives from the first call that touches it to the last.
    """
    movable = taken - kept
    tensors: dict[int, list[Tensor]] = defaultdict(list)
    last: dict[int, int] = {}
    for place, call in enumerate(calls):
        for one in call.tensors():
            storage = one.untyped_storage()
            if storage._cdata in movable and storage.nbytes() >= _LEAST:
                tensors[storage._cdata].append(one)
                last[storage._cdata] = place
    home: dict[int, UntypedStorage] = {}
    free: dict[int, list[UntypedStorage]] = defaultdict(list)
    for place, call in enumerate(calls):
        touched = {one.untyped_storage()._cdata: one.untyped_storage() for one in call.tensors()}
        for which, storage in touched.items():
            if which in tensors and which not in home:
                unused = free[storage.nbytes()]
                home[which] = unused.pop() if unused else storage
        for which in touched:
            if last.get(which) == place:
                free[home[which].nbytes()].append(home[which])
    for which, storage in home.items():
        for one in tensors[which]:
            if one.untyped_storage()._cdata != storage._cdata:
                one.set_(storage, one.storage_offset(), one.size(), one.stride())
    for call in calls:
        call.moved()
