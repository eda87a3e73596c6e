"""Designs that an earlier study has trained, for the model of this one; they are never trials of it.

The earlier study may have other limits, fewer keys, other epochs: what it set that is no value of this space counts as
not set, and the features are those of the design that it trained. Its level, and how well it predicts this study,
are for the model to learn (see `Design.context`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from archsearch.analysis.measure import measure
from archsearch.config_files import read_recorded
from archsearch.decode import is_mapping
from archsearch.design.lower import lower
from archsearch.design.spec import decode_design, no_blocks
from archsearch.errors import ArchsearchError, SpecError
from archsearch.masking import mask
from archsearch.search.evaluator import features_of
from archsearch.search.samplers.observations import EARLIER, RUNG, Observation
from archsearch.search.space import Design, Features, Space
from archsearch.search.storage.read import StudyRead, TrialRead
from archsearch.search.storage.reader import Reader
from archsearch.search.storage.study import Study
from archsearch.search.storage.url import parse_address

WHERE = "study.warm_start"


def earlier_observations(named: str, study: Study, space: Space, epochs: int | None) -> tuple[Observation, ...]:
    """Return what the earlier study knows of designs of `space`, in its order.

    It is `named` by its name, if it is in the same database as `study`, or by `STORAGE#NAME`. `epochs` are those of a
    whole training of this study. Raises `SpecError` where it is missing, is this study, has other objectives, or
    nothing to compare.
    """
    storage, _, name = named.rpartition("#")
    address = parse_address(storage, WHERE) if storage else study.store.address
    try:
        earlier = Reader(address=address).study(name)
    except SpecError as error:
        raise SpecError(WHERE, error.what, error.fix) from None
    if (address.url, name) == (study.store.address.url, study.name):
        raise SpecError(WHERE, f"'{name}' is this study itself, whose trials the sampler knows", "Leave it out.")
    if earlier.objectives != study.objectives:
        what = f"'{name}' has other objectives ({', '.join(earlier.objectives)})"
        raise SpecError(WHERE, what, f"Name a study of {', '.join(study.objectives)}.")
    found = tuple(one for trial in earlier.trials if (one := _observation(trial, space, epochs)) is not None)
    if not found:
        what = f"no trained design of '{name}' has a value of this space ({_counted(earlier)})"
        raise SpecError(WHERE, mask(what), "Name a study of the same space, or of a part of it.")
    return found


def _observation(trial: TrialRead, space: Space, epochs: int | None) -> Observation | None:
    if trial.state != "complete" or trial.values is None:
        return None
    given = trial.assignments
    point = {
        name: given[name] for name, each in space.parameters.items() if name in given and each.contains(given[name])
    }
    features = _features(trial)
    if not point or features is None:
        return None
    design = Design(params=point, features=features, context={EARLIER: 1.0, **_shorter(trial, epochs)})
    return Observation(design=design, values=trial.values)


def _shorter(trial: TrialRead, epochs: int | None) -> Mapping[str, float]:
    trained = trial.rung or trial.attrs.get("epochs")
    if not trained or not epochs or trained == epochs:
        return {}
    return {RUNG: math.log(trained / epochs)}


def _features(trial: TrialRead) -> Features | None:
    """Return the features of the design that the trial recorded; None where it cannot be read."""
    mapping = read_recorded(trial.attrs.get("design"))
    if not is_mapping(mapping):
        return None
    try:
        plan = lower(decode_design(mapping, no_blocks))
        return features_of(plan, measure(plan))
    except (ArchsearchError, ValueError, TypeError, RecursionError, OverflowError):
        return None


def _counted(study: StudyRead) -> str:
    return ", ".join(f"{count} {state}" for state, count in study.counts().items()) or "it has no trials"
