"""Parameters of a space as Optuna's distributions, and values on their way back.

Imports optuna inside functions only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from archsearch.search.candidates import Choice, Parameter, Space, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """Return the space as `Study.ask` takes it."""
    return {name: distribution_of(parameter) for name, parameter in space.parameters.items()}


def distribution_of(parameter: Parameter) -> BaseDistribution:
    """Return one parameter as Optuna says it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.options)
    if parameter.integer:
        step = 1 if parameter.log else int(parameter.step or 1)
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log, step=step)

    if parameter.log:
        return FloatDistribution(parameter.low, parameter.high, log=True)
    return FloatDistribution(parameter.low, parameter.high, step=parameter.step)


def inside(space: Space, assignments: Mapping[str, Value]) -> dict[str, Value] | None:
    """Return the part of `assignments` that is a point of `space`, or None where they are not one."""
    point: dict[str, Value] = {}
    for name, parameter in space.parameters.items():
        if name not in assignments or not _contains(parameter, assignments[name]):
            return None
        point[name] = assignments[name]
    return point


def _contains(parameter: Parameter, value: Value) -> bool:
    if isinstance(parameter, Choice):
        return any(type(option) is type(value) and option == value for option in parameter.options)
    if not isinstance(value, int | float) or isinstance(value, bool) or not parameter.low <= value <= parameter.high:
        return False
    if parameter.integer and not float(value).is_integer():
        return False
    if parameter.step is None or parameter.log:
        return True
    steps = (value - parameter.low) / parameter.step
    return math.isclose(steps, round(steps), abs_tol=1e-6)
