"""Design specs: a YAML network (stem, named stages, head, width), decoded and checked, and written back as one mapping.

Blocks are given inline or by name; the `blocks` argument looks up names.
Imports the standard library, `errors`, `decode`, `formatting` and this package only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from archsearch.decode import convert, describe, is_mapping, join, suggest
from archsearch.design.block import (
    MAX_NESTED,
    ReadBlock,
    decode_block,
    decode_items,
    known_mapping,
    option_defaults,
    option_value,
    own_name,
    plain_copy,
    require_size,
    written_block,
    written_out,
)
from archsearch.design.expression import MAX_VALUE, Value
from archsearch.design.items import BlockSpec, ItemSpec, reads_out, settle_items, uses_blocks
from archsearch.design.kinds import KINDS
from archsearch.errors import SpecError
from archsearch.formatting import one_line

Decoded = TypeVar("Decoded")
BlockLookup = Callable[[str], Mapping[str, Any]]
"""A function from a block's name to its mapping; raises `SpecError` for an unknown name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockUse:
    """A block with the options that override its defaults."""

    block: BlockSpec
    options: Mapping[str, Value]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageSpec:
    """`repeats` blocks of `width` output channels; `entry`, if given, replaces the first block.

    The width may be None if the blocks never read it, for example because they concatenate branches. The stride of a
    stage is that of its first block; the others run at stride 1. If `origin` names an earlier stage, the input is the
    output of the previous stage concatenated with the output of `origin`.
    """

    name: str
    use: BlockUse
    width: int | None
    repeats: int = 1
    entry: BlockUse | None = None
    origin: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadSpec:
    """Layers before the pooling, the pooling ('none' for no pooling), and the layers that make the logits.

    These are `classifier` or, if it is None, dropout and a linear layer; there are none if `linear` is false.
    """

    layers: tuple[ItemSpec, ...]
    pool: Literal["global_average", "global_max", "average", "none"]
    kernel: int
    dropout: float
    linear: bool
    bias: bool
    classifier: tuple[ItemSpec, ...] | None
    classes: int
    source: Mapping[str, Any]
    """The mapping that the head was decoded from, with used blocks inlined."""

    @property
    def makes_logits(self) -> bool:
        """Whether a layer after the pooling makes the logits."""
        return bool(self.classifier) or (self.classifier is None and self.linear)


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignSpec:
    """A network before its numbers are evaluated: input (C, H, W), stem, stages, head.

    `width` multiplies every width of stem and stages; unless it is 1, the products are rounded to multiples of `step`.
    'fit' is the largest multiplier that keeps every upper limit. With `symmetry` 'flip', weights are tied so that a
    mirrored image gives mirrored feature maps (docs/language.md, "Symmetry").
    """

    name: str
    input_shape: tuple[int, int, int]
    stem: StageSpec | None
    stages: tuple[StageSpec, ...]
    head: HeadSpec
    width: float | Literal["fit"]
    divisor: int
    symmetry: Literal["none", "flip"]
    source: Mapping[str, Any]

    @property
    def is_chain(self) -> bool:
        """Whether every stage reads only the output of the stage before it."""
        return all(stage.origin is None for stage in self.stages)

    @property
    def step(self) -> int:
        """The number that scaled widths are multiples of: the divisor, doubled if it is odd and channels form pairs."""
        return self.divisor if self.symmetry == "none" else self.divisor * (1 + self.divisor % 2)

    def at_width(self, width: float) -> DesignSpec:
        """Return the same design with every width multiplied by `width`."""
        return replace(self, width=width)


_ARCH_KEYS = ("name", "input", "options", "stem", "stages", "head", "width", "divisor", "symmetry")
STAGE_KEYS = ("block", "width", "repeats", "entry", "from")
"""The keys of a stage that are not options of its blocks."""
_HEAD_KEYS = ("layers", "pool", "kernel", "classifier", "dropout", "linear", "bias", "classes")
_OWN = ("block",)
_FIELDS = frozenset[str]().union(*[kind.fields for kind in KINDS.values()])
"""Names of layer fields: a stage key among these is not a typo, but an option that the block does not have."""


def options_taken(use: object, lookup: BlockLookup) -> Mapping[str, Any]:
    """Return the options, with their defaults, of the block that the raw stage or entry `use` names or defines."""
    block = use.get("block") if is_mapping(use) else None
    mapping = lookup(block) if isinstance(block, str) else block
    return (option_defaults(mapping) or {}) if is_mapping(mapping) else {}


class BlockReader:
    """Decodes and caches blocks for many designs that share them.

    A block that is read again is the same object, so that caches of its layers hit. Mappings must not change after it.
    """

    MOST_INLINE = 256  # cached inline blocks

    def __init__(self, blocks: BlockLookup) -> None:
        """Read blocks by name from `blocks`."""
        self._lookup = blocks
        self._named: dict[str, BlockSpec] = {}
        self._inline: dict[tuple[int, str], tuple[object, BlockSpec]] = {}  # keeping the mapping keeps its id
        self._reading: list[str] = []  # names of the blocks being read, outermost first
        self._rest: dict[str, tuple[object, Any]] = {}  # by place: the last mapping, and its decoded value

    def read(self, raw: object, where: str) -> BlockSpec:
        """Return the block that `raw` names or defines; raises `SpecError` at or below `where`."""
        if raw is None:
            raise SpecError(where, "missing key for a stage", "It must be a block's name, or a block.")
        if isinstance(raw, str) and raw:
            if raw not in self._named:
                self._named[raw] = self._read_named(raw, where)
            return self._named[raw]
        known = self._inline.get((id(raw), where))
        if known is not None:
            return known[1]
        found = decode_block(raw, where, read=self.read)
        if len(self._inline) >= self.MOST_INLINE:
            self._inline.clear()
        self._inline[id(raw), where] = raw, found
        return found

    def _read_named(self, name: str, where: str) -> BlockSpec:
        if name in self._reading:
            chain = " -> ".join([*self._reading[self._reading.index(name) :], name])
            raise SpecError(where, f"block '{name}' uses itself ({chain})", "Use another block here.")
        if len(self._reading) > MAX_NESTED:
            raise SpecError(where, f"blocks are nested more than {MAX_NESTED} levels deep")
        try:
            mapping = self._lookup(name)
        except SpecError as error:
            raise SpecError(where, error.what, error.fix) from None
        self._reading.append(name)
        try:
            return decode_block(mapping, f"block '{name}'", name, self.read)
        finally:
            self._reading.pop()

    def once(self, raw: object, where: str, decode: Callable[[object, str], Decoded]) -> Decoded:
        """Return `decode(raw, where)`, cached as long as the mapping at `where` is the same object."""
        last = self._rest.get(where)
        if last is None or last[0] is not raw:
            last = self._rest[where] = (raw, decode(raw, where))
        return last[1]


def no_blocks(name: str) -> Mapping[str, Any]:
    """Raise `SpecError`; the block lookup for the design of a run, which contains its blocks."""
    raise SpecError("", f"the design names the block '{name}', but the design of a run contains its blocks")


def decode_design(raw: object, blocks: BlockLookup | BlockReader, where: str = "arch") -> DesignSpec:
    """Return the design that the mapping `raw` describes; raises `SpecError` below `where`."""
    source = known_mapping(raw, where, "a network", _ARCH_KEYS)
    memory = blocks if isinstance(blocks, BlockReader) else BlockReader(blocks)
    reader = _Reader(memory, source.get("options"), join(where, "options"))
    stem_raw, stages_raw = source.get("stem"), source.get("stages")
    if not is_mapping(stages_raw) or not stages_raw:
        raise SpecError(join(where, "stages"), f"must be a mapping of at least one stage, got {describe(stages_raw)}")
    _require_blocks(stages_raw, join(where, "stages"))
    width = convert(float | Literal["fit"], source.get("width", 1.0), join(where, "width"))
    if width != "fit" and not 0 < width <= 64:
        raise SpecError(join(where, "width"), f"must be above 0 and at most 64, got {width}")
    stem = None if stem_raw is None else reader.stem(stem_raw, join(where, "stem"))
    stages = tuple(reader.stage(str(key), item, join(where, f"stages.{key}")) for key, item in stages_raw.items())
    reader.require_used()
    return DesignSpec(
        name=one_line(own_name(source.get("name"), "unnamed", join(where, "name"))),
        input_shape=memory.once(source.get("input", (3, 32, 32)), join(where, "input"), decode_input),
        stem=stem,
        stages=stages,
        head=memory.once(source.get("head"), join(where, "head"), reader.head),
        width=width,
        divisor=_integer(source.get("divisor", 8), join(where, "divisor"), 1),
        symmetry=convert(Literal["none", "flip"], source.get("symmetry", "none"), join(where, "symmetry")),
        source=source,
    )


def _require_blocks(stages: Mapping[str, Any], where: str) -> None:
    """Raise `SpecError` at a stage without a block if others have one: its name is probably misspelt."""
    have = [str(key) for key, stage in stages.items() if is_mapping(stage) and stage.get("block") is not None]
    for key, stage in stages.items():
        if have and is_mapping(stage) and stage.get("block") is None:
            what = f"there is no stage {key} in the design (stages: {', '.join(have)})"
            close = suggest(str(key), have)
            fix = close if close.startswith("Did") else f"A new stage needs a block: {join(where, key)}.block=normal."
            raise SpecError(join(where, key), what, fix)


class _Reader:
    """Decodes the stages and the head of one network, with its `options` at `where`."""

    def __init__(self, blocks: BlockReader, options: object, where: str) -> None:
        self.block = blocks.read
        raw = known_mapping({} if options is None else options, where, "the options of a network", None)
        self._shared = {str(key): value for key, value in raw.items() if value is not None}
        self._where = where
        self._known: dict[str, Value] = {}  # the options of all blocks that were read

    def head(self, raw: object, where: str) -> HeadSpec:
        return _head(raw, where, self.block)

    def stem(self, raw: object, where: str) -> StageSpec:
        stem = dict(known_mapping(raw, where, "the stem", None))
        if "out" in stem:
            if "width" in stem:
                raise SpecError(where, "has both 'out' and 'width'", "They mean the same: keep one.")
            stem["width"] = stem.pop("out")
        if "repeats" in stem or "entry" in stem or "from" in stem:
            raise SpecError(where, "the stem is one block", "Use a stage for repeats, an entry, and from.")
        return self.stage("stem", stem, where)

    def stage(self, name: str, raw: object, where: str) -> StageSpec:
        if not name.isidentifier():
            raise SpecError(where, "a stage's name must be letters, digits and _")
        stage = known_mapping(raw, where, "a stage", None)
        block = self.block(stage.get("block"), join(where, "block"))
        entry_raw = stage.get("entry")
        entry = None if entry_raw is None else known_mapping(entry_raw, join(where, "entry"), "an entry", None)
        entry_block = None if entry is None else self.block(entry.get("block"), join(where, "entry.block"))
        own = {key: value for key, value in stage.items() if key not in STAGE_KEYS and value is not None}
        known = {**(entry_block.defaults if entry_block else {}), **block.defaults}
        self._known |= known
        for key in own:
            if key not in known:
                raise _unknown_option(str(key), block, known, where)
        use = BlockUse(block=block, options={**self._shared_with(block), **_options(own, block, where)})
        entry_use = None
        if entry is not None and entry_block is not None:
            entry_own = {key: value for key, value in entry.items() if key not in _OWN and value is not None}
            for key in entry_own:
                if key not in entry_block.defaults:
                    hint = suggest(str(key), (*_OWN, *entry_block.defaults))
                    raise SpecError(join(where, f"entry.{key}"), "unknown key for an entry", hint)
            shared = {**self._shared_with(entry_block), **_options(own, entry_block, where)}
            entry_use = BlockUse(
                block=entry_block, options={**shared, **_options(entry_own, entry_block, join(where, "entry"))}
            )
        width = stage.get("width")
        if width is None and (_reads_width(use) or (entry_use is not None and _reads_width(entry_use))):
            raise SpecError(join(where, "width"), "missing key for a stage", "It must be a number of channels.")
        return StageSpec(
            name=name,
            use=use,
            width=None if width is None else _integer(width, join(where, "width"), 1),
            repeats=_integer(stage.get("repeats", 1), join(where, "repeats"), 0),
            entry=entry_use,
            origin=None if stage.get("from") is None else convert(str, stage["from"], join(where, "from")),
        )

    def require_used(self) -> None:
        """Raise `SpecError` for an option of the network that none of the blocks read so far has."""
        for key in self._shared:
            if key not in self._known:
                at = join(self._where, key)
                close = suggest(key, self._known)
                fix = close if close.startswith("Did you mean") else f"To leave it out set {at}=null."
                raise SpecError(at, "no block of the network has this option", fix)

    def _shared_with(self, block: BlockSpec) -> dict[str, Value]:
        """Return the options of the network that `block` has."""
        try:
            return _options(self._shared, block, self._where)
        except SpecError as error:
            of = f"of block '{block.name}'" if block.name else "of a block of the network"
            raise SpecError(error.where, f"{error.what} (option {of})", error.fix) from None


def _reads_width(use: BlockUse) -> bool:
    """Return whether the block may read its number of output channels, at any stride."""
    known = {name: value for name, value in {**use.block.defaults, **use.options}.items() if name != "stride"}
    return reads_out(settle_items(use.block.items, known))


def _unknown_option(key: str, block: BlockSpec, known: Mapping[str, Value], where: str) -> SpecError:
    """Return the error for a stage key that is not an option of its block."""
    at, fix = join(where, key), suggest(key, (*STAGE_KEYS, *known))
    if key in _FIELDS or not fix.startswith("Did you mean"):
        its_block = f"its block '{block.name}'" if block.name else "its block"
        known_text = "" if key in _FIELDS else f" {fix}"
        fix = f"To leave it out set {at}=null; or give {its_block} that option in its options.{known_text}"
    return SpecError(at, "unknown key for a stage", fix)


def _options(raw: Mapping[str, Any], block: BlockSpec, where: str) -> dict[str, Value]:
    """Return the entries of `raw` that are options of `block`, each checked against its default."""
    return {
        key: option_value(value, block.defaults[key], join(where, key))
        for key, value in raw.items()
        if key in block.defaults
    }


def _head(raw: object, where: str, read: ReadBlock) -> HeadSpec:
    head = known_mapping(raw, where, "a head", _HEAD_KEYS)
    classes = head.get("classes")
    if classes is None:
        raise SpecError(join(where, "classes"), "missing key for a head", "It must be the number of classes.")
    pools = Literal["global_average", "global_max", "average", "none"]
    own = {key: head[key] for key in ("dropout", "linear", "bias") if head.get(key) is not None}
    classifier = head.get("classifier")
    if classifier is not None and own:
        at = join(where, next(iter(own)))
        what = "is not used where the head has a classifier of its own"
        raise SpecError(at, what, f"Write it as a layer of {where}.classifier, or leave it out: {at}=null.")
    dropout = convert(float, own.get("dropout", 0.0), join(where, "dropout"))
    if not 0 <= dropout < 1:
        raise SpecError(join(where, "dropout"), f"must be at least 0 and below 1, got {dropout}")
    number = _integer(classes, join(where, "classes"), 1)
    scope: dict[str, Value] = {"in": 1, "out": 1, "block_in": 1, "classes": number}
    layers = decode_items(head.get("layers") or (), join(where, "layers"), scope, read)
    behind = None if classifier is None else decode_items(classifier, join(where, "classifier"), scope, read)
    items = (*layers, *(behind or ()))
    require_size(items, where)
    return HeadSpec(
        layers=layers,
        pool=convert(pools, head.get("pool", "global_average"), join(where, "pool")),
        kernel=_integer(head.get("kernel", 2), join(where, "kernel"), 1),
        dropout=dropout,
        linear=convert(bool, own.get("linear", True), join(where, "linear")),
        bias=convert(bool, own.get("bias", True), join(where, "bias")),
        classifier=behind,
        classes=number,
        source=written_out(head, read) if uses_blocks(items) else head,
    )


def decode_input(raw: object, where: str) -> tuple[int, int, int]:
    """Return the (C, H, W) shape of images; raises `SpecError` at `where` if `raw` is not one."""
    shape = convert(tuple[int, int, int], raw, where)
    if min(shape) < 1 or max(shape) > 4096:
        raise SpecError(where, f"must be (channels, height, width) from 1 to 4096, got {list(shape)}")
    return shape


def _integer(raw: object, where: str, least: int) -> int:
    value = raw if type(raw) is int else convert(int, raw, where)
    if value < least:
        raise SpecError(where, f"must be at least {least}, got {value}")
    if value > MAX_VALUE:
        raise SpecError(where, f"must be at most {MAX_VALUE}, got {value}")
    return value


def self_contained(design: DesignSpec) -> dict[str, Any]:
    """Return a mapping, with all blocks inlined, that `decode_design` decodes to an equal network."""
    source: dict[str, Any] = {
        "name": design.name,
        "input": list(design.input_shape),
        "stem": None if design.stem is None else _written(design.stem, stem=True),
        "stages": {stage.name: _written(stage) for stage in design.stages},
        "head": plain_copy({**design.head.source, "classes": design.head.classes}),
        "width": design.width,
        "divisor": design.divisor,
    }
    if design.symmetry != "none":
        source["symmetry"] = design.symmetry
    return source


def _written(stage: StageSpec, *, stem: bool = False) -> dict[str, Any]:
    width = {} if stage.width is None else {"width": stage.width}
    origin = {} if stage.origin is None else {"from": stage.origin}
    written: dict[str, Any] = {"block": written_block(stage.use.block), **origin, **width, **stage.use.options}
    if not stem:
        written["repeats"] = stage.repeats
    if stage.entry is not None:
        written["entry"] = {"block": written_block(stage.entry.block), **stage.entry.options}
    return written
