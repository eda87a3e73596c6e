"""Changes of a design that may keep a limit: overrides that a user can type, and the mapping that they result in.

`limits` selects the changes to try for each limit, and `check` verifies them by checking the changed design.
Imports the design and its traits; no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archsearch.analysis.traits import traits_of
from archsearch.design.lower import FixedBlock, blocks_of, layers_of
from archsearch.design.spec import BlockUse, DesignSpec, StageSpec
from archsearch.errors import SpecError

Path = tuple[str, ...]
_TRIES = 200
_ROUNDING = 1.3  # how much the rounding of channels may add to a multiplier, as a factor
_SHARED = ("kernel", "stride", "dilation", "padding", "bias", "act", "norm", "dropout", "shortcut")
"""Options that all blocks passed to `set_block` have in common."""
_DENSE = ("normal", "strided", "dilated")
"""Those of these blocks that have a dense convolution."""


@dataclass(frozen=True, slots=True)
class Change:
    """New values for keys of a design."""

    edits: tuple[tuple[Path, Any], ...]
    roughness: int = 0
    """0 changes a number, 1 replaces a block, 2 replaces an efficient block by a dense one."""

    @property
    def override(self) -> str:
        """The change as overrides."""
        return " ".join(f"arch.{'.'.join(path)}={_text(value)}" for path, value in self.edits)

    def applied(self, source: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the mapping of the changed design; `source` is that of the design."""
        for path, value in self.edits:
            source = _with(source, path, value)
        return source

    def joined(self, other: Change) -> Change:
        """Return both changes as one."""
        return Change((*self.edits, *other.edits), max(self.roughness, other.roughness))

    def is_apart_from(self, other: Change) -> bool:
        """Return whether it has no key in common with `other`."""
        return not {path for path, _ in self.edits} & {path for path, _ in other.edits}


@dataclass(frozen=True, slots=True)
class _Part:
    """A stage, its entry or the stem: the path of its mapping, its use of a block, and its resolved blocks."""

    path: Path
    use: BlockUse
    blocks: tuple[FixedBlock, ...]

    def has(self, *traits: str) -> bool:
        """Return whether one of its blocks has one of `traits`."""
        return any(not _block_traits(block).isdisjoint(traits) for block in self.blocks)


def set_key(path: Path, value: Any) -> Change:
    """Return a change of one key of the design."""
    return Change(((path, value),))


def set_option(design: DesignSpec, option: str, *values: Any) -> Iterator[Change]:
    """Yield changes of `option` to each of `values`, in each stage whose block has it; the last stage first."""
    for value in values:
        for stage in reversed(design.stages):
            if stage.repeats > 0 and option in stage.use.block.defaults:
                yield set_key(("stages", stage.name, option), value)


def set_block(design: DesignSpec, block: str, **options: Any) -> Iterator[Change]:
    """Yield changes to `block`, with its `options`, in each stage; the last stage first.

    Only dense blocks are used in a stage whose input is the image or whose output is the logits.
    """
    for part in reversed(_parts(design)):
        if part.path[0] == "stages" and len(part.path) == 2 and (block in _DENSE or not _is_end(design, part.path[1])):
            yield _replaced(part, block, options)


def remove(design: DesignSpec, traits: Sequence[str], option: str, value: Any) -> Iterator[Change]:
    """Yield one change of `option` to `value` in all parts with one of `traits`; none if a part lacks the option."""
    parts = [part for part in _parts(design) if part.has(*traits)]
    if parts and all(option in part.use.block.defaults for part in parts):
        yield Change(tuple(((*part.path, option), value) for part in parts))


def replace_blocks(design: DesignSpec, traits: Sequence[str], block: str) -> Iterator[Change]:
    """Yield one change that replaces all blocks with one of `traits` by `block`."""
    changes = [_replaced(part, block, {}) for part in _parts(design) if part.has(*traits)]
    if changes:
        yield Change(
            tuple(edit for change in changes for edit in change.edits), max(change.roughness for change in changes)
        )


def add_repeats(design: DesignSpec, *steps: int) -> Iterator[Change]:
    """Yield changes of the repeats of each stage by each of `steps`, which may be negative; the last stage first."""
    for step in steps:
        for stage in reversed(design.stages):
            if stage.repeats + step >= 1:
                yield set_key(("stages", stage.name, "repeats"), stage.repeats + step)


def narrow(design: DesignSpec, excess: float) -> Iterator[Change]:
    """Yield changes to smaller multipliers, in steps of 0.01 or more, largest first, that may remove an `excess`.

    Counts grow at most with the square of the multiplier, apart from the rounding of channels.
    """
    if design.width == "fit":
        return
    top = round(design.width * 100)
    most = _ROUNDING * top / math.sqrt(1 + excess)
    steps = sorted({max(1, top - step) for step in (*range(1, 60), *range(60, top, 5))}, reverse=True)
    for step in [one for one in steps if one <= most][:_TRIES]:
        yield set_key(("width",), step / 100)


def _parts(design: DesignSpec) -> list[_Part]:
    """Return the stem, and for each stage its entry and its other blocks, in order."""
    parts = [] if design.stem is None else [_Part(("stem",), design.stem.use, blocks_of(design.stem))]
    for stage in design.stages:
        path, blocks = ("stages", stage.name), blocks_of(stage)
        if stage.entry is not None:
            parts.append(_Part((*path, "entry"), stage.entry, blocks[:1]))
            blocks = blocks[1:]
        parts.append(_Part(path, stage.use, blocks))
    return parts


def _is_end(design: DesignSpec, stage: str) -> bool:
    """Return whether the input of `stage` is the image, or its output the logits."""
    used: list[StageSpec] = [one for one in design.stages if one.repeats > 0]
    if not used:
        return False
    first = design.stem is None and used[0].name == stage
    return first or (used[-1].name == stage and not design.head.makes_logits and not design.head.layers)


def _replaced(part: _Part, block: str, options: Mapping[str, Any]) -> Change:
    """Return the change of the block of `part`; options of the old block that are not `_SHARED` become null."""
    edits: list[tuple[Path, Any]] = [((*part.path, "block"), block)]
    edits += [((*part.path, option), None) for option in part.use.options if option not in _SHARED]
    edits += [((*part.path, option), value) for option, value in options.items()]
    is_rough = block in _DENSE and part.has("depthwise", "grouped")
    return Change(tuple(edits), 2 if is_rough else 1)


def _block_traits(block: FixedBlock) -> frozenset[str]:
    """Return the traits of `block` alone, for the first sample numbers of channels that fit it; empty if none do."""
    for channels, width in ((64, 64), (48, 96)):
        try:
            return traits_of(layers_of(block, channels, width), (channels, 64, 64))
        except SpecError:
            continue
    return frozenset()


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return f"{value:g}" if isinstance(value, float) and value < 1e5 else str(value)


def _with(source: Mapping[str, Any], path: Path, value: Any) -> Mapping[str, Any]:
    """Return a copy of `source` in which the item at `path` is `value`."""
    head, *rest = path
    inner: Mapping[str, Any] = source.get(head) or {}
    return {**source, head: _with(inner, tuple(rest), value) if rest else value}
