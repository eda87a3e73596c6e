"""The specs of a block's layers, and what is known about them before the channels are known.

Expressions are parsed. The options of a block determine the values of some, the channels those of the rest (`lower`).
Imports the standard library and this package only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, assert_never

from archsearch.design.expression import Expression, Value, settle
from archsearch.design.kinds import WINDOW, LayerSpec
from archsearch.design.plan import Combine


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelSpec:
    """Named branches over the same input, and how their outputs are combined.

    A branch with one of the `conditions` exists only if it is true; a single remaining branch is replaced by its
    layers. With `split`, each branch gets its own channels: the number that its expression gives, or an equal share if
    that is None.
    """

    name: str | None
    where: str
    branches: Mapping[str, tuple[ItemSpec, ...]]
    conditions: Mapping[str, Expression]
    combine: Combine
    split: Mapping[str, Expression | None] | None
    when: Expression | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidualSpec:
    """Layers with a shortcut around them: 'none', 'if_same_shape' or 'project' (a 1x1 convolution and a norm).

    If `projection` is given, these layers project instead; with `always`, even if the shape stays the same.
    """

    name: str | None
    where: str
    layers: tuple[ItemSpec, ...]
    shortcut: Expression
    projection: tuple[ItemSpec, ...] | None
    always: Expression
    when: Expression | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UseSpec:
    """A block inside a block; its `width` (output channels) and `options` are expressions over the outer block's names.

    `items` are those of the block, with the values that follow from the known options.
    """

    name: str | None
    where: str
    block: BlockSpec
    items: tuple[ItemSpec, ...]
    width: Expression
    options: Mapping[str, Expression]
    when: Expression | None


ItemSpec = LayerSpec | ParallelSpec | ResidualSpec | UseSpec


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BlockSpec:
    """A block: the `defaults` of its options, its items, and `source`, the mapping that it was decoded from.

    In `source`, the blocks that it uses are inlined.
    """

    name: str
    defaults: Mapping[str, Value]
    items: tuple[ItemSpec, ...]
    source: Mapping[str, Any]


def count_layers(items: Iterable[ItemSpec]) -> int:
    """Return the maximum number of layers that `items` make, including merges of branches, and used blocks."""
    count = 0
    for item in items:
        projects = isinstance(item, ResidualSpec) and item.projection is None  # with two layers
        parts = len(item.split or ()) if isinstance(item, ParallelSpec) else 0
        count += (3 if projects else 1) + parts + sum(map(count_layers, _lists(item)))
    return count


def list_depth(items: Iterable[ItemSpec]) -> int:
    """Return the nesting depth of lists of layers, including `items`."""
    return 1 + max((list_depth(inner) for item in items for inner in _lists(item)), default=0)


def uses_blocks(items: Iterable[ItemSpec]) -> bool:
    """Return whether a block is used anywhere in `items`."""
    return any(isinstance(item, UseSpec) or any(map(uses_blocks, _lists(item))) for item in items)


def settle_items(items: Iterable[ItemSpec], options: Mapping[str, Value]) -> tuple[ItemSpec, ...]:
    """Return `items` with all expressions evaluated that read only `options`, without items whose condition is false.

    An expression that cannot be evaluated stays as it is, and raises when the layer is made.
    """
    found: list[ItemSpec] = []
    for item in items:
        exists, when = _settled_condition(item.when, options)
        if not exists:
            continue
        match item:
            case LayerSpec(fields=fields):
                found.append(replace(item, when=when, fields=_settled(fields, options)))
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
            case UseSpec():
                found.append(_settled_use(replace(item, when=when), options))
            case _:
                assert_never(item)
    return tuple(found)


def is_shape_settled(items: Iterable[ItemSpec]) -> bool:
    """Return whether `items` and their windows are the same for all channels, except for shortcuts of residuals."""
    for item in items:
        match item:
            case LayerSpec(fields=fields):
                own = all(fields[name].value is not None for name in WINDOW if name in fields)
            case ResidualSpec(always=always):
                own = always.value is not None
            case ParallelSpec(conditions=conditions):
                own = not conditions
            case UseSpec():
                own = True
            case _:
                assert_never(item)
        if item.when is not None or not own or not all(map(is_shape_settled, _lists(item))):
            return False
    return True


def reads_out(items: Iterable[ItemSpec]) -> bool:
    """Return whether an expression in `items` without a value yet reads the output channels of the block."""
    for item in items:
        match item:
            case LayerSpec(fields=fields):
                own, lists = [*fields.values()], _lists(item)
            case ResidualSpec(shortcut=shortcut, always=always):
                own, lists = [shortcut, always], _lists(item)
            case ParallelSpec(conditions=conditions, split=split):
                own, lists = [*conditions.values(), *(split or {}).values()], _lists(item)
            case UseSpec(options=options, width=width):  # the lists inside read its width as `out`
                own, lists = [*options.values(), *([width] if reads_out(item.items) else [])], ()
            case _:
                assert_never(item)
        if any("out" in one.names for one in (*own, item.when) if one is not None and one.value is None):
            return True
        if any(map(reads_out, lists)):
            return True
    return False


def _lists(item: ItemSpec) -> Iterator[tuple[ItemSpec, ...]]:
    """Yield the lists of layers directly inside `item`."""
    match item:
        case LayerSpec():
            pass
        case ResidualSpec(layers=layers, projection=projection):
            yield layers
            yield projection or ()
        case ParallelSpec(branches=branches):
            yield from branches.values()
        case UseSpec(items=items):
            yield items
        case _:
            assert_never(item)


def _settled(fields: Mapping[str, Expression], options: Mapping[str, Value]) -> dict[str, Expression]:
    return {name: settle(each, options) for name, each in fields.items()}


def _settled_condition(when: Expression | None, options: Mapping[str, Value]) -> tuple[bool, Expression | None]:
    """Return whether an item with the condition `when` may exist, and the condition, or None if it is decided."""
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
    split = None
    if item.split is not None:
        sizes = {name: item.split[name] for name in branches}
        split = {name: None if size is None else settle(size, options) for name, size in sizes.items()}
    return replace(item, branches=branches, conditions=conditions, split=split)


def _settled_use(item: UseSpec, options: Mapping[str, Value]) -> UseSpec:
    given = _settled(item.options, options)
    known = {name: value for name, value in item.block.defaults.items() if name not in given}
    known |= {name: each.value for name, each in given.items() if each.value is not None}
    return replace(item, options=given, width=settle(item.width, options), items=settle_items(item.items, known))
