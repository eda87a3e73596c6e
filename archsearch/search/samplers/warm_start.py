"""Trained designs of an earlier study, for the model of this study; they never become trials of this study.

The earlier study may have other limits, fewer keys, or other epochs. A value that is not in this space counts as not
set; the features are those of the design that was trained. The model learns the level of the earlier study, and how
well it predicts this one (see `Design.context`).
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
    """Return the trained designs of the earlier study that have values in `space`, in trial order.

    `named` is its name if it is in the same database as `study`, or `STORAGE#NAME`. `epochs` is the number of epochs of
    a full training in this study. Raises `SpecError` if the earlier study is missing, is this study, has other
    objectives, or has no such design.
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
    """Return the features of the design that the trial recorded; None if it cannot be read."""
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
