"""`study.enqueue`: designs that a search trains first, as points of its space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from archsearch.cli.compose import Composer
from archsearch.decode import describe, is_mapping, suggest
from archsearch.design.spec import options_taken
from archsearch.errors import SpecError
from archsearch.search.infeasible import broken_limits
from archsearch.search.samplers.proposer import Infeasible, evaluate
from archsearch.search.space import Choice, Parameter, Params, Space, Value
from archsearch.search.sweep import Sweep
from archsearch.search.task import Task

_WHERE = "study.enqueue"


def enqueued_points(
    given: Sequence[Mapping[str, Value]], space: Space, fixed: Mapping[str, Value], composer: Composer
) -> tuple[Params, ...]:
    """Return the points of `space` that the mappings of `study.enqueue` describe.

    A key that a mapping leaves out has the value of the composed configuration: `{}` is the design of the command
    itself. Raises `SpecError` for a key that is not searched over, and for a value that the space does not contain.
    """
    return tuple(_point(f"{_WHERE}[{index}]", each, space, fixed, composer) for index, each in enumerate(given))


def _point(
    where: str, given: Mapping[str, Value], space: Space, fixed: Mapping[str, Value], composer: Composer
) -> Params:
    for name in given:
        if name not in space.parameters:
            fix = suggest(name, space.parameters)
            raise SpecError(
                f"{where}.{name}", "the search does not vary this key", fix or "Set it on the command line."
            )
    tree = composer.compose({**fixed, **given})
    point: dict[str, Value] = {}
    for name, parameter in space.parameters.items():
        value = given[name] if name in given else _composed_value(name, parameter, tree, composer)
        if not parameter.contains(value):
            what = f"{describe(value)} is no value of the space"
            if name not in given:
                what = f"the configuration has {describe(value)}, which is no value of the space"
            raise SpecError(f"{where}.{name}", what, "Give a value of the space, or widen the space.")
        point[name] = value
    return point


def _composed_value(name: str, parameter: Parameter, tree: Mapping[str, Any], composer: Composer) -> Value:
    """Return the value of a key in `tree`: the value set there or in the options of the network, or the block's.

    If the block does not have the option, the value has no effect, and any value of the space is returned.
    """
    parts = name.split(".")
    node: Any = tree
    for part in parts:
        node = node.get(part, ...) if is_mapping(node) else ...
    if node is not ... and not is_mapping(node):
        return node
    if len(parts) == 4 and name.startswith("arch.stages."):
        arch, option = tree["arch"], parts[3]
        taken = options_taken(arch["stages"][parts[2]], composer.blocks)
        if option not in taken:
            return parameter.options[0] if isinstance(parameter, Choice) else parameter.low
        shared = (arch.get("options") or {}).get(option)
        return taken[option] if shared is None else shared
    raise SpecError(f"{_WHERE}: {name}", "has no single value in the configuration", "Give it in each design.")


def require_feasible(sweep: Sweep, task: Task) -> None:
    """Raise `SpecError` for an enqueued design that breaks a limit or cannot be built."""
    for index, point in enumerate(sweep.enqueued):
        found = evaluate(task, sweep, point)
        if isinstance(found, Infeasible):
            broken = broken_limits(found.margins)
            what = f"is infeasible: it breaks {', '.join(broken)}" if broken else found.reason
            raise SpecError(f"{_WHERE}[{index}]", what, "Change it, or leave it out.")
