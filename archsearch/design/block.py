"""Block specs: what a YAML block says, decoded and checked, with its arithmetic parsed but not evaluated.

A block is data: options with defaults, a list of layer specs, and how its residual works.
Imports the standard library, `errors`, `decode` and `design.expression` only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, assert_never, get_args

from archsearch.decode import convert, describe, is_list, is_mapping, join, suggest
from archsearch.design.expression import Expression, Value, check_names, constant, given, parse
from archsearch.design.plan import ActivationKind, Combine, NormKind
from archsearch.errors import SpecError

NORMS = (*get_args(NormKind), "none")
ACTIVATIONS = (*get_args(ActivationKind), "none")
POOLS = ("max", "average", "global_max", "global_average")
PADDINGS = ("same", "valid")
SHORTCUTS = ("none", "if_same_shape", "project")
CHANNEL_NAMES = ("in", "out", "block_in")
"""Names that an expression may read besides the block's options: channels entering this layer, leaving
the block, and entering the block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerSpec:
    """One primitive layer: its kind and fields, each an expression over channels and options."""

    kind: str
    name: str | None
    where: str
    fields: Mapping[str, Expression]
    when: Expression | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelSpec:
    """Branches over the same input, by name, and how they meet."""

    name: str | None
    where: str
    branches: Mapping[str, tuple[ItemSpec, ...]]
    combine: Combine
    when: Expression | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualSpec:
    """Layers with a shortcut around them: 'none', 'if_same_shape' or 'project' (a 1x1 convolution and a norm)."""

    name: str | None
    where: str
    layers: tuple[ItemSpec, ...]
    shortcut: Expression
    when: Expression | None


ItemSpec = LayerSpec | ParallelSpec | ResidualSpec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockSpec:
    """A block: `defaults` of its options, its items, and `source`, the mapping that it was decoded from."""

    name: str
    defaults: Mapping[str, Value]
    items: tuple[ItemSpec, ...]
    source: Mapping[str, Any]


_FIELDS: dict[str, dict[str, tuple[Value, tuple[str, ...]]]] = {
    "conv": {
        "out": ("out", ()),
        "kernel": (3, ()),
        "stride": (1, ()),
        "dilation": (1, ()),
        "groups": (1, ()),
        "padding": ("same", PADDINGS),
        "bias": (False, ()),
    },
    "norm": {"kind": ("batch", NORMS), "groups": (8, ())},
    "act": {"kind": ("relu", ACTIVATIONS)},
    "dropout": {"rate": (0.1, ()), "channelwise": (False, ())},
    "pool": {"kind": ("max", POOLS), "kernel": (2, ()), "stride": (2, ()), "padding": ("same", PADDINGS)},
    "linear": {"out": ("out", ()), "bias": (True, ())},
}
_MAIN_FIELD = {"norm": "kind", "act": "kind", "dropout": "rate", "pool": "kind", "conv": "out", "linear": "out"}
_KINDS = (*_FIELDS, "residual", "parallel")
_BLOCK_KEYS = ("name", "defaults_of", "layers", "residual")


def decode_block(raw: object, where: str, name: str = "") -> BlockSpec:
    """Return the block that the mapping `raw` describes; raises `SpecError` below `where`."""
    if not is_mapping(raw):
        raise SpecError(where, f"a block must be a mapping, is {describe(raw)}")
    for key in raw:
        if key not in _BLOCK_KEYS:
            raise SpecError(join(where, key), "unknown key for a block", suggest(str(key), _BLOCK_KEYS))
    if "layers" not in raw:
        raise SpecError(join(where, "layers"), "missing key for a block", "It must be a list of layers, [] for none.")
    defaults = _decode_defaults(raw.get("defaults_of"), join(where, "defaults_of"))
    scope = {**dict.fromkeys(CHANNEL_NAMES, 1), **defaults}
    items = decode_items(raw["layers"], join(where, "layers"), scope)
    residual = raw.get("residual", "none")
    if residual != "none":
        at = join(where, "residual")
        shortcut = _text_field(residual, at, scope, SHORTCUTS)
        items = (ResidualSpec(name=None, where=at, layers=items, shortcut=shortcut, when=None),)
    return BlockSpec(name=str(raw.get("name") or name), defaults=defaults, items=items, source=raw)


def decode_items(raw: object, where: str, scope: Mapping[str, Value]) -> tuple[ItemSpec, ...]:
    """Return the list `raw` of layers as specs; expressions may read the names in `scope`."""
    if not is_list(raw):
        raise SpecError(where, f"must be a list of layers, is {describe(raw)}")
    return tuple(_decode_item(item, f"{where}[{i}]", scope) for i, item in enumerate(raw))


def settled(items: tuple[ItemSpec, ...], options: Mapping[str, Value]) -> tuple[ItemSpec, ...]:
    """Return `items` with the value of every expression that reads nothing but `options`, and without those left out.

    What arithmetic forbids stays as it is, to be told where the layer is made.
    """
    found: list[ItemSpec] = []
    for item in items:
        when = None if item.when is None else given(item.when, options)
        if when is not None and when.value is not None:
            if not when.value:
                continue
            when = None
        match item:
            case LayerSpec(fields=fields):
                known = {name: given(each, options) for name, each in fields.items()}
                found.append(replace(item, when=when, fields=known))
            case ResidualSpec(layers=layers, shortcut=shortcut):
                inner = settled(layers, options)
                found.append(replace(item, when=when, layers=inner, shortcut=given(shortcut, options)))
            case ParallelSpec(branches=branches):
                known = {name: settled(branch, options) for name, branch in branches.items()}
                found.append(replace(item, when=when, branches=known))
            case _:
                assert_never(item)
    return tuple(found)


def _decode_defaults(raw: object, where: str) -> dict[str, Value]:
    if raw is None:
        return {}
    if not is_mapping(raw):
        raise SpecError(where, f"must be a mapping, is {describe(raw)}")
    for key, value in raw.items():
        if key in CHANNEL_NAMES or not str(key).isidentifier():
            raise SpecError(join(where, key), "is not a name for an option of a block")
        if not isinstance(value, int | float | bool | str):
            raise SpecError(join(where, key), f"must be a number, true, false or text, is {describe(value)}")
    return {str(key): value for key, value in raw.items()}


def _decode_item(raw: object, where: str, scope: Mapping[str, Value]) -> ItemSpec:
    if isinstance(raw, str):
        raw = {raw: {}}
    if not is_mapping(raw):
        raise SpecError(where, f"must be a layer such as 'conv: {{...}}', is {describe(raw)}")
    kinds = [key for key in raw if key in _KINDS]
    for key in raw:
        if key not in (*_KINDS, "when", "name"):
            raise SpecError(join(where, key), "unknown kind of layer", suggest(str(key), _KINDS))
    if len(kinds) != 1:
        raise SpecError(where, f"names {len(kinds)} kinds of layer, must name one", f"Kinds: {', '.join(_KINDS)}.")
    kind = kinds[0]
    at, body = join(where, kind), raw[kind]
    when = _number_field(raw["when"], join(where, "when"), scope) if "when" in raw else None
    name = raw.get("name")
    if name is not None and (not isinstance(name, str) or not name.isidentifier()):
        raise SpecError(join(where, "name"), f"must be letters, digits and _, is {describe(name)}")
    if kind == "residual":
        return _decode_residual(body, at, scope, name, when)
    if kind == "parallel":
        return _decode_parallel(body, at, scope, name, when)
    return LayerSpec(kind=kind, name=name, where=at, fields=_decode_fields(kind, body, at, scope), when=when)


def _decode_fields(kind: str, body: object, where: str, scope: Mapping[str, Value]) -> dict[str, Expression]:
    known = _FIELDS[kind]
    if body is None:
        body = {}
    if not is_mapping(body):
        body = {_MAIN_FIELD[kind]: body}
    for key in body:
        if key not in known:
            raise SpecError(join(where, key), f"unknown key for '{kind}'", suggest(str(key), known))
    if kind == "pool" and "kernel" in body and "stride" not in body:
        body = {**body, "stride": body["kernel"]}
    fields: dict[str, Expression] = {}
    for key, (default, choices) in known.items():
        at, value = join(where, key), body.get(key, default)
        if choices and not (key == "padding" and not isinstance(value, str)):
            fields[key] = _text_field(value, at, scope, choices)
        else:
            fields[key] = _number_field(value, at, scope)
    return fields


def _decode_residual(
    body: object, where: str, scope: Mapping[str, Value], name: str | None, when: Expression | None
) -> ResidualSpec:
    if not is_mapping(body):
        body = {"layers": body}
    for key in body:
        if key not in ("layers", "shortcut"):
            raise SpecError(join(where, key), "unknown key for 'residual'", suggest(str(key), ("layers", "shortcut")))
    layers = decode_items(body.get("layers"), join(where, "layers"), scope)
    shortcut = _text_field(body.get("shortcut", "if_same_shape"), join(where, "shortcut"), scope, SHORTCUTS)
    return ResidualSpec(name=name, where=where, layers=layers, shortcut=shortcut, when=when)


def _decode_parallel(
    body: object, where: str, scope: Mapping[str, Value], name: str | None, when: Expression | None
) -> ParallelSpec:
    if not is_mapping(body):
        raise SpecError(where, f"must be a mapping of combine and branches, is {describe(body)}")
    for key in body:
        if key not in ("combine", "branches"):
            raise SpecError(join(where, key), "unknown key for 'parallel'", suggest(str(key), ("combine", "branches")))
    combine: Combine = convert(Combine, body.get("combine", "concat"), join(where, "combine"))
    branches = body.get("branches")
    if is_list(branches):
        branches = {f"branch_{i + 1}": branch for i, branch in enumerate(branches)}
    if not is_mapping(branches) or len(branches) < 2:
        raise SpecError(join(where, "branches"), "must be a mapping or list of at least two lists of layers")
    decoded = {str(key): decode_items(item, join(where, f"branches.{key}"), scope) for key, item in branches.items()}
    for key in decoded:
        if not key.isidentifier():
            raise SpecError(join(where, f"branches.{key}"), "a branch's name must be letters, digits and _")
    return ParallelSpec(name=name, where=where, branches=decoded, combine=combine, when=when)


def _text_field(raw: object, where: str, scope: Mapping[str, Value], choices: tuple[str, ...]) -> Expression:
    """Return a choice, or the option that holds one, or an expression that picks among options."""
    if raw is None or raw is False:
        raw = "none"
    if not isinstance(raw, str):
        raise SpecError(where, f"must be one of {', '.join(choices)}, is {describe(raw)}")
    if raw in choices:
        return constant(raw)
    if raw in scope or " " in raw:
        expression = parse(raw, where)
        check_names(expression, scope, where)
        return expression
    options = [name for name, value in scope.items() if isinstance(value, str)]
    raise SpecError(where, f"{describe(raw)} is not a choice", suggest(raw, (*choices, *options)))


def _number_field(raw: object, where: str, scope: Mapping[str, Value]) -> Expression:
    if isinstance(raw, int | float | bool):
        return constant(raw)
    if not isinstance(raw, str):
        raise SpecError(where, f"must be a number or an expression, is {describe(raw)}")
    expression = parse(raw, where)
    check_names(expression, scope, where)
    return expression
