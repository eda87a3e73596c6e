"""What a search prints before its first trial: the size of its space, the feasible share and the expected time."""

from __future__ import annotations

import itertools
import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from archsearch.errors import SpecError
from archsearch.formatting import duration, number, percent, pluralize
from archsearch.search.queue import StudySnapshot
from archsearch.search.space import Params, Space
from archsearch.search.sweep import Sweep
from archsearch.search.task import Assignments, Candidate

SECONDS = 1.0
"""How long designs are sampled after the first one, which also composes the configuration."""
ENOUGH = 1000  # designs, enough to know the share to 3 percentage points
_FEW = 100  # with fewer designs, counts are printed: a percentage would suggest too much precision
_PLAIN = 10_000_000  # smaller numbers are printed with all digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Designs drawn from a space: how many, whether they are `all` of them, and the feasible ones.

    `causes` counts the error messages of those that cannot be built.
    """

    drawn: int
    feasible: Sequence[Candidate] = field(default=())
    all: bool = False
    causes: Counter[str] = field(default_factory=Counter)


def draw_sample(
    sweep: Sweep,
    check: Callable[[Assignments], Candidate | None],
    *,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> Sample:
    """Return designs drawn from the space for `seconds`; if the space is small, each point is drawn once.

    `check` returns the candidate of a feasible design, or None if it breaks a limit; it raises `SpecError` if the
    design cannot be built.
    """
    feasible: list[Candidate] = []
    causes: Counter[str] = Counter()
    drawn, end = 0, math.inf
    for params in itertools.islice(_points(sweep.space), ENOUGH):
        drawn += 1
        try:
            if (found := check(sweep.assignments(params))) is not None:
                feasible.append(found)
        except SpecError as error:
            causes[str(error)] += 1
        end = clock() + seconds if drawn == 1 else end
        if clock() >= end:
            break
    return Sample(drawn=drawn, feasible=feasible, all=drawn == sweep.space.size, causes=causes)


def _points(space: Space) -> itertools.chain[Params]:
    rng = np.random.default_rng(0)
    size = space.size
    if size is not None and size <= ENOUGH:
        return itertools.chain(space.at(int(index)) for index in rng.permutation(size))
    return itertools.chain(space.draw(rng) for _ in itertools.count())


def trial_seconds(snapshot: StudySnapshot) -> float | None:
    """Return the mean number of seconds of the trained trials; None before the first one."""
    found = [trial.user_attrs.get("seconds") for trial in snapshot.trained]
    known = [float(one) for one in found if isinstance(one, int | float) and math.isfinite(one)]
    return statistics.fmean(known) if known else None


def predicted_seconds(sample: Sample, sweep: Sweep) -> float | None:
    """Return the predicted mean number of seconds of a trial; None if no limit or search needs a prediction.

    Every rung gets about the same number of epochs in total, so longer rungs have fewer trials.
    """
    whole = [one.training.seconds for each in sample.feasible if (one := each.experiment[1]).training is not None]
    if not whole:
        return None
    if not sweep.rungs:
        return statistics.fmean(whole)
    share = len(sweep.rungs) / sum(sweep.rungs[-1] / rung for rung in sweep.rungs)
    return share * statistics.fmean(whole)


def forecast_text(name: str | None, sweep: Sweep, sample: Sample, snapshot: StudySnapshot) -> str:
    """Return the two lines before the first trial of a sampled search over the space `name`."""
    settings, trained = sweep.settings, len(snapshot.trained)
    done = f"{pluralize(trained, 'trial')} trained"
    left = None
    if settings.most_trials < math.inf:
        most = int(settings.most_trials)
        done, left = f"{number(trained)} of {pluralize(most, 'trial')} trained", most - trained
    if settings.seconds is not None:
        done += f", and the search ends after {duration(settings.seconds)}"
    return (
        f"space{f' {name}' if name else ''}: {_size_text(sweep.space)}; {_share_text(sample)}\n"
        f"{done}; {_time_text(sweep, sample, snapshot, left)}"
    )


def _time_text(sweep: Sweep, sample: Sample, snapshot: StudySnapshot, left: int | None) -> str:
    seconds, verb = trial_seconds(snapshot), "takes"
    if seconds is None:
        seconds, verb = predicted_seconds(sample, sweep), "is predicted to take"
    if seconds is None:
        return "the time of a trial is unknown until the first one ends"
    text, count = f"a trial {verb} about {duration(seconds)}", sweep.settings.workers
    if left is None:
        return text
    rest = duration(seconds * math.ceil(left / count))
    workers = f" with {number(count)} workers" if count > 1 else ""
    return f"{text}, the other {number(left)} about {rest}{workers}"


def listed_text(total: int, infeasible: int) -> str:
    """Return the line before the first trial of a search that trains each of `total` listed designs."""
    return f"{pluralize(total, 'design')} listed, {number(infeasible)} of them infeasible"


def _size_text(space: Space) -> str:
    sizes = [parameter.size for parameter in space.parameters.values()]
    finite = [size for size in sizes if size is not None]
    keys = pluralize(len(sizes), "key")
    if not finite:
        return f"{keys} in continuous ranges"
    count = math.prod(finite)
    text = number(count) if count < _PLAIN else f"about {_rounded(count)}"
    continuous = len(sizes) - len(finite)
    return f"{keys}, {text} designs{f', and {continuous} in continuous ranges' if continuous else ''}"


def _rounded(count: int) -> str:
    exponent = len(str(count)) - 1
    return f"{count / 10**exponent:.1f} x 10^{exponent}"


def _share_text(sample: Sample) -> str:
    """Return how many designs are feasible; if none can be built, with the most common cause."""
    text = _feasible_text(sample)
    if sample.causes.total() < sample.drawn:
        return text
    return f"{text}; none can be built: {sample.causes.most_common(1)[0][0]}"


def _feasible_text(sample: Sample) -> str:
    drawn, feasible = sample.drawn, len(sample.feasible)
    if sample.all:
        return f"{number(feasible)} of them are feasible"
    if drawn < _FEW:
        return f"{feasible} of {drawn} drawn at random are feasible"
    return f"{percent(feasible / drawn, 0)} of {number(drawn)} drawn at random are feasible"
