"""Check the names in a space before the first proposal: stages, options, blocks, groups, settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from archsearch.cli.compose import Composer
from archsearch.decode import is_mapping, suggest
from archsearch.design.spec import STAGE_KEYS, decode_design, options_taken
from archsearch.errors import SpecError
from archsearch.search.space import Choice, Parameter, Space, Value
from archsearch.search.task import TRAINING
from archsearch.settings.experiment import require_training


def require_names(space: Space, fixed: Mapping[str, Value], composer: Composer) -> None:
    """Raise `SpecError` at the first key that no design has, or value that none can take; `fixed` keys have one value.

    Each value is checked separately. Whether a design keeps its limits and its parts fit together is left to the
    search.
    """
    named: dict[str, Parameter] = {**{name: Choice(options=(value,)) for name, value in fixed.items()}}
    named |= space.parameters
    arch = composer.compose({}).get("arch")
    for name, parameter in named.items():
        group = name.partition(".")[0]
        if name == "seed" or (group in named and name != group):
            continue
        if name == group:
            for option in _options(parameter):
                composer.compose({name: option})
        elif group == "arch":
            _require_in_design(name, parameter, named, arch, composer)
        elif group in TRAINING:
            for value in _corners(parameter):
                _require_value(name, value, lambda tree: require_training(tree, {}), composer)


def _require_in_design(
    name: str, parameter: Parameter, named: Mapping[str, Parameter], arch: Any, composer: Composer
) -> None:
    parts = name.split(".")
    stages = arch.get("stages") if is_mapping(arch) else None
    if parts[1] == "stages" and len(parts) > 2 and is_mapping(stages) and parts[2] not in stages:
        close = suggest(parts[2], stages)
        fix = close if close.startswith("Did") else f"Stages: {', '.join(map(str, stages))}."
        raise SpecError(name, f"there is no stage {parts[2]}", fix)
    if parts[-1] == "block":
        for option in _options(parameter):
            if isinstance(option, str):
                _require_block(name, option, composer)
    elif parts[1:-1] == ["options"]:
        places = ["arch.stem", *(f"arch.stages.{stage}" for stage in stages or ())]
        known = sorted(set[str]().union(*(_known(place, arch, named, composer) for place in places)))
        _require_option(name, known, "the network")
    elif len(parts) == 4 and parts[1] == "stages" and is_mapping(stages) and parts[3] not in STAGE_KEYS:
        known = [*STAGE_KEYS, *sorted(_known(name.rpartition(".")[0], arch, named, composer))]
        _require_option(name, known, "this stage")
    else:
        for value in _corners(parameter):
            _require_value(name, value, lambda tree: decode_design(tree["arch"], composer.blocks), composer)


def _require_block(name: str, option: str, composer: Composer) -> None:
    try:
        composer.blocks(option)
    except SpecError as error:
        raise SpecError(name, error.what, error.fix) from None


def _require_option(name: str, known: Sequence[str], whole: str) -> None:
    """Raise `SpecError` if the option `name` is not one of those `known` to the blocks of `whole`."""
    option = name.rpartition(".")[2]
    if option not in known:
        raise SpecError(name, f"no block of {whole} has this option", suggest(option, known))


def _known(place: str, arch: Any, named: Mapping[str, Parameter], composer: Composer) -> set[str]:
    """Return the options of every block that the stage or stem at `place` may have."""
    use = arch.get("stem") if place == "arch.stem" else arch["stages"][place.rpartition(".")[2]]
    uses = [use, use.get("entry")] if is_mapping(use) else []
    for key in (f"{place}.block", f"{place}.entry.block", "block"):
        uses += [{"block": block} for block in _options(named[key])] if key in named else []
    return {option for use in uses for option in options_taken(use, composer.blocks)}


def _require_value(name: str, value: Value, decode: Callable[[Any], object], composer: Composer) -> None:
    """Raise the `SpecError` of `decode` for the composition with this one value, if it is about this key."""
    try:
        decode(composer.compose({name: value}))
    except SpecError as error:
        if error.where == name:
            raise


def _options(parameter: Parameter) -> tuple[Value, ...]:
    return parameter.options if isinstance(parameter, Choice) else ()


def _corners(parameter: Parameter) -> tuple[Value, ...]:
    """Return the values that show whether all values are possible: the options, or the ends of a range."""
    if isinstance(parameter, Choice):
        return parameter.options
    whole = parameter.integer
    return tuple(round(one) if whole else float(one) for one in (parameter.low, parameter.high))
