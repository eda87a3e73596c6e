"""Optuna's samplers as proposers, with a study in memory. Imports optuna inside functions only."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from archsearch.errors import SpecError
from archsearch.plugins import SAMPLERS, load
from archsearch.search.infeasible import InfeasibleCounts
from archsearch.search.queue import DUPLICATE, StudySnapshot
from archsearch.search.samplers.proposer import Infeasible, Proposal, evaluate, observed_scores
from archsearch.search.space import Params, Space, Value
from archsearch.search.storage.dashboard import OLDER
from archsearch.search.storage.declarations import distribution_of
from archsearch.search.storage.optuna_internals import gp_sampler
from archsearch.search.storage.read import excess_of
from archsearch.search.storage.study import Direction, Study
from archsearch.search.sweep import Sweep
from archsearch.search.task import Task
from archsearch.settings.study import SamplerSettings

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial


REPEATS = 8  # known designs in a row after which values are drawn at random
MOST_REPEATS = 3000  # known designs in a row after which the space counts as exhausted
MOST_INFEASIBLE = 200_000  # infeasible proposals in a row after which the space counts as exhausted
SECONDS = 5.0  # after which `propose` returns without a design, so that progress is reported
# Built-in samplers that account for infeasible trials, or propose independently of the trials. Others may propose
# infeasible designs again and again, so values are drawn at random after `INFEASIBLE_REPEATS` of them in a row.
CONSTRAINED = frozenset({"tpe", "random", "nsgaii", "qmc"})
INFEASIBLE_REPEATS = 8
MOST_FITTED = 200  # trials that Optuna's Gaussian process is fitted to


class OptunaProposer:
    """Proposes designs by one of Optuna's samplers with a study in memory, which also holds infeasible proposals."""

    def __init__(self, study: Study, sweep: Sweep, task: Task, seed: int | None) -> None:
        self._sweep, self._task, self._direction = sweep, task, study.directions[0]
        self._in_memory = InMemoryStudy(sweep.space, study.directions, make_sampler(sweep.settings.sampler, seed))
        self._rng = np.random.default_rng(seed)
        self._unconstrained = sweep.settings.sampler.name not in CONSTRAINED
        self._known_in_a_row = self._infeasible_in_a_row = 0
        self.infeasible: list[Infeasible] = []
        self.counts = InfeasibleCounts()
        self.exhausted = False

    def propose(self, snapshot: StudySnapshot) -> Proposal | None:
        self._in_memory.pull(snapshot.trials)
        until = time.monotonic() + SECONDS
        while True:
            handle, params, system = self._ask()
            found = evaluate(self._task, self._sweep, params)
            if isinstance(found, Infeasible):
                self._count_infeasible(found, handle, system)
                self._infeasible_in_a_row += 1
            else:
                self.counts.count(())
                known = snapshot.known.get(found.key)
                if known is None:
                    self._known_in_a_row = self._infeasible_in_a_row = 0
                    return Proposal(candidate=found, system=system, handle=handle)
                self._known_in_a_row += 1
                if handle >= 0:
                    self._in_memory.copy_known(handle, known)
            if self._known_in_a_row > MOST_REPEATS or self._infeasible_in_a_row > MOST_INFEASIBLE:
                self.exhausted = True
                return None
            if time.monotonic() > until:
                return None

    def _ask(self) -> tuple[int, Params, Mapping[str, Any]]:
        """Return the sampler's proposal, or a random point (handle -1) after repeated known or infeasible proposals."""
        infeasible = self._unconstrained and self._infeasible_in_a_row >= INFEASIBLE_REPEATS
        if infeasible or self._known_in_a_row > REPEATS:
            return -1, self._sweep.space.draw(self._rng), {}
        return self._in_memory.ask()

    def _count_infeasible(self, found: Infeasible, handle: int, system: Mapping[str, Any]) -> None:
        self.counts.count(name for name, value in found.excess.items() if value > 0)
        if handle >= 0:  # random points are only counted
            self._in_memory.mark_infeasible(handle, found.excess)
            self.infeasible.append(replace(found, system=dict(system)))

    def scores(self, snapshot: StudySnapshot, trials: Sequence[FrozenTrial]) -> Sequence[float]:
        return observed_scores(trials, self._direction)

    def on_claimed(self, proposal: Proposal, number: int | None) -> None:
        if proposal.handle < 0:
            return
        if number is None:
            self._in_memory.drop(proposal.handle)
        else:
            self._in_memory.assign_number(proposal.handle, number)

    def on_written(self, numbers: list[int]) -> None:
        self._in_memory.skip(numbers)
        self.infeasible.clear()


class InMemoryStudy:
    """A study in memory with the trials of one space, each once; a handle is the id of a trial in it."""

    def __init__(self, space: Space, directions: Sequence[Direction], sampler: BaseSampler) -> None:
        import optuna

        self._space = space
        self._distributions = {name: distribution_of(parameter) for name, parameter in space.parameters.items()}
        self._storage = optuna.storages.InMemoryStorage()
        self._study = optuna.create_study(storage=self._storage, directions=list(directions), sampler=sampler)
        self._study_id = self._storage.get_study_id_from_name(self._study.study_name)
        self._handles: dict[int, int] = {}  # by the trial's number in the database; -1 for an infeasible proposal
        self._unfinished: dict[int, int] = {}  # handles of trials that were unfinished at the last `pull`
        self._pulled = 0

    def pull(self, trials: Sequence[FrozenTrial]) -> None:
        """Copy new trials, and finish those that have ended; `trials` are all trials of the database in order."""
        for number in list(self._unfinished):
            if trials[number].state.is_finished():
                self._finish(self._unfinished.pop(number), trials[number])
        for trial in trials[self._pulled :]:
            if trial.number not in self._handles:
                self._add(trial)
        self._pulled = len(trials)

    def ask(self) -> tuple[int, dict[str, Value], dict[str, Any]]:
        """Return a proposal: its handle, its point, and the system attributes that the sampler set."""
        trial = self._study.ask(self._distributions)
        handle = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number)
        return handle, dict(trial.params), dict(self._storage.get_trial_system_attrs(handle))

    def mark_infeasible(self, handle: int, excess: Mapping[str, float]) -> None:
        """End the proposal as infeasible, with its relative excess per limit."""
        for name, value in excess.items():
            self._storage.set_trial_system_attr(handle, f"constraints:{name}", float(value))
        self._end(handle, "PRUNED", None)

    def copy_known(self, handle: int, known: FrozenTrial) -> None:
        """End the proposal with the values of the trial with the same key, or as failed while that is unfinished."""
        if known.state.is_finished():
            self._finish(handle, known)
        else:
            self._end(handle, "FAIL", None)

    def drop(self, handle: int) -> None:
        """End the proposal as failed: samplers ignore failed trials."""
        self._end(handle, "FAIL", None)

    def assign_number(self, handle: int, number: int) -> None:
        """Link the proposal to trial `number` of the database."""
        self._handles[number] = self._unfinished[number] = handle

    def skip(self, numbers: Iterable[int]) -> None:
        """Skip these trials of the database: they are infeasible proposals of this worker, and already in memory."""
        self._handles.update(dict.fromkeys(numbers, -1))

    def _add(self, trial: FrozenTrial) -> None:
        from optuna.trial import FrozenTrial, TrialState

        if trial.user_attrs.get("state_reason") == DUPLICATE or trial.state.name in ("FAIL", "WAITING"):
            return
        point = self._space.point_of(trial.user_attrs.get("assignments", trial.params))
        if point is None:
            return
        template = FrozenTrial(
            number=-1,
            trial_id=-1,
            state=trial.state if trial.state != TrialState.WAITING else TrialState.RUNNING,
            value=None,
            values=trial.values,
            datetime_start=trial.datetime_start,
            datetime_complete=trial.datetime_complete,
            params=point,
            distributions=self._distributions,
            user_attrs={},
            # Samplers would count the older form of the constraints as another constraint.
            system_attrs={name: value for name, value in trial.system_attrs.items() if name != OLDER},
            intermediate_values=trial.intermediate_values,
        )
        handle = self._storage.create_new_trial(self._study_id, template)
        self._handles[trial.number] = handle
        if not trial.state.is_finished():
            self._unfinished[trial.number] = handle

    def _finish(self, handle: int, trial: FrozenTrial) -> None:
        if handle < 0:
            return
        for name, value in excess_of(trial.system_attrs).items():
            self._storage.set_trial_system_attr(handle, f"constraints:{name}", value)
        for step, value in trial.intermediate_values.items():
            self._storage.set_trial_intermediate_value(handle, step, value)
        self._end(handle, trial.state.name, trial.values)

    def _end(self, handle: int, state: str, values: Sequence[float] | None) -> None:
        from optuna.trial import TrialState

        study, frozen = self._study, self._storage.get_trial(handle)
        study.sampler.after_trial(study, frozen, TrialState[state], values)
        self._storage.set_trial_state_values(handle, TrialState[state], values)


def make_sampler(settings: SamplerSettings, seed: int | None) -> BaseSampler:
    """Return the Optuna sampler that the settings name, built in or from an installed package.

    `footprint` and `grid` are not Optuna samplers. Raises `SpecError` if a package's sampler cannot be created.
    """
    from optuna import samplers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # several samplers are marked experimental
        match settings.name:
            case "tpe":
                return samplers.TPESampler(
                    n_startup_trials=settings.startup, multivariate=True, constant_liar=True, seed=seed
                )
            case "random":
                return samplers.RandomSampler(seed=seed)
            case "nsgaii":
                return samplers.NSGAIISampler(population_size=settings.population, seed=seed)
            case "gp":
                return gp_sampler(settings.startup, seed, _most_useful)
            case "qmc":
                return samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
            case "footprint" | "grid":
                raise AssertionError(f"'{settings.name}' has a proposer of its own")
            case _:
                return _load_sampler(settings, seed)


def _load_sampler(settings: SamplerSettings, seed: int | None) -> BaseSampler:
    """Return the sampler of an installed package; raises `SpecError` if it fails or is no `BaseSampler`."""
    from optuna.samplers import BaseSampler

    name = settings.name
    factory = load(SAMPLERS, name, "study.sampler.name")
    try:
        sampler = factory(settings, seed)
    except SpecError:
        raise
    except Exception as error:
        what = f"the sampler '{name}' of an installed package failed ({type(error).__name__}: {error})"
        raise SpecError("study.sampler.name", what, "Update or reinstall the package, or choose another.") from error
    if not isinstance(sampler, BaseSampler):
        what = f"the entry point '{name}' returned {type(sampler).__name__}, expected optuna.samplers.BaseSampler"
        raise SpecError("study.sampler.name", what, "Update or reinstall the package, or choose another.")
    return sampler


def _most_useful(study: optuna.Study, trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Return at most `MOST_FITTED` trials in order: the best half by the first objective, and the latest others."""
    if len(trials) <= MOST_FITTED:
        return trials
    maximize = study.directions[0].name == "MAXIMIZE"
    ranked = sorted(trials, key=lambda trial: trial.values[0], reverse=maximize)
    best = {trial.number for trial in ranked[: MOST_FITTED // 2]}
    others = [trial.number for trial in trials if trial.number not in best]
    kept = best.union(others[len(best) - MOST_FITTED :])
    return [trial for trial in trials if trial.number in kept]
