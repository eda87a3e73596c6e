"""Read a space from Hydra's override grammar: which keys are searched over which values, and which are fixed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from archsearch.cli.grammar_errors import grammar_error, list_error
from archsearch.config_files.limits import check_override, check_scalar
from archsearch.decode import describe
from archsearch.errors import SpecError
from archsearch.overrides import SEARCH_GROUPS, group_of
from archsearch.search.space import Choice, Parameter, Range, Space, Value

# The same for all trials of a study, because results on other data or under other limits cannot be compared.
HELD = (*SEARCH_GROUPS, "data", "constraints", "resume", "experiment", "tracking")
MOST_VALUES = 10_000
"""Maximum number of values of a range; an interval has no such limit."""
LARGEST = 1e18


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a command line requests: a space, fixed assignments from the space's file, and the plain overrides.

    `exhaustive` is true if only comma lists and globs were given, `shuffle` if a sweep requests a random order.
    """

    space: Space
    fixed: Mapping[str, Value]
    base: tuple[str, ...]
    exhaustive: bool
    shuffle: bool = False


def read_request(
    arguments: Iterable[str], space: Mapping[str, Any] | None, loader: Any = None, *, name: str | None = None
) -> Request:
    """Return what the overrides `arguments` and the mapping `space`, option `name` of its group, request.

    The overrides take precedence. `loader` is Hydra's config loader, for globs over config groups. Raises `SpecError`
    for what cannot be searched.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create(loader)
    parameters: dict[str, Parameter] = {}
    fixed: dict[str, Value] = {}
    base: list[str] = []
    sampled, shuffle = bool(space), False
    file = f"space/{name or '...'}.yaml"
    for name, raw in (space or {}).items():
        if raw is None:
            continue
        override = _parsed(parser, name, raw, file)
        if override.is_sweep_override():
            parameters[name] = parameter_of(override, loader)
            shuffle |= _shuffled(override)
        else:
            fixed[name] = scalar(name, raw)
    for text, override in zip(arguments, parser.parse_overrides(list(arguments)), strict=True):
        name = _name(override)
        if not override.is_sweep_override():
            if group_of(name) not in SEARCH_GROUPS:
                base.append(text)
                parameters.pop(name, None)
                fixed.pop(name, None)
            continue
        top = group_of(name)
        if top in HELD:
            fix = f"Run one sweep for each {top}." if top in ("data", "constraints") else "Give it one value."
            raise SpecError(name, "cannot differ between the trials of one study", fix)
        parameters[name] = parameter_of(override, loader)
        fixed.pop(name, None)
        sampled |= not _is_list(override)
        shuffle |= _shuffled(override)
    return Request(
        space=Space(parameters=parameters), fixed=fixed, base=tuple(base), exhaustive=not sampled, shuffle=shuffle
    )


def _parsed(parser: Any, name: str, raw: Any, file: str) -> Any:
    """Parse a key of a space and its value as an override; raises `SpecError` if they are not one."""
    from hydra.errors import HydraException

    if isinstance(raw, Mapping):
        raise SpecError(f"{file}: {name}", "is a mapping, not several values", f"Name the keys inside: {name}.KEY.")
    text = f"{name}={' '.join(raw.split()) if isinstance(raw, str) else raw}"
    check_override(text)
    try:
        override = parser.parse_override(text)
    except HydraException as error:
        raise grammar_error(text, str(error), file=file) from None
    if isinstance(value := override.value(), list):
        raise list_error(name, value, file)
    return override


def parameter_of(override: Any, loader: Any = None) -> Parameter:
    """Return the values of a sweep override: choices, a range with a step, or an interval."""
    from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, RangeSweep

    name, sweep = _name(override), override.value()
    if isinstance(sweep, Glob):
        options = sweep.filter(loader.get_group_options(override.key_or_group)) if loader is not None else []
        if not options:
            raise SpecError(name, "the glob matches no option of the group")
        return Choice(options=tuple(options))
    if isinstance(sweep, ChoiceSweep):
        values = [scalar(name, each) for each in sweep.list]
        options = tuple(dict.fromkeys((type(value), value) for value in values))
        return Choice(options=tuple(value for _, value in options))
    log = "log" in getattr(sweep, "tags", ())
    if isinstance(sweep, IntervalSweep):
        low, high = (_bound(name, bound) for bound in (sweep.start, sweep.end))
        integer = isinstance(low, int) and isinstance(high, int)
        return _checked(name, Range(low=low, high=high, log=log, integer=integer))
    assert isinstance(sweep, RangeSweep), type(sweep)
    values = _values_of(name, sweep)
    if not values:
        raise SpecError(name, f"range({sweep.start},{sweep.stop},{sweep.step}) holds no value")
    low, high = min(values), max(values)
    integer = all(isinstance(value, int) for value in values)
    step = abs(sweep.step)
    if len(values) == 1:
        return Choice(options=(values[0],))
    if log:
        return _checked(name, Range(low=low, high=high, log=True, integer=integer))
    return Range(low=low, high=high, integer=integer, step=float(step))


def _values_of(name: str, sweep: Any) -> list[Any]:
    """Return the values of a range; raises `SpecError` if the step is 0 or there are more than `MOST_VALUES`."""
    start, stop, step = (_bound(name, bound) for bound in (sweep.start, sweep.stop, sweep.step))
    if step == 0:
        raise SpecError(
            name, f"range({start},{stop},{step}) has no step", f"Write range({start},{stop}) for steps of 1."
        )
    if (stop - start) / step > MOST_VALUES:
        fix = f"Write interval({start},{stop}), or a larger step."
        raise SpecError(name, f"range({start},{stop},{step}) holds more than {MOST_VALUES} values", fix)
    return list(sweep.range())


def _bound(name: str, bound: Any) -> Any:
    """Return a bound or step of a range or an interval; raises `SpecError` unless it is a number within `LARGEST`."""
    if isinstance(bound, bool) or not isinstance(bound, int | float) or not -LARGEST <= bound <= LARGEST:
        raise SpecError(name, f"a range or an interval has numbers from -1e18 to 1e18, got {describe(bound)}")
    return bound


def scalar(name: str, value: Any) -> Value:
    """Return one value of a sweep as a plain value; raises `SpecError` for lists, mappings, NaN and infinity."""
    from hydra.core.override_parser.types import QuotedString

    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, float) and not isfinite(value):
        raise SpecError(name, f"must be finite, got {value}")
    if value is None or isinstance(value, str | int | float | bool):
        check_scalar(value, name)
        return value
    raise SpecError(name, "lists and mappings cannot be searched over", "Name the keys inside them.")


def _checked(name: str, found: Range) -> Range:
    if found.low >= found.high:
        raise SpecError(name, f"the interval from {found.low:g} to {found.high:g} holds nothing")
    if found.log and found.low <= 0:
        raise SpecError(name, f"a logarithmic scale must begin above 0, not at {found.low:g}")
    return found


def _name(override: Any) -> str:
    return f"{override.key_or_group}@{override.package}" if override.package else str(override.key_or_group)


def _is_list(override: Any) -> bool:
    from hydra.core.override_parser.types import ChoiceSweep, Glob

    value = override.value()
    return isinstance(value, Glob) or (isinstance(value, ChoiceSweep) and value.simple_form)


def _shuffled(override: Any) -> bool:
    return bool(getattr(override.value(), "shuffle", False))
