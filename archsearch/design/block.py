"""Block specs: a YAML block decoded and checked, its arithmetic parsed but not evaluated.

A block is data: options with defaults, a list of layer specs, and the shortcut of its residual.
Imports the standard library, `errors`, `decode`, `notices` and this package only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, assert_never

from archsearch.decode import convert, describe, is_list, is_mapping, join, quoted, suggest
from archsearch.design.expression import WORDS, Expression, Value, check_names, constant, parse, settle
from archsearch.design.kinds import KINDS, PADDINGS, WINDOW, LayerSpec
from archsearch.design.plan import Combine
from archsearch.errors import SpecError
from archsearch.notices import notice_once

SHORTCUTS = ("none", "if_same_shape", "project")
CHANNEL_NAMES = ("in", "out", "block_in")
"""Names that an expression may read besides the block's options: channels entering this layer, leaving
the block, and entering the block."""
MAX_ITEMS = 1024
"""The largest number of layers of a block, those of residuals and branches included."""
MAX_DEPTH = 16
"""The largest number of lists of layers inside each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelSpec:
    """Branches over the same input, by name, and how their outputs are combined.

    A branch that has one of the `conditions` exists only if it is true; the only branch left is its layers.
    """

    name: str | None
    where: str
    branches: Mapping[str, tuple[ItemSpec, ...]]
    conditions: Mapping[str, Expression]
    combine: Combine
    when: Expression | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualSpec:
    """Layers with a shortcut around them: 'none', 'if_same_shape' or 'project' (a 1x1 convolution and a norm).

    Where `projection` is given, these layers project instead; with `always` also where the shape stays the same.
    """

    name: str | None
    where: str
    layers: tuple[ItemSpec, ...]
    shortcut: Expression
    projection: tuple[ItemSpec, ...] | None
    always: Expression
    when: Expression | None


ItemSpec = LayerSpec | ParallelSpec | ResidualSpec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockSpec:
    """A block: `defaults` of its options, its items, and `source`, the mapping that it was decoded from."""

    name: str
    defaults: Mapping[str, Value]
    items: tuple[ItemSpec, ...]
    source: Mapping[str, Any]


_ITEMS = (*KINDS, "residual", "parallel")
_STAGES = "Write several blocks, or a stage with repeats."
MAX_NAME = 200
"""Characters of the name of a block or a network."""
_BLOCK_KEYS = ("name", "options", "layers", "residual")
_OLD_OPTIONS = "defaults_of"


def option_defaults(block: Mapping[str, Any]) -> Any:
    """Return what the mapping of a block has under `options`, or under `defaults_of`, the key's older name."""
    if _OLD_OPTIONS in block:
        notice_once(f"a block's key '{_OLD_OPTIONS}' is now called 'options'; the old name still works")
        return block[_OLD_OPTIONS]
    return block.get("options")


def option_value(value: Any, default: Value, where: str) -> Value:
    """Return the value of an option: of the type of its `default`, or a number of px where that is a padding in words.

    Raises `SpecError` at `where` for any other.
    """
    if isinstance(value, float) and not isfinite(value):
        raise SpecError(where, f"must be finite, got {value}")
    if type(value) is type(default):
        return value
    if default in PADDINGS:
        return convert(int | str, value, where)
    hint: Any = int | float if isinstance(default, float) or type(default) is int else type(default)
    return convert(hint, value, where)


def decode_block(raw: object, where: str, name: str = "") -> BlockSpec:
    """Return the block that the mapping `raw` describes; raises `SpecError` below `where`."""
    block = known_mapping(raw, where, "a block", _BLOCK_KEYS, old=(_OLD_OPTIONS,))
    if "layers" not in block:
        raise SpecError(join(where, "layers"), "missing key for a block", "It must be a list of layers, [] for none.")
    key = _OLD_OPTIONS if _OLD_OPTIONS in block else "options"
    if _OLD_OPTIONS in block and "options" in block:
        raise SpecError(where, f"has both 'options' and '{_OLD_OPTIONS}'", "They mean the same: keep 'options'.")
    defaults = _decode_defaults(option_defaults(block), join(where, key))
    scope = {**dict.fromkeys(CHANNEL_NAMES, 1), **defaults}
    items = decode_items(block["layers"], join(where, "layers"), scope)
    residual = block.get("residual", "none")
    if residual != "none":
        items = (_residual(items, residual, join(where, "residual"), scope, name=None, when=None),)
    if (count := count_layers(items)) > MAX_ITEMS:
        raise SpecError(join(where, "layers"), f"has {count} layers, at most {MAX_ITEMS} are allowed", _STAGES)
    return BlockSpec(
        name=own_name(block.get("name"), name, join(where, "name")), defaults=defaults, items=items, source=block
    )


def decode_items(raw: object, where: str, scope: Mapping[str, Value]) -> tuple[ItemSpec, ...]:
    """Return the list `raw` of layers as specs; expressions may read the names in `scope`."""
    if not is_list(raw):
        raise SpecError(where, f"must be a list of layers, got {describe(raw)}")
    if where.count("[") >= MAX_DEPTH:
        raise SpecError(where, f"more than {MAX_DEPTH} lists of layers are inside each other")
    if len(raw) > MAX_ITEMS:
        raise SpecError(where, f"has {len(raw)} layers, at most {MAX_ITEMS} are allowed", _STAGES)
    return tuple(_decode_item(item, f"{where}[{i}]", scope) for i, item in enumerate(raw))


def count_layers(items: Iterable[ItemSpec]) -> int:
    """Return how many layers, merges of branches included, `items` make at most."""
    count = 0
    for item in items:
        match item:
            case LayerSpec():
                count += 1
            case ResidualSpec(layers=layers, projection=projection):
                count += 1 + count_layers(layers) + (2 if projection is None else count_layers(projection))
            case ParallelSpec(branches=branches):
                count += 1 + sum(count_layers(branch) for branch in branches.values())
            case _:
                assert_never(item)
    return count


def own_name(raw: object, default: str, where: str) -> str:
    """Return the name `raw` of a block or a network, or `default` for null; raises `SpecError` for no text."""
    if raw is None or raw == "":
        return default
    if not isinstance(raw, str | int | float):
        raise SpecError(where, f"must be a string, got {describe(raw)}")
    if len(str(raw)) > MAX_NAME:
        raise SpecError(where, f"has {len(str(raw))} characters, at most {MAX_NAME} are allowed")
    return str(raw)


def settle_items(items: Iterable[ItemSpec], options: Mapping[str, Value]) -> tuple[ItemSpec, ...]:
    """Return `items` with the value of every expression that reads nothing but `options`, and without those left out.

    An expression that has no value stays as it is, and raises where the layer is made.
    """
    found: list[ItemSpec] = []
    for item in items:
        exists, when = _settled_condition(item.when, options)
        if not exists:
            continue
        match item:
            case LayerSpec(fields=fields):
                known = {name: settle(each, options) for name, each in fields.items()}
                found.append(replace(item, when=when, fields=known))
            case ResidualSpec(layers=layers, shortcut=shortcut, projection=projection, always=always):
                found.append(
                    replace(
                        item,
                        when=when,
                        layers=settle_items(layers, options),
                        shortcut=settle(shortcut, options),
                        projection=None if projection is None else settle_items(projection, options),
                        always=settle(always, options),
                    )
                )
            case ParallelSpec():
                found.append(_settled_branches(replace(item, when=when), options))
            case _:
                assert_never(item)
    return tuple(found)


def _settled_condition(when: Expression | None, options: Mapping[str, Value]) -> tuple[bool, Expression | None]:
    """Return whether what has the condition `when` may exist, and what is left of the condition."""
    when = None if when is None else settle(when, options)
    if when is None or when.value is None or isinstance(when.value, str):
        return True, when
    return bool(when.value), None


def _settled_branches(item: ParallelSpec, options: Mapping[str, Value]) -> ParallelSpec:
    branches: dict[str, tuple[ItemSpec, ...]] = {}
    conditions: dict[str, Expression] = {}
    for name, branch in item.branches.items():
        exists, when = _settled_condition(item.conditions.get(name), options)
        if exists:
            branches[name] = settle_items(branch, options)
        if when is not None:
            conditions[name] = when
    return replace(item, branches=branches, conditions=conditions)


def is_shape_settled(items: Iterable[ItemSpec]) -> bool:
    """Return whether `items`, and their windows, are the same for all channels, but for the shortcut of a residual."""
    for item in items:
        match item:
            case LayerSpec(fields=fields):
                inner = all(fields[name].value is not None for name in WINDOW if name in fields)
            case ResidualSpec(layers=layers, projection=projection, always=always):
                inner = is_shape_settled(layers) and always.value is not None and is_shape_settled(projection or ())
            case ParallelSpec(branches=branches, conditions=conditions):
                inner = not conditions and all(is_shape_settled(branch) for branch in branches.values())
            case _:
                assert_never(item)
        if item.when is not None or not inner:
            return False
    return True


def known_mapping(
    raw: object, where: str, label: str, keys: tuple[str, ...] | None, old: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    """Return the mapping `raw`, which may hold `keys` and `old` ones (None: any); raises `SpecError` otherwise."""
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


def _decode_item(raw: object, where: str, scope: Mapping[str, Value]) -> ItemSpec:
    if isinstance(raw, str):
        raw = {raw: {}}
    if not is_mapping(raw):
        raise SpecError(where, f"must be a layer such as 'conv: {{...}}', got {describe(raw)}")
    kinds = [key for key in raw if key in _ITEMS]
    for key in raw:
        if key not in (*_ITEMS, "when", "name"):
            raise SpecError(join(where, key), "unknown kind of layer", suggest(str(key), _ITEMS))
    if len(kinds) != 1:
        raise SpecError(where, f"must name one kind of layer, got {len(kinds)}", f"Kinds: {', '.join(_ITEMS)}.")
    kind = kinds[0]
    at, body = join(where, kind), raw[kind]
    when = _number_field(raw["when"], join(where, "when"), scope) if "when" in raw else None
    name = raw.get("name")
    if name is not None and (not isinstance(name, str) or not name.isidentifier()):
        raise SpecError(join(where, "name"), f"must be letters, digits and _, got {describe(name)}")
    if kind == "residual":
        return _decode_residual(body, at, scope, name, when)
    if kind == "parallel":
        return _decode_parallel(body, at, scope, name, when)
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
        if choices and not (key == "padding" and not isinstance(value, str)):
            fields[key] = _text_field(value, at, scope, choices)
        else:
            fields[key] = _number_field(value, at, scope)
    return fields


def _decode_residual(
    body: object, where: str, scope: Mapping[str, Value], name: str | None, when: Expression | None
) -> ResidualSpec:
    raw = known_mapping(body if is_mapping(body) else {"layers": body}, where, "'residual'", ("layers", "shortcut"))
    layers = decode_items(raw.get("layers"), join(where, "layers"), scope)
    at, shortcut = join(where, "shortcut"), raw.get("shortcut", "if_same_shape")
    return replace(_residual(layers, shortcut, at, scope, name=name, when=when), where=where)


def _residual(
    layers: tuple[ItemSpec, ...],
    shortcut: object,
    where: str,
    scope: Mapping[str, Value],
    *,
    name: str | None,
    when: Expression | None,
) -> ResidualSpec:
    """Return the residual around `layers`; the `shortcut` at `where` is a word, layers, or a mapping."""
    mode, projection, always = constant("project"), None, constant(False)
    if is_list(shortcut):
        projection = decode_items(shortcut, where, scope)
    elif is_mapping(shortcut):
        raw = known_mapping(shortcut, where, "a shortcut", ("layers", "always"))
        projection = decode_items(raw.get("layers"), join(where, "layers"), scope)
        always = _number_field(raw.get("always", False), join(where, "always"), scope)
    else:
        mode = _text_field(shortcut, where, scope, SHORTCUTS)
    return ResidualSpec(
        name=name, where=where, layers=layers, shortcut=mode, projection=projection, always=always, when=when
    )


def _decode_parallel(
    body: object, where: str, scope: Mapping[str, Value], name: str | None, when: Expression | None
) -> ParallelSpec:
    if not is_mapping(body):
        raise SpecError(where, f"must be a mapping of combine and branches, got {describe(body)}")
    raw = known_mapping(body, where, "'parallel'", ("combine", "branches"))
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
        decoded[str(key)] = decode_items(layers, at, scope)
    return ParallelSpec(name=name, where=where, branches=decoded, conditions=conditions, combine=combine, when=when)


def _text_field(raw: object, where: str, scope: Mapping[str, Value], choices: tuple[str, ...]) -> Expression:
    """Return a choice, an option of which the value is one, or an expression over options."""
    if raw is None or raw is False:
        raw = "none"
    if not isinstance(raw, str):
        raise SpecError(where, f"must be one of {', '.join(choices)}, got {describe(raw)}")
    if raw in choices:
        return constant(raw)
    if raw in scope or " " in raw:
        return _number_field(raw, where, scope)
    options = [name for name, value in scope.items() if isinstance(value, str)]
    raise SpecError(where, f"unknown value {quoted(raw)}", suggest(raw, (*choices, *options)))


def _number_field(raw: object, where: str, scope: Mapping[str, Value]) -> Expression:
    if isinstance(raw, int | float | bool):
        return constant(raw)
    if not isinstance(raw, str):
        raise SpecError(where, f"must be a number or an expression, got {describe(raw)}")
    expression = parse(raw, where)
    check_names(expression, scope, where)
    return expression
