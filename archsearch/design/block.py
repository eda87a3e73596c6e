"""Decoding of blocks: YAML becomes checked specs, whose expressions are parsed but not evaluated.

A block is data: options with defaults, a list of layers, and the shortcut of its residual. A function returns the
blocks that it uses.
Imports the standard library, `errors`, `decode`, `notices` and this package only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from archsearch.decode import convert, describe, is_list, is_mapping, join, plain_form, quoted, suggest
from archsearch.design.expression import WORDS, Expression, Value, check_names, constant, parse
from archsearch.design.items import (
    BlockSpec,
    ItemSpec,
    ParallelSpec,
    ResidualSpec,
    UseSpec,
    count_layers,
    list_depth,
    uses_blocks,
)
from archsearch.design.kinds import (
    ACTIVATIONS,
    AXES,
    KINDS,
    PADDINGS,
    SIDES,
    LayerKind,
    LayerSpec,
    unknown_padding,
)
from archsearch.design.plan import Combine
from archsearch.errors import SpecError
from archsearch.notices import notice_once

SHORTCUTS = ("none", "if_same_shape", "project")
CHANNEL_NAMES = ("in", "out", "block_in")
"""Names that an expression may read besides the block's options: channels entering this layer, leaving
the block, and entering the block."""
MAX_ITEMS = 1024
"""Maximum number of layers of a block, including those of residuals, branches and used blocks."""
MAX_DEPTH = 16
"""Maximum nesting depth of lists of layers, including those of used blocks."""
MAX_NESTED = 4
"""Maximum nesting depth of blocks that are used by name."""
_TOO_DEEP = f"lists of layers are nested more than {MAX_DEPTH} levels deep"


ReadBlock = Callable[[object, str], BlockSpec]
"""A function from a block's name, or the block itself, and its place to its spec; raises `SpecError` there."""
_ITEMS = (*KINDS, "residual", "parallel", "use")
_STAGES = "Write several blocks, or a stage with repeats."
MAX_NAME = 200
"""Maximum number of characters in the name of a block or a network."""
_BLOCK_KEYS = ("name", "options", "layers", "residual")
_OLD_OPTIONS = "defaults_of"
_USE_KEYS = ("block", "width")


def option_defaults(block: Mapping[str, Any]) -> Any:
    """Return the value of `options` in a block's mapping, or of `defaults_of`, the old name of the key."""
    if _OLD_OPTIONS in block:
        notice_once(f"a block's key '{_OLD_OPTIONS}' is now called 'options'; the old name still works")
        return block[_OLD_OPTIONS]
    return block.get("options")


def option_value(value: Any, default: Value, where: str) -> Value:
    """Return the value of an option: a number, bool or string like its `default`, or px too if that is a padding word.

    Raises `SpecError` at `where` for any other value.
    """
    if isinstance(value, float) and not isfinite(value):
        raise SpecError(where, f"must be finite, got {value}")
    if type(value) is type(default):
        return value
    if default in PADDINGS:
        return convert(int | str, value, where)
    hint: Any = int | float if isinstance(default, float) or type(default) is int else type(default)
    return convert(hint, value, where)


def read_inline(raw: object, where: str) -> BlockSpec:
    """Return the block that `raw` defines; raises `SpecError` below `where`, and at `where` if it is only a name."""
    if isinstance(raw, str):
        raise SpecError(where, f"unknown block {quoted(raw)}", "Write the block itself.")
    return decode_block(raw, where)


def decode_block(raw: object, where: str, name: str = "", read: ReadBlock = read_inline) -> BlockSpec:
    """Return the block that the mapping `raw` describes; raises `SpecError` below `where`.

    `read` returns the blocks that it uses.
    """
    block = known_mapping(raw, where, "a block", _BLOCK_KEYS, old=(_OLD_OPTIONS,))
    if "layers" not in block:
        raise SpecError(join(where, "layers"), "missing key for a block", "It must be a list of layers, [] for none.")
    key = _OLD_OPTIONS if _OLD_OPTIONS in block else "options"
    if _OLD_OPTIONS in block and "options" in block:
        raise SpecError(where, f"has both 'options' and '{_OLD_OPTIONS}'", "They mean the same: keep 'options'.")
    defaults = _decode_defaults(option_defaults(block), join(where, key))
    scope = {**dict.fromkeys(CHANNEL_NAMES, 1), **defaults}
    items = decode_items(block["layers"], join(where, "layers"), scope, read)
    residual = block.get("residual", "none")
    if residual != "none":
        items = (_residual(items, residual, join(where, "residual"), scope, read, name=None, when=None),)
    require_size(items, join(where, "layers"))
    return BlockSpec(
        name=own_name(block.get("name"), name, join(where, "name")),
        defaults=defaults,
        items=items,
        source=written_out(block, read) if uses_blocks(items) else block,
    )


def require_size(items: tuple[ItemSpec, ...], where: str) -> None:
    """Raise `SpecError` at `where` for more layers, or deeper nested lists, than a block may have."""
    if (count := count_layers(items)) > MAX_ITEMS:
        raise SpecError(where, f"has {count} layers, at most {MAX_ITEMS} are allowed", _STAGES)
    if list_depth(items) > MAX_DEPTH:
        raise SpecError(where, _TOO_DEEP)


def written_block(block: BlockSpec) -> dict[str, Any]:
    """Return a mapping that is decoded to `block`."""
    source = {key: value for key, value in block.source.items() if key not in ("options", _OLD_OPTIONS)}
    options = {"options": dict(block.defaults)} if block.defaults else {}
    return {**options, **plain_copy(source), "name": block.name}


def written_out(raw: Any, read: ReadBlock) -> Any:
    """Return a copy of `raw`, from a block or a head, in which blocks that are used by name are inlined."""
    if is_mapping(raw):
        return {str(key): written_out(value, read) for key, value in raw.items()}
    return [_written_item(item, read) for item in raw] if is_list(raw) else raw


def _written_item(item: Any, read: ReadBlock) -> Any:
    if not is_mapping(item) or "use" not in item:  # list items are layers or branches
        return written_out(item, read)
    use = item["use"] if is_mapping(item["use"]) else {"block": item["use"]}
    block = use["block"]
    written = written_block(read(block, "")) if isinstance(block, str) else written_out(block, read)
    return {**item, "use": {**use, "block": written}}


def plain_copy(value: Any) -> Any:
    """Return a deep copy of nested mappings and sequences as dicts and lists, which YAML writes without anchors."""
    if is_mapping(value):
        return {str(key): plain_copy(item) for key, item in value.items()}
    return [plain_copy(item) for item in value] if is_list(value) else value


def decode_items(
    raw: object, where: str, scope: Mapping[str, Value], read: ReadBlock = read_inline
) -> tuple[ItemSpec, ...]:
    """Return the specs of the list `raw` of layers; expressions may read names in `scope`, `read` returns blocks."""
    if not is_list(raw):
        raise SpecError(where, f"must be a list of layers, got {describe(raw)}")
    if where.count("[") >= MAX_DEPTH:
        raise SpecError(where, _TOO_DEEP)
    if len(raw) > MAX_ITEMS:
        raise SpecError(where, f"has {len(raw)} layers, at most {MAX_ITEMS} are allowed", _STAGES)
    return tuple(_decode_item(item, f"{where}[{i}]", scope, read) for i, item in enumerate(raw))


def own_name(raw: object, default: str, where: str) -> str:
    """Return `raw` as a name, or `default` if null or empty; raises `SpecError` for other types and for long names."""
    if raw is None or raw == "":
        return default
    if not isinstance(raw, str | int | float):
        raise SpecError(where, f"must be a string, got {describe(raw)}")
    if len(str(raw)) > MAX_NAME:
        raise SpecError(where, f"has {len(str(raw))} characters, at most {MAX_NAME} are allowed")
    return str(raw)


def known_mapping(
    raw: object, where: str, label: str, keys: tuple[str, ...] | None, old: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    """Return the mapping `raw`, which may have `keys` (None: any) and `old` keys; raises `SpecError` otherwise."""
    if not is_mapping(raw):
        raise SpecError(where, f"{label} must be a mapping, got {describe(raw)}")
    for key in raw:
        if keys is not None and key not in keys and key not in old:
            raise SpecError(join(where, key), f"unknown key for {label}", suggest(str(key), keys))
    return raw


def _decode_defaults(raw: object, where: str) -> dict[str, Value]:
    if raw is None:
        return {}
    if not is_mapping(raw):
        raise SpecError(where, f"must be a mapping, got {describe(raw)}")
    for key, value in raw.items():
        if key in CHANNEL_NAMES or key in WORDS or key != str(key) or not key.isidentifier():
            raise SpecError(join(where, key), "is not a valid name for an option of a block")
        if not isinstance(value, int | float | bool | str):
            raise SpecError(join(where, key), f"must be a number, true, false or a string, got {describe(value)}")
        if isinstance(value, float) and not isfinite(value):
            raise SpecError(join(where, key), f"must be finite, got {value}")
    return {str(key): value for key, value in raw.items()}


def _decode_item(raw: object, where: str, scope: Mapping[str, Value], read: ReadBlock) -> ItemSpec:
    if isinstance(raw, str):
        raw = {raw: {}}
    if not is_mapping(raw):
        raise SpecError(where, f"must be a layer such as 'conv: {{...}}', got {describe(raw)}")
    kinds = [key for key in raw if key in _ITEMS]
    for key in raw:
        if key not in (*_ITEMS, "when", "name"):
            act = next((one for one in ACTIVATIONS if plain_form(one) == plain_form(str(key))), "")
            fix = f"Write 'act: {act}'." if act else suggest(str(key), _ITEMS)
            raise SpecError(join(where, key), "unknown kind of layer", fix)
    if len(kinds) != 1:
        raise SpecError(where, f"must name one kind of layer, got {len(kinds)}", f"Kinds: {', '.join(_ITEMS)}.")
    kind = kinds[0]
    at, body = join(where, kind), raw[kind]
    when = _number_field(raw["when"], join(where, "when"), scope) if "when" in raw else None
    name = raw.get("name")
    if name is not None and (not isinstance(name, str) or not name.isidentifier()):
        raise SpecError(join(where, "name"), f"must be letters, digits and _, got {describe(name)}")
    if kind == "residual":
        return _decode_residual(body, at, scope, read, name, when)
    if kind == "parallel":
        return _decode_parallel(body, at, scope, read, name, when)
    if kind == "use":
        return _decode_use(body, at, scope, read, name, when)
    return LayerSpec(kind=kind, name=name, where=at, fields=_decode_fields(kind, body, at, scope), when=when)


def _decode_fields(kind: str, body: object, where: str, scope: Mapping[str, Value]) -> dict[str, Expression]:
    known = KINDS[kind].fields
    body = {} if body is None else body if is_mapping(body) else {KINDS[kind].main: body}
    body = known_mapping(body, where, f"'{kind}'", tuple(known))
    if kind == "pool" and "kernel" in body and "stride" not in body:
        body = {**body, "stride": body["kernel"]}
    fields: dict[str, Expression] = {}
    for key, default in known.items():
        at, value, choices = join(where, key), body.get(key, default), KINDS[kind].choices.get(key)
        for place, one in _places(KINDS[kind], key, value, at).items():
            if choices and (isinstance(one, str) or key != "padding"):
                fields[key + place] = _text_field(one, at + place, scope, choices)
            else:
                fields[key + place] = _number_field(one, at + place, scope)
    return fields


def _places(kind: LayerKind, key: str, value: object, where: str) -> Mapping[str, object]:
    """Return the values of a field by the suffix of its name: a single one, one per axis, or one per side."""
    if key not in kind.by_axis or not (is_list(value) or is_mapping(value)):
        return {"": value}
    if is_list(value):
        if len(value) != len(AXES):
            what = f"must be one value, or two for height and width, got {len(value)}"
            fix = "Write {top: ..., bottom: ..., left: ..., right: ...}." if len(value) == len(SIDES) else ""
            raise SpecError(where, what, fix or "Write [height, width].")
        return dict(zip(AXES, value, strict=True))
    if key != "padding":
        raise SpecError(where, f"must be a number, or two for height and width, got {describe(value)}")
    sides = known_mapping(value, where, "padding", SIDES)
    return {f".{side}": sides.get(side, 0) for side in SIDES}


def _decode_residual(
    body: object, where: str, scope: Mapping[str, Value], read: ReadBlock, name: str | None, when: Expression | None
) -> ResidualSpec:
    raw = known_mapping(body if is_mapping(body) else {"layers": body}, where, "'residual'", ("layers", "shortcut"))
    layers = decode_items(raw.get("layers"), join(where, "layers"), scope, read)
    at, shortcut = join(where, "shortcut"), raw.get("shortcut", "if_same_shape")
    return replace(_residual(layers, shortcut, at, scope, read, name=name, when=when), where=where)


def _residual(
    layers: tuple[ItemSpec, ...],
    shortcut: object,
    where: str,
    scope: Mapping[str, Value],
    read: ReadBlock,
    *,
    name: str | None,
    when: Expression | None,
) -> ResidualSpec:
    """Return the residual around `layers`; the `shortcut`, at `where`, is a word, a list of layers, or a mapping."""
    mode, projection, always = constant("project"), None, constant(False)
    if is_list(shortcut):
        projection = decode_items(shortcut, where, scope, read)
    elif is_mapping(shortcut):
        raw = known_mapping(shortcut, where, "a shortcut", ("layers", "always"))
        projection = decode_items(raw.get("layers"), join(where, "layers"), scope, read)
        always = _number_field(raw.get("always", False), join(where, "always"), scope)
    else:
        mode = _text_field(shortcut, where, scope, SHORTCUTS)
    return ResidualSpec(
        name=name, where=where, layers=layers, shortcut=mode, projection=projection, always=always, when=when
    )


def _decode_parallel(
    body: object, where: str, scope: Mapping[str, Value], read: ReadBlock, name: str | None, when: Expression | None
) -> ParallelSpec:
    if not is_mapping(body):
        raise SpecError(where, f"must be a mapping of combine and branches, got {describe(body)}")
    raw = known_mapping(body, where, "'parallel'", ("combine", "branches", "split"))
    combine: Combine = convert(Combine, raw.get("combine", "concat"), join(where, "combine"))
    branches = raw.get("branches")
    if is_list(branches):
        branches = {f"branch_{i + 1}": branch for i, branch in enumerate(branches)}
    if not is_mapping(branches) or len(branches) < 2:
        raise SpecError(join(where, "branches"), "must be a mapping or list of at least two lists of layers")
    decoded: dict[str, tuple[ItemSpec, ...]] = {}
    conditions: dict[str, Expression] = {}
    for key, branch in branches.items():
        at, layers = join(where, f"branches.{key}"), branch
        if not str(key).isidentifier():
            raise SpecError(at, "a branch's name must be letters, digits and _")
        if is_mapping(branch):
            layers = known_mapping(branch, at, "a branch", ("when", "layers")).get("layers")
            if branch.get("when") is not None:
                conditions[str(key)] = _number_field(branch["when"], join(at, "when"), scope)
            at = join(at, "layers")
        decoded[str(key)] = decode_items(layers, at, scope, read)
    return ParallelSpec(
        name=name,
        where=where,
        branches=decoded,
        conditions=conditions,
        combine=combine,
        split=_decode_split(raw.get("split"), tuple(decoded), join(where, "split"), scope),
        when=when,
    )


def _decode_split(
    raw: object, branches: tuple[str, ...], where: str, scope: Mapping[str, Value]
) -> dict[str, Expression | None] | None:
    """Return the number of channels of each branch (None: an equal share), or None if there is no split."""
    if raw is None:
        return None
    if raw == "equal":
        return dict.fromkeys(branches)
    if not is_mapping(raw):
        fix = "Use equal, or the channels of each branch by name."
        raise SpecError(where, f"must be equal or a mapping of branches to channels, got {describe(raw)}", fix)
    sizes = known_mapping(raw, where, "a split", branches)
    for name in branches:
        if name not in sizes:
            raise SpecError(join(where, name), "missing key for a split", "Give every branch its channels.")
    return {name: _number_field(sizes[name], join(where, name), scope) for name in branches}


def _decode_use(
    body: object, where: str, scope: Mapping[str, Value], read: ReadBlock, name: str | None, when: Expression | None
) -> UseSpec:
    raw: Mapping[str, Any] = body if is_mapping(body) else {"block": body}
    if raw.get("block") is None:
        raise SpecError(join(where, "block"), "missing key for 'use'", "It must be a block's name, or a block.")
    block = read(raw["block"], join(where, "block"))
    options: dict[str, Expression] = {}
    for key, value in raw.items():
        if key in _USE_KEYS or value is None:
            continue
        if key not in block.defaults:
            raise SpecError(join(where, key), "unknown key for 'use'", suggest(str(key), (*_USE_KEYS, *block.defaults)))
        options[str(key)] = _option_field(value, block.defaults[key], join(where, key), scope)
    width = _number_field("out" if raw.get("width") is None else raw["width"], join(where, "width"), scope)
    return UseSpec(name=name, where=where, block=block, items=block.items, width=width, options=options, when=when)


def _option_field(raw: object, default: Value, where: str, scope: Mapping[str, Value]) -> Expression:
    """Return the value of an option with this `default`: an expression, or a word if the default is a string."""
    if isinstance(raw, str) and (not isinstance(default, str) or raw in scope or " " in raw):
        return _number_field(raw, where, scope)
    return constant(option_value(raw, default, where))


def _text_field(raw: object, where: str, scope: Mapping[str, Value], choices: tuple[str, ...]) -> Expression:
    """Return the expression of a choice: one of `choices`, an option that holds one, or a formula over options."""
    if raw is None or raw is False:
        raw = "none"
    if not isinstance(raw, str):
        raise SpecError(where, f"must be one of {', '.join(choices)}, got {describe(raw)}")
    if raw in choices:
        return constant(raw)
    if raw in scope or " " in raw:
        return _number_field(raw, where, scope)
    options = [name for name, value in scope.items() if isinstance(value, str)]
    if choices == PADDINGS:
        raise unknown_padding(raw, where, options)
    raise SpecError(where, f"unknown value {quoted(raw)}", suggest(raw, (*choices, *options)))


def _number_field(raw: object, where: str, scope: Mapping[str, Value]) -> Expression:
    if isinstance(raw, int | float | bool):
        return constant(raw)
    if not isinstance(raw, str):
        raise SpecError(where, f"must be a number or an expression, got {describe(raw)}")
    expression = parse(raw, where)
    check_names(expression, scope, where)
    return expression
