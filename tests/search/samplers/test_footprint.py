"""The sampler proposes admitted designs, learns from features, and respects other workers, failures and directions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from search_fakes import FakeTask, make_settings, make_sweep

from archsearch.search.loop import work
from archsearch.search.queue import take_snapshot
from archsearch.search.samplers import footprint
from archsearch.search.samplers.footprint import (
    EXAMPLES,
    DesignInputs,
    FootprintProposer,
    FootprintSearch,
    expected_improvement,
    with_predictions,
)
from archsearch.search.samplers.gaussian_process import Array, Kernel, Posterior, condition
from archsearch.search.samplers.observations import (
    Direction,
    Observation,
    gaussianised,
    levelled,
    representatives,
    scalarised,
)
from archsearch.search.space import Choice, Design, Features, Params, Range, Space
from archsearch.search.storage.study import Study

LAYERS = Space(parameters={f"layer{index}": Choice(options=("none", "small", "large")) for index in range(6)})
COSTS = {"none": 0.0, "small": 1.0, "large": 3.0}
TRAINING = Space(parameters={"rate": Range(low=1e-4, high=1.0, log=True), "momentum": Range(low=0.0, high=1.0)})


def size(params: Params) -> float:
    return sum(COSTS[str(value)] for value in params.values())


@dataclass
class Search:
    """A study of one worker in memory; designs above `limit` are refused."""

    objective: Callable[[Params], tuple[float, ...] | None]
    space: Space = LAYERS
    directions: tuple[Direction, ...] = ("maximize",)
    limit: float = math.inf
    observations: list[Observation] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.proposer = FootprintProposer(self.space, self.admit, directions=self.directions, screened=120)

    def admit(self, params: Params) -> Features | None:
        if any(each.design.params == params for each in self.observations):
            return None
        if self.space is TRAINING:
            return {}
        return {"size": size(params), "constant": 3.0} if size(params) <= self.limit else None

    def run(self, count: int, seed: int = 0) -> list[Params]:
        rng = np.random.default_rng(seed)
        for _ in range(count):
            design = self.proposer.propose(self.observations, [], rng)
            if design is None:
                break
            self.observations.append(Observation(design=design, values=self.objective(design.params)))
        return [each.design.params for each in self.observations]


def test_it_learns_from_the_features() -> None:
    # 729 designs, 60 of size 10: random search of 20 trainings would miss them half of the time
    for seed in range(2):
        found = Search(objective=lambda params: (-abs(size(params) - 10.0),)).run(14, seed)
        assert max(-abs(size(params) - 10.0) for params in found) == 0.0


def test_it_finds_the_optimum_of_training_parameters_without_any_feature() -> None:
    def accuracy(params: Params) -> tuple[float, ...]:
        rate, momentum = float(params["rate"] or 0), float(params["momentum"] or 0)
        return (-((math.log10(rate) + 2.0) ** 2) - 2 * (momentum - 0.7) ** 2,)

    search = Search(objective=accuracy, space=TRAINING)
    assert max(accuracy(params)[0] for params in search.run(25)) > -0.02


def test_no_design_is_proposed_twice_and_no_infeasible_one() -> None:
    found = Search(objective=lambda params: (size(params),), limit=6.0).run(25)
    assert len({tuple(params.items()) for params in found}) == 25
    assert max(map(size, found)) == 6.0


def test_an_exhausted_space_gives_none() -> None:
    space = Space(
        parameters={"layer0": Choice(options=("none", "small", "large")), "layer1": Choice(options=("none",))}
    )
    search = Search(objective=lambda params: (size(params),), space=space)
    assert len(search.run(10)) == 3


def test_a_space_where_hardly_anything_is_feasible_is_enumerated() -> None:
    assert len(Search(objective=lambda params: (size(params),), limit=0.0).run(5)) == 1


def test_with_too_many_candidates_they_are_evaluated_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: set[bytes] = set()
    counted = footprint.expected_improvement

    def improvement(posterior: Posterior, inputs_MD: Array, best: float) -> Array:
        looked_at.update(row.tobytes() for row in inputs_MD[:, :18])
        return counted(posterior, inputs_MD, best)

    monkeypatch.setattr(footprint, "PAIRS", 20 * 60)
    monkeypatch.setattr(footprint, "expected_improvement", improvement)
    search = Search(lambda params: (-abs(size(params) - 9.0),))
    found = search.run(60)
    assert len({tuple(each.items()) for each in found}) == 60
    assert max(-abs(size(each) - 9.0) for each in found) == 0.0
    assert len(looked_at) > 500  # of 729


def test_with_many_observations_the_kernel_is_fitted_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[int] = []
    fit = footprint.fit

    def counting(known_ND: Array, targets_N: Array, *arguments: Any, **options: Any) -> Kernel:
        learnt.append(len(search.observations))
        return fit(known_ND, targets_N, *arguments, **options)

    monkeypatch.setattr(footprint, "fit", counting)
    monkeypatch.setattr(footprint, "FITTED", 20)
    monkeypatch.setattr(footprint, "GROWN", 1.2)
    search = Search(lambda params: (-(math.log10(float(params["rate"] or 1.0)) ** 2),), TRAINING)
    search.run(40)
    assert learnt == [*range(footprint.STARTUP, 21), 24, 29, 35]


def test_minimize_goes_the_other_way() -> None:
    found = Search(objective=lambda params: (size(params),), directions=("minimize",)).run(14)
    assert min(map(size, found[8:])) <= 1.0


def test_same_seed_same_proposals() -> None:
    first, second, third = (Search(objective=lambda params: (size(params),)).run(12, seed) for seed in (1, 1, 2))
    assert first == second
    assert first != third


def test_failed_designs_are_avoided_and_do_no_harm() -> None:
    def fragile(params: Params) -> tuple[float, ...] | None:
        return None if params["layer0"] == "large" else (size(params),)

    found = Search(objective=fragile).run(25)
    assert max(size(params) for params in found if params["layer0"] != "large") == 16.0
    assert sum(params["layer0"] == "large" for params in found[8:]) <= 10


@pytest.mark.parametrize("value", [None, (math.nan,), (1.0,)])
def test_equal_scores_do_not_stop_a_study(value: tuple[float, ...] | None) -> None:
    assert len(Search(objective=lambda params: value).run(15)) == 15


def test_workers_propose_different_designs() -> None:
    search = Search(objective=lambda params: (-abs(size(params) - 10.0),))
    search.run(12)
    rng = np.random.default_rng(0)
    pending: list[Design] = []
    for _ in range(4):
        design = search.proposer.propose(search.observations, pending, rng)
        assert design is not None
        assert design.params not in [each.params for each in pending]
        pending.append(design)


def test_pending_designs_lower_the_expected_improvement_and_keep_the_mean() -> None:
    kernel = Kernel(theta=np.array([0.0, 0.0, -6.0, -0.5]), groups_D=np.array([0]), trending=0)
    inputs_ND, pending_PD = np.linspace(-2, 2, 5)[:, None], np.array([[0.5]])
    targets_N = np.sin(2 * inputs_ND[:, 0])
    posterior = condition(kernel, inputs_ND, targets_N)
    believed = with_predictions(posterior, targets_N, pending_PD)
    best = float(targets_N.max())
    np.testing.assert_allclose(believed.mean(pending_PD), posterior.mean(pending_PD), atol=1e-6)
    assert expected_improvement(believed, pending_PD, best) < 0.5 * expected_improvement(posterior, pending_PD, best)


def test_two_objectives_give_a_front() -> None:
    def both(params: Params) -> tuple[float, ...]:
        return (math.sqrt(size(params)), size(params))

    search = Search(objective=both, directions=("maximize", "minimize"))
    sizes = sorted({size(params) for params in search.run(40)})
    assert sizes[0] == 0.0
    assert sizes[-1] >= 16.0
    assert len(sizes) >= 8


def test_the_first_designs_are_spread_over_the_features() -> None:
    spreads = []
    for startup in (8, 1):
        values = []
        for seed in range(6):
            search = Search(objective=lambda params: (0.0,))
            search.proposer = FootprintProposer(LAYERS, search.admit, startup=startup)
            found = search.run(8, seed)
            values.append(len({size(params) for params in found}))
        spreads.append(sum(values))
    assert spreads[0] >= 6 * 5


def test_scores_are_higher_for_better_and_worst_for_failed() -> None:
    design = Design(params={}, features={})
    rows = [(3.0,), None, (1.0,), (math.inf,), (2.0,)]
    observations = [Observation(design=design, values=values) for values in rows]
    rng = np.random.default_rng(0)
    assert scalarised(observations, ("maximize",), rng).tolist() == [3.0, 1.0, 1.0, 1.0, 2.0]
    assert scalarised(observations, ("minimize",), rng).tolist() == [-3.0, -3.0, -1.0, -3.0, -2.0]


def test_a_dominated_design_never_scores_higher() -> None:
    rng = np.random.default_rng(0)
    design = Design(params={}, features={})
    observations = [Observation(design=design, values=values) for values in [(1.0, 5.0), (0.5, 6.0), (2.0, 9.0)]]
    for _ in range(50):
        better, dominated, _ = scalarised(observations, ("maximize", "minimize"), rng)
        assert better > dominated


def test_the_power_transform_keeps_the_order_and_shrinks_an_outlier() -> None:
    scores_N = np.concatenate([[10.0], np.random.default_rng(0).normal(90.0, 1.0, size=40)])
    bent_N = gaussianised(scores_N)
    assert np.argsort(bent_N).tolist() == np.argsort(scores_N).tolist()
    assert bent_N.mean() == pytest.approx(0.0, abs=1e-9)
    assert bent_N.std() == pytest.approx(1.0)
    assert bent_N.min() > (scores_N.min() - scores_N.mean()) / scores_N.std()


@pytest.mark.parametrize(
    "scores",
    [
        (1e308, -1e308, 0.0),
        (1e-300, 2e-300, 0.0),
        (0.0, 0.0, 1e300),
        (1e15, 1e15 + 1, 1e15 + 2),
        (0.5, 0.5 + 1e-16, 0.5),
    ],
)
def test_transformed_scores_are_finite_whatever_their_size(scores: tuple[float, ...]) -> None:
    transformed_N = gaussianised(np.array(scores))
    assert np.isfinite(transformed_N).all()
    assert (np.diff(transformed_N[np.argsort(scores)]) >= 0).all()


def test_representatives_are_the_best_half_and_the_others_evenly() -> None:
    scores_N = np.arange(100.0)
    kept = representatives(scores_N, 10)
    assert kept.tolist() == [0, 24, 47, 70, 94, 95, 96, 97, 98, 99]
    assert representatives(scores_N, 100).tolist() == list(range(100))


SWEEP = make_sweep(make_settings("footprint", trials=10))


def test_screened_designs_are_counted_and_the_nearest_misses_recorded(study: Study) -> None:
    search = FootprintSearch(study, SWEEP, FakeTask(most=10), seed=1)
    proposal = search.propose(take_snapshot(study.trials(), SWEEP.name))
    assert proposal is not None
    assert proposal.candidate.parameters <= 10
    assert search.counts.proposed > search.counts.feasible > 0
    assert len(search.infeasible) == EXAMPLES
    assert all(min(each.excess.values()) < 0.5 for each in search.infeasible)


def test_with_a_seed_the_proposals_do_not_depend_on_the_clock(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def proposed(seconds_per_check: float) -> list[Params]:
        task = FakeTask()
        monkeypatch.setattr(footprint.time, "process_time", lambda: seconds_per_check * task.checked)
        search, snapshot = FootprintSearch(study, SWEEP, task, seed=7), take_snapshot(study.trials(), SWEEP.name)
        found = [search.propose(snapshot) for _ in range(6)]
        return [each.candidate.assignments for each in found if each is not None]

    assert len(proposed(1e-6)) == 6
    assert proposed(1e-6) == proposed(1.0)


def test_it_learns_that_larger_is_better(study: Study) -> None:
    task = FakeTask(most=30)
    work(study, SWEEP, task, seed=1)
    sizes = [task.size(one) for one in task.trained]
    assert max(sizes) == 30
    assert sum(sizes[5:]) > sum(sizes[:5])


def test_scores_of_shorter_trainings_are_moved_to_the_level_of_whole_ones() -> None:
    """By the designs that have both: the whole ones are the better ones, whose mean says nothing."""
    designs = [
        *(Design(params={"layer0": name}, features={}, context={"rung": -1.0}) for name in COSTS),
        Design(params={"layer0": "large"}, features={}),
    ]
    scores_N = np.array([0.1, 0.2, 0.6, 0.9])
    np.testing.assert_allclose(levelled(scores_N, designs, LAYERS), [0.4, 0.5, 0.9, 0.9])
    np.testing.assert_allclose(levelled(scores_N[:3], designs[:3], LAYERS), scores_N[:3])


def test_without_a_design_at_both_rungs_their_means_are_brought_together() -> None:
    designs = [Design(params={"layer0": name}, features={}, context={"rung": -1.0}) for name in ("none", "small")]
    designs.append(Design(params={"layer0": "large"}, features={}))
    np.testing.assert_allclose(levelled(np.array([0.1, 0.3, 0.9]), designs, LAYERS), [0.8, 1.0, 0.9])


def test_a_context_has_a_column_of_its_own_and_whole_trainings_one_value_of_it() -> None:
    search = Search(objective=lambda params: (size(params),))
    search.run(4)
    known = [each.design for each in search.observations]
    plain = DesignInputs.of(search.proposer._pool, known)
    short = [Design(params=one.params, features=one.features, context={"rung": -1.0}) for one in known]
    both = DesignInputs.of(search.proposer._pool, [*known, *short])
    assert both.groups_D.tolist() == [*plain.groups_D, plain.groups_D.max() + 1]
    assert (plain.trending, both.trending) == (1, 2)
    np.testing.assert_array_equal(both.whole(both.known_ND)[4:], both.known_ND[:4])
    assert (both.known_ND[:4, -1] != both.known_ND[4:, -1]).all()


def test_a_design_that_was_good_for_few_epochs_is_predicted_to_be_good() -> None:
    """Of designs that differ in no feature: what is known of each is its own value at the lower rung alone."""
    space = Space(parameters={"x": Range(low=0.0, high=1.0)})
    proposer = FootprintProposer(space, lambda params: {}, startup=4)
    points = [{"x": place} for place in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    values = [0.1, 0.3, 0.6, 0.5, 0.2, 0.0]
    short = [Design(params=point, features={}, context={"rung": -1.0}) for point in points]
    observations = [Observation(design=one, values=(value,)) for one, value in zip(short, values, strict=True)]
    observations.append(Observation(design=Design(params=points[2], features={}), values=(0.9,)))
    proposer.propose(observations, [], np.random.default_rng(0))
    whole = [Design(params=point, features={}) for point in points]
    found = proposer.predicted(observations, whole, np.random.default_rng(0))
    assert found is not None
    assert np.argsort(-found)[:2].tolist() == [2, 3]
    assert proposer.predicted(observations[:3], whole, np.random.default_rng(0)) is None
