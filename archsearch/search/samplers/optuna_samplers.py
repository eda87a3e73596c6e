"""Any of Optuna's samplers as a proposer, over a study in memory. Imports optuna inside functions only."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, assert_never

import numpy as np

from archsearch.search.infeasible import InfeasibleCounts
from archsearch.search.queue import DUPLICATE, StudySnapshot
from archsearch.search.samplers.proposer import Infeasible, Proposal, evaluate
from archsearch.search.space import Choice, Parameter, Params, Space, Value
from archsearch.search.storage.dashboard import OLDER
from archsearch.search.storage.read import excess_of
from archsearch.search.storage.study import Direction, Study
from archsearch.search.sweep import Sweep
from archsearch.search.task import Task
from archsearch.settings.study import SamplerSettings

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial


REPEATS = 8  # known designs in a row after which values are drawn at random
GIVE_UP = 3000  # the same after which the space counts as exhausted
INFEASIBLE_IN_A_ROW = 200_000  # after which nothing feasible is expected
SECONDS = 5.0  # after which a proposer says how far it has come, and goes on when it is asked again
# Samplers that learn nothing from infeasible trials: they would propose them again for ever.
STUBBORN = frozenset({"gp"})
MOST_FITTED = 200  # trials that Optuna's Gaussian process learns from
INFEASIBLE_TO_THEM = 8  # proposals in a row after which values are drawn at random


class OptunaProposer:
    """Any of Optuna's samplers over a study in memory; an infeasible proposal is a trial there, and is recorded."""

    def __init__(self, study: Study, sweep: Sweep, task: Task, seed: int | None) -> None:
        self._sweep, self._task = sweep, task
        self._in_memory = InMemoryStudy(sweep.space, study.directions, make_sampler(sweep.settings.sampler, seed))
        self._rng = np.random.default_rng(seed)
        self._stubborn = sweep.settings.sampler.name in STUBBORN
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
                self._note(found, handle, system)
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
            if self._known_in_a_row > GIVE_UP or self._infeasible_in_a_row > INFEASIBLE_IN_A_ROW:
                self.exhausted = True
                return None
            if time.monotonic() > until:
                return None

    def _ask(self) -> tuple[int, Params, Mapping[str, Any]]:
        """Return the sampler's proposal, or a random point (handle -1) where it is stuck."""
        stuck = self._known_in_a_row > REPEATS or (self._stubborn and self._infeasible_in_a_row >= INFEASIBLE_TO_THEM)
        if stuck:
            return -1, self._sweep.space.draw(self._rng), {}
        return self._in_memory.ask()

    def _note(self, found: Infeasible, handle: int, system: Mapping[str, Any]) -> None:
        self.counts.count(name for name, value in found.excess.items() if value > 0)
        if handle >= 0:  # of random points the count is enough
            self._in_memory.mark_infeasible(handle, found.excess)
            self.infeasible.append(replace(found, system=dict(system)))

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
    """Trials of one space, each once, by the database's number or by this worker's own handle."""

    def __init__(self, space: Space, directions: Sequence[Direction], sampler: BaseSampler) -> None:
        import optuna

        self._space = space
        self._distributions = distributions_of(space)
        self._study = optuna.create_study(directions=list(directions), sampler=sampler)
        self._ids: dict[int, int] = {}  # database's number -> id here
        self._open: dict[int, int] = {}  # the same, of those that were unfinished when last seen
        self._seen = 0

    def pull(self, trials: Sequence[FrozenTrial]) -> None:
        """Take over what is new in `trials`, all those of the database in order."""
        for number in list(self._open):
            if trials[number].state.is_finished():
                self._finish(self._open.pop(number), trials[number])
        for trial in trials[self._seen :]:
            if trial.number not in self._ids:
                self._add(trial)
        self._seen = len(trials)

    def ask(self) -> tuple[int, dict[str, Value], dict[str, Any]]:
        """Return a proposal: its handle here, its point, and what the sampler notes with it."""
        trial = self._study.ask(self._distributions)
        system = self._study._storage.get_trial_system_attrs(trial._trial_id)
        return trial._trial_id, dict(trial.params), dict(system)

    def mark_infeasible(self, handle: int, excess: Mapping[str, float]) -> None:
        """End the proposal as infeasible, with its relative excess per limit."""
        storage = self._study._storage
        for name, value in excess.items():
            storage.set_trial_system_attr(handle, f"constraints:{name}", float(value))
        self._end(handle, "PRUNED", None)

    def copy_known(self, handle: int, known: FrozenTrial) -> None:
        """End the proposal with the values of the trial that is the same training."""
        if known.state.is_finished():
            self._finish(handle, known)
        else:
            self._end(handle, "FAIL", None)

    def drop(self, handle: int) -> None:
        """End the proposal as failed: samplers ignore failed trials."""
        self._end(handle, "FAIL", None)

    def assign_number(self, handle: int, number: int) -> None:
        """Take note that the proposal is trial `number` of the database."""
        self._ids[number] = self._open[number] = handle

    def skip(self, numbers: Iterable[int]) -> None:
        """Take note that these trials of the database are here already, as infeasible proposals of this worker."""
        self._ids.update(dict.fromkeys(numbers, -1))

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
            # Else samplers would take the older form of the constraints for one more of them.
            system_attrs={name: value for name, value in trial.system_attrs.items() if name != OLDER},
            intermediate_values=trial.intermediate_values,
        )
        handle = self._study._storage.create_new_trial(self._study._study_id, template)
        self._ids[trial.number] = handle
        if not trial.state.is_finished():
            self._open[trial.number] = handle

    def _finish(self, handle: int, trial: FrozenTrial) -> None:
        if handle < 0:
            return
        storage = self._study._storage
        for name, value in excess_of(trial.system_attrs).items():
            storage.set_trial_system_attr(handle, f"constraints:{name}", value)
        for step, value in trial.intermediate_values.items():
            storage.set_trial_intermediate_value(handle, step, value)
        self._end(handle, trial.state.name, trial.values)

    def _end(self, handle: int, state: str, values: Sequence[float] | None) -> None:
        from optuna.trial import TrialState

        storage, study = self._study._storage, self._study
        frozen = storage.get_trial(handle)
        study.sampler.after_trial(study, frozen, TrialState[state], values)
        storage.set_trial_state_values(handle, TrialState[state], values)


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


def make_sampler(settings: SamplerSettings, seed: int | None) -> BaseSampler:
    """Return Optuna's sampler; `footprint` is not one of them, and `grid` needs none."""
    from optuna import samplers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # several are marked experimental, or come to be
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
                return _bounded_gp(settings.startup, seed)
            case "qmc":
                return samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)
            case "footprint" | "grid":
                raise AssertionError(f"'{settings.name}' has a proposer of its own")
            case _:
                assert_never(settings.name)


def _bounded_gp(startup: int, seed: int | None) -> BaseSampler:
    """Return Optuna's Gaussian process, fitted to few enough trials to answer in seconds: its cost is cubic."""
    from optuna.samplers import GPSampler

    class BoundedGP(GPSampler):
        def _sample_relative_impl(
            self,
            study: optuna.Study,
            completed_trials: list[FrozenTrial],
            running_trials: list[FrozenTrial],
            search_space: Any,
        ) -> dict[str, Any]:
            if len(completed_trials) > MOST_FITTED:
                completed_trials = _chosen(completed_trials, maximise=study.directions[0].name == "MAXIMIZE")
            return super()._sample_relative_impl(study, completed_trials, running_trials, search_space)

    return BoundedGP(n_startup_trials=startup, seed=seed)


def _chosen(trials: list[FrozenTrial], *, maximise: bool) -> list[FrozenTrial]:
    """Return `MOST_FITTED` of the trials in order: the best half by the first objective, the others the latest."""
    ranked = sorted(trials, key=lambda trial: trial.values[0], reverse=maximise)
    best = {trial.number for trial in ranked[: MOST_FITTED // 2]}
    others = [trial.number for trial in trials if trial.number not in best]
    kept = best.union(others[len(best) - MOST_FITTED :])
    return [trial for trial in trials if trial.number in kept]
