"""The sampler `footprint`: Bayesian optimisation over the parameters of the space and the footprint of each design.

A Gaussian process is fitted to the designs trained so far. Its inputs are the parameters of the space (numbers on
their scale, one column per option of a choice), the features of the footprint (log parameters, log MACs, log receptive
field, depth, ...) and the context of the training; the parameters have no linear trend. The next design has the
greatest expected improvement (Jones, Schonlau and Welch 1998) of the admitted designs: feasible and never trained. So
the sampler learns from a few trainings whether larger networks are better, and trains no design that breaks a limit.

Imports numpy and scipy, no Optuna: `FootprintSearch` connects `FootprintProposer` to a study.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import ndtr

from archsearch.process import give_freed_memory_back
from archsearch.search.evaluator import LOG_SECONDS
from archsearch.search.infeasible import InfeasibleCounts
from archsearch.search.queue import DUPLICATE, StudySnapshot
from archsearch.search.samplers.candidates import Pool
from archsearch.search.samplers.gaussian_process import Array, Kernel, Posterior, condition, fit
from archsearch.search.samplers.observations import (
    EARLIER,
    RUNG,
    Direction,
    Observation,
    gaussianised,
    levelled,
    representatives,
    scalarised,
)
from archsearch.search.samplers.proposer import Infeasible, Proposal, evaluate, known_point, observed_scores
from archsearch.search.space import Admit, Design, Features, Key, Params, Space
from archsearch.search.storage.study import Study
from archsearch.search.sweep import Sweep
from archsearch.search.task import Candidate, Task

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


STARTUP = 8  # designs that are spread over the inputs before the first model
SCREENED = 256  # points that are passed to `admit` for one proposal, unless measured times decide
CAPACITY = 2048  # designs in the pool
FITTED, CONDITIONED = 160, 480  # limits on the observations for fitting the kernel and for the posterior
GROWN = 1.02  # growth of the observations, if more than `FITTED`, after which the kernel is fitted again
PAIRS = 320 * CAPACITY  # of an observation and a candidate in one proposal: 320 observations with a full pool
PAIRS_AT_ONCE = 1 << 15  # bounds the memory of one prediction
PATIENCE = 40  # rounds of screening without an admitted design
PARENTS = 8  # designs that are mutated


class FootprintProposer:
    """Proposes designs one at a time; its state, a pool of candidates and the last kernel, need not be saved.

    `admit(params)` returns the features of a point that is feasible and neither trained nor running, otherwise None.
    It is called for at most `screened` new points per proposal (many times more if all are infeasible), so it should
    take much less than a millisecond.
    """

    def __init__(
        self,
        space: Space,
        admit: Admit,
        *,
        directions: Sequence[Direction] = ("maximize",),
        startup: int = STARTUP,
        screened: int = SCREENED,
        cost: str | None = None,
    ) -> None:
        """Create a proposer for one study, without screening any points.

        `cost` names the feature that holds the logarithm of a training's cost; None ignores the cost.
        """
        self.cost = cost
        self.directions, self.startup, self.screened = tuple(directions), startup, screened
        self._pool = Pool(space, admit, capacity=CAPACITY)
        self._ranked = 0  # designs in the pool after the last proposal, which ranked them
        self._kernel: Kernel | None = None
        self._fitted = 0  # observations at the last fit of the kernel

    def propose(self, observations: Sequence[Observation], pending: Sequence[Design], rng: Generator) -> Design | None:
        """Return an admitted design to train next, or None if none was found.

        `pending` are designs that other workers are training. The model uses its own predictions as their results
        (Ginsbourger, Le Riche and Carraro 2010, kriging believer), so that workers propose different designs.
        """
        parents: list[Design] = []
        if ready := self._is_ready(observations, pending):
            ranked = np.argsort(-self._scores(observations, rng))
            parents = [design for index in ranked if self._is_point(design := observations[index].design)][:PARENTS]
        self._screen(parents, rng)
        if ready:
            return self._first_admitted(self._by_improvement(observations, pending, rng))
        return self._first_admitted(self._spread([*(each.design for each in observations), *pending], rng))

    def predicted(self, observations: Sequence[Observation], designs: Sequence[Design], rng: Generator) -> Array | None:
        """Return the predicted score of a full training of each design; None before the first model.

        It reuses the kernel of the last proposal if that fits, because one more observation changes it little.
        """
        if not self._is_ready(observations, ()):
            return None
        scores_N = self._scores(observations, rng)
        kept = representatives(scores_N, CONDITIONED)
        targets_N = gaussianised(scores_N[kept])
        view = DesignInputs.of(self._pool, [*(observations[index].design for index in kept), *designs])
        kernel = self._kernel
        if kernel is None or not np.array_equal(kernel.groups_D, view.groups_D):
            kernel = self._fit(view, targets_N, len(scores_N))
        posterior = condition(kernel, view.known_ND[: len(kept)], targets_N)
        return posterior.mean(view.whole(view.known_ND[len(kept) :]))

    def _is_ready(self, observations: Sequence[Observation], pending: Sequence[Design]) -> bool:
        """Return whether there are enough designs for a model."""
        return len(observations) + len(pending) >= self.startup and sum(each.usable for each in observations) >= 2

    def _is_point(self, design: Design) -> bool:
        """Return whether the design sets every parameter of the space; a design of an earlier study may not."""
        return len(design.params) == len(self._pool.space.parameters)

    def _scores(self, observations: Sequence[Observation], rng: Generator) -> Array:
        """Return one score for each observation, all on the level of full trainings."""
        scores_N = scalarised(observations, self.directions, rng)
        return levelled(scores_N, [each.design for each in observations], self._pool.space)

    @property
    def enumerated(self) -> bool:
        """Whether every point of the space has been screened."""
        return self._pool.complete

    def _screen(self, parents: Sequence[Design], rng: Generator) -> None:
        """Screen new points for the pool: random ones, and mutations of the parents."""
        for _ in range(PATIENCE):  # if hardly any point is feasible, one round may find none
            self._pool.screen(self.screened // 2, rng)
            self._pool.vary(parents, self.screened // 4, rng)
            if len(self._pool):
                return

    def _first_admitted(self, order: Sequence[int]) -> Design | None:
        """Return the first design in `order` that is still admitted; it and those before it leave the pool."""
        pool, taken = self._pool, None
        dropped: set[int] = set()
        for index in order:
            dropped.add(int(index))
            if pool.still_admits(index):
                taken = pool.design(index)
                break
        pool.keep([int(index) for index in order if int(index) not in dropped][: pool.capacity])
        self._ranked = len(pool)
        return taken

    def _spread(self, known: Sequence[Design], rng: Generator) -> list[int]:
        """Return all candidates' indices; first the one, of ten, farthest from known designs (Mitchell 1991)."""
        order = [int(index) for index in rng.permutation(len(self._pool))]
        if known and order:
            few = order[:10]
            view = DesignInputs.of(self._pool, known)
            gap = view.inputs(self._pool, np.array(few))[:, None, :] - view.whole(view.known_ND)[None]
            first = few[int(np.argmax((gap**2).sum(axis=2).min(axis=1)))]
            order = [first, *(index for index in order if index != first)]
        return order

    def _by_improvement(
        self, observations: Sequence[Observation], pending: Sequence[Design], rng: Generator
    ) -> list[int]:
        """Return all candidates' indices by decreasing expected improvement, after mutating the best of them.

        With more than `PAIRS` pairs of an observation and a candidate, only the first candidates of the last ranking
        and the new ones are evaluated. The worse half of these is placed last, so that the others have their turn.
        """
        scores_N = self._scores(observations, rng)
        kept = representatives(scores_N, CONDITIONED)
        targets_N = gaussianised(scores_N[kept])
        rows_M = self._evaluated(PAIRS // len(kept))
        known = [*(observations[index].design for index in kept), *pending]
        view = DesignInputs.of(self._pool, known)
        known_ND, pending_ND = view.known_ND[: len(kept)], view.known_ND[len(kept) :]
        posterior = condition(self._fit(view, targets_N, len(scores_N)), known_ND, targets_N)
        own = [index for index, design in enumerate(known) if EARLIER not in design.context]
        if own:
            best = float(posterior.mean(view.whole(view.known_ND[own])).max())
        else:  # the designs of an earlier study may be infeasible here
            best = float(posterior.mean(view.inputs(self._pool, rows_M)).max()) if len(rows_M) else 0.0
        if pending:
            posterior = with_predictions(posterior, targets_N, pending_ND)
        improvement_M = self._improvement(view, posterior, rows_M, best)
        parents = [self._pool.design(int(index)) for index in rows_M[np.argsort(-improvement_M)[:PARENTS]]]
        before = len(self._pool)
        self._pool.vary(parents, self.screened // 4, rng)
        fresh_M = np.arange(before, len(self._pool))
        improvement_M = np.concatenate([improvement_M, self._improvement(view, posterior, fresh_M, best)])
        seen_M = np.concatenate([rows_M, fresh_M])
        seen_M = seen_M[np.argsort(-improvement_M, kind="stable")]
        unseen = np.setdiff1d(np.arange(before), rows_M)
        best_half = len(seen_M) if not len(unseen) else len(seen_M) // 2
        return [int(index) for index in np.concatenate([seen_M[:best_half], unseen, seen_M[best_half:]])]

    def _fit(self, view: DesignInputs, targets_N: Array, count: int) -> Kernel:
        """Return the kernel for `count` observations; `targets_N` belong to the first known designs of `view`.

        One more of many observations changes the kernel little, so the last kernel is reused for a while; but not with
        several objectives, whose weights change with every proposal.
        """
        last = self._kernel
        if (
            last is not None
            and FITTED < count < GROWN * self._fitted
            and len(self.directions) == 1
            and np.array_equal(last.groups_D, view.groups_D)
        ):
            return last
        few = representatives(targets_N, FITTED)
        known_ND, trending = view.known_ND[: len(targets_N)], view.trending
        kernel = fit(known_ND[few], targets_N[few], view.groups_D, trending=trending, start=last)
        self._kernel, self._fitted = kernel, count
        return kernel

    def _improvement(self, view: DesignInputs, posterior: Posterior, rows_M: NDArray[np.intp], best: float) -> Array:
        """Return the expected improvement [M] of the pool's designs `rows_M`, per cost if set, computed in parts."""
        some = max(PAIRS_AT_ONCE // len(posterior.inputs_ND), 1)
        parts = (view.inputs(self._pool, rows_M[first : first + some]) for first in range(0, len(rows_M), some))
        found_M = np.concatenate([np.empty(0), *(expected_improvement(posterior, part_MD, best) for part_MD in parts)])
        return found_M if self.cost is None else per_cost(found_M, self._pool.features_MF([self.cost], rows_M)[:, 0])

    def _evaluated(self, most: int) -> NDArray[np.intp]:
        """Return the indices of about `most` candidates to evaluate: all new ones, and the first ranked ones."""
        count = len(self._pool)
        first = min(self._ranked, max(most - (count - self._ranked), 0))
        return np.concatenate([np.arange(first), np.arange(self._ranked, count)])


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignInputs:
    """Designs as inputs of the model, in D columns: the space, the features that vary, and the context.

    Every parameter has its own length scale. The features share one: they are correlated (a deeper network has more
    parameters), and a few trainings cannot identify a length scale for each. Every context that varies, such as the
    rung, has its own trend (the level) and its own length scale (how similar the results are across it).
    """

    names: tuple[str, ...]
    middle_F: Array
    deviation_F: Array
    groups_D: NDArray[np.intp]
    known_ND: Array
    whole_C: Array
    """The values of the context columns for a full training in this study."""

    @property
    def trending(self) -> int:
        """The number of columns that may have a trend; they are the last ones."""
        return len(self.names) + len(self.whole_C)

    @classmethod
    def of(cls, pool: Pool, known: Sequence[Design]) -> DesignInputs:
        """Return the inputs, with features of mean 0 and variance 1 over the pool and the known designs."""
        names = tuple(sorted(pool.features.union(*(design.features for design in known))))
        encoded = np.array([pool.space.encode(design.params) for design in known], dtype=float)
        features = np.concatenate([_features(known, names), pool.features_MF(names, np.arange(len(pool)))])
        middle, deviation = features.mean(axis=0), features.std(axis=0)
        differing = deviation > 1e-9 * (1.0 + np.abs(middle))
        names = tuple(name for name, kept in zip(names, differing, strict=True) if kept)
        middle, deviation = middle[differing], deviation[differing]
        scaled = (features[: len(known), differing] - middle) / deviation
        context_NC, whole_C = _contexts(known)
        groups = pool.space.groups
        own = max(groups, default=-1) + 1
        contexts = range(own + bool(names), own + bool(names) + len(whole_C))
        return cls(
            names=names,
            middle_F=middle,
            deviation_F=deviation,
            groups_D=np.array([*groups, *[own] * len(names), *contexts], dtype=np.intp),
            known_ND=np.hstack([encoded, scaled, context_NC]),
            whole_C=whole_C,
        )

    def inputs(self, pool: Pool, rows_M: NDArray[np.intp]) -> Array:
        """Return the inputs of the pool's designs `rows_M`."""
        features = pool.features_MF(self.names, rows_M)
        context_MC = np.tile(self.whole_C, (len(rows_M), 1))
        return np.hstack([pool.encoded_MC(rows_M), (features - self.middle_F) / self.deviation_F, context_MC])

    def whole(self, inputs_ND: Array) -> Array:
        """Return the inputs of the same designs in a full training in this study."""
        found_ND = inputs_ND.copy()
        found_ND[:, found_ND.shape[1] - len(self.whole_C) :] = self.whole_C
        return found_ND


def _contexts(designs: Sequence[Design]) -> tuple[Array, Array]:
    """Return the columns of the contexts that vary, at mean 0 and variance 1, and their values for a full training."""
    names = sorted({name for design in designs for name in design.context})
    rows = [[design.context.get(name, 0.0) for name in names] for design in designs]
    raw_NC = np.array(rows, dtype=float).reshape(len(designs), len(names))
    middle_C, deviation_C = raw_NC.mean(axis=0), raw_NC.std(axis=0)
    differing_C = deviation_C > 1e-9
    middle_C, deviation_C = middle_C[differing_C], deviation_C[differing_C]
    return (raw_NC[:, differing_C] - middle_C) / deviation_C, -middle_C / deviation_C


def _features(designs: Sequence[Design], names: tuple[str, ...]) -> Array:
    rows = [[design.features.get(name, 0.0) for name in names] for design in designs]
    return np.array(rows, dtype=float).reshape(len(designs), len(names))


def with_predictions(posterior: Posterior, targets_N: Array, pending_PD: Array) -> Posterior:
    """Return the posterior after observing its own predictions at P pending inputs."""
    inputs_ND = np.concatenate([posterior.inputs_ND, pending_PD])
    return condition(posterior.kernel, inputs_ND, np.concatenate([targets_N, posterior.mean(pending_PD)]))


def expected_improvement(posterior: Posterior, inputs_MD: Array, best: float) -> Array:
    """Return the expected improvement [M] of each input over `best` (Jones, Schonlau and Welch 1998, equation 15)."""
    mean_M, deviation_M = posterior.predict(inputs_MD)
    score_M = (mean_M - best) / deviation_M
    density_M = np.exp(-0.5 * score_M**2) / math.sqrt(2 * math.pi)
    return deviation_M * (score_M * ndtr(score_M) + density_M)


def per_cost(improvement_M: Array, log_cost_M: Array) -> Array:
    """Return the improvement per unit of cost (Snoek, Larochelle and Adams 2012, section 3.2)."""
    return improvement_M / np.exp(log_cost_M)


MOST, LEAST = 512, 24  # bounds of the number of designs that are checked for one proposal
SECONDS = 0.06  # CPU time for the checks of one proposal
TIMED = 16  # checks that are timed, after the same number that fill the caches
EXAMPLES = 2  # infeasible designs that are recorded for one proposal; the others are only counted
MOST_EMPTY = 20  # proposals in a row without a design, after which the space counts as exhausted
REMEMBERED = 512  # candidates in the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    key: str
    features: Features


class FootprintSearch:
    """Connects `FootprintProposer` to a study; counts the screened designs, and records the nearest misses."""

    def __init__(self, study: Study, sweep: Sweep, task: Task, seed: int | None) -> None:
        self._sweep, self._task = sweep, task
        self._rng = np.random.default_rng(seed)
        self._remembered: dict[Key, _Known | None] = {}  # the latest points, oldest first
        self._taken: Mapping[str, object] = {}
        self._at_rungs: set[Key] = set()  # points that are trained at any rung, and continue only by promotion
        self._screened: list[Infeasible] = []
        self._proposer = FootprintProposer(
            sweep.space,
            self._admit,
            directions=study.directions,
            startup=sweep.settings.sampler.startup,
            screened=self._affordable() if seed is None else SCREENED,  # with a seed, nothing depends on the clock
            cost=None if sweep.settings.sampler.cost is None else LOG_SECONDS,
        )
        self._designs: dict[int, Design | None] = {}  # by the trial's number
        self._empty_in_a_row = 0
        self.infeasible: list[Infeasible] = []
        self.counts = InfeasibleCounts()
        self.exhausted = False

    def propose(self, snapshot: StudySnapshot) -> Proposal | None:
        observations, pending = self._observed(snapshot)
        self._taken = snapshot.known
        self._at_rungs = self._points_of(observations, pending) if self._sweep.rungs else set()
        found = self._proposer.propose(observations, pending, self._rng)
        give_freed_memory_back()  # otherwise the process keeps the peak memory of a proposal
        self._screened.sort(key=lambda each: max(each.excess.values()))
        self.infeasible += self._screened[:EXAMPLES]
        self._screened.clear()
        if found is None:
            self._empty_in_a_row += 1
            self.exhausted = self._proposer.enumerated or self._empty_in_a_row >= MOST_EMPTY
            return None
        self._empty_in_a_row = 0
        candidate = evaluate(self._task, self._sweep, found.params)
        if isinstance(candidate, Infeasible):  # trainings have changed its predicted time since it was screened
            return None
        return Proposal(candidate=candidate)

    def scores(self, snapshot: StudySnapshot, trials: Sequence[FrozenTrial]) -> Sequence[float]:
        observations, _ = self._observed(snapshot)
        designs = [self._design(trial) for trial in trials]
        known = [replace(design, context={}) for design in designs if design is not None]
        found = self._proposer.predicted(observations, known, self._rng) if len(known) == len(designs) else None
        return observed_scores(trials, self._proposer.directions[0]) if found is None else found.tolist()

    def _observed(self, snapshot: StudySnapshot) -> tuple[list[Observation], list[Design]]:
        """Return the observations, including an earlier study's, and the designs of unfinished trials."""
        observations = list(self._sweep.earlier)
        pending: list[Design] = []
        for trial in snapshot.trials:
            design = self._design(trial)
            if design is None or trial.user_attrs.get("state_reason") == DUPLICATE:
                continue
            if not trial.state.is_finished():
                pending.append(design)
            else:
                observations.append(Observation(design=design, values=_values(trial)))
        return observations, pending

    def on_claimed(self, proposal: Proposal, number: int | None) -> None:
        """Do nothing: the snapshot lists the taken designs."""

    def on_written(self, numbers: list[int]) -> None:
        self.infeasible.clear()

    def _points_of(self, observations: Sequence[Observation], pending: Sequence[Design]) -> set[Key]:
        """Return the points of this study's designs, except those without a value, which may be tried again."""
        trained = (each.design for each in observations if each.values is not None)
        return {self._sweep.space.key(each.params) for each in (*trained, *pending) if EARLIER not in each.context}

    def _affordable(self) -> int:
        """Return how many checks fit into the time of a proposal, as measured on some points."""
        points = [self._sweep.space.draw(self._rng) for _ in range(2 * TIMED)]
        start = 0.0
        for number, point in enumerate(points):
            if number == TIMED:
                start = time.process_time()
            evaluate(self._task, self._sweep, point)
        each = max((time.process_time() - start) / TIMED, 1e-6)
        return int(min(max(SECONDS / each, LEAST), MOST))

    def _admit(self, params: Params) -> Features | None:
        if self._sweep.space.key(params) in self._at_rungs:
            return None
        found = self._known(params)
        return found.features if found is not None and found.key not in self._taken else None

    def _known(self, params: Params) -> _Known | None:
        """Return key and features of a feasible point (a full candidate is large); None for an infeasible point."""
        point = self._sweep.space.key(params)
        if point not in self._remembered:
            if len(self._remembered) >= REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
            found = evaluate(self._task, self._sweep, params)
            if isinstance(found, Infeasible):
                self.counts.count(name for name, value in found.excess.items() if value > 0)
                self._screened.append(found)
                self._remembered[point] = None
            else:
                self.counts.count(())
                self._remembered[point] = _Known(key=found.key, features=found.features)
        return self._remembered[point]

    def _design(self, trial: FrozenTrial) -> Design | None:
        """Return a trial's design with its features, computed once; None if infeasible or outside of the space."""
        if trial.number not in self._designs:
            self._designs[trial.number] = self._read(trial)
        return self._designs[trial.number]

    def _read(self, trial: FrozenTrial) -> Design | None:
        point = known_point(trial, self._sweep.space)
        if point is None:
            return None
        found = evaluate(self._task, self._sweep, point)
        params = (
            trial.params if trial.params == point else point
        )  # equal values share memory: there are hundreds of trials
        features = found.features if isinstance(found, Candidate) else {}
        rung = trial.user_attrs.get("rung")
        context = {RUNG: math.log(rung / self._sweep.rungs[-1])} if rung and self._sweep.rungs else {}
        return Design(params=params, features=features, context=context)


def _values(trial: FrozenTrial) -> tuple[float, ...] | None:
    """Return the values of a trial, or the last accuracy of a pruned trial; None if there is neither."""
    if trial.values is not None:
        return tuple(trial.values)
    steps = trial.intermediate_values
    return (steps[max(steps)],) if steps and trial.user_attrs.get("state_reason") == "pruned" else None
