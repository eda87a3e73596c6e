"""Candidates of the shipped configuration: kept, repaired, masked, identified; the features of plans."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import yaml
from search_fakes import FakeTask

from archsearch.analysis.check import check_design
from archsearch.analysis.limits import decode_limits, margins
from archsearch.analysis.measure import measure
from archsearch.cli.compose import Composer, compose, read_tree
from archsearch.config_files import config_folder
from archsearch.design.layers import Conv, GlobalPool, Linear
from archsearch.design.lower import lower
from archsearch.design.plan import Parallel, Plan, Sequence, design_id
from archsearch.design.spec import decode_design
from archsearch.errors import SpecError
from archsearch.overrides import assign
from archsearch.search.evaluator import Evaluator, features_of, trial_key
from archsearch.search.task import Task
from hydra_plugins.archsearch_sweeper._grammar import read_request


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(["data=shapes"])


@pytest.fixture
def evaluator(composer: Composer) -> Evaluator:
    return Evaluator(composer.compose, composer.blocks, fingerprint="f00d")


def test_a_design_that_keeps_its_limits_has_an_identity_and_features(evaluator: Evaluator) -> None:
    candidate = evaluator({"arch.stages.c2.repeats": 1})
    assert candidate.kept
    assert len(candidate.key) == len(candidate.design_id) == 16
    assert candidate.features["depth"] > 3
    assert candidate.parameters < 200_000


def test_a_design_that_breaks_a_limit_has_its_excess(evaluator: Evaluator) -> None:
    candidate = evaluator({"arch.stages.c3.width": 512})
    assert not candidate.kept
    assert max(margin.excess for margin in candidate.margins) > 0
    assert candidate.key == ""


def test_a_missed_receptive_field_is_repaired_by_dilation(composer: Composer, evaluator: Evaluator) -> None:
    short = {f"arch.stages.{name}.repeats": 1 for name in ("c1", "c2", "c3", "c4")}
    found = evaluator(short)
    plain = Evaluator(composer.compose, composer.blocks, fingerprint="f00d", repair=False)(short)
    if plain.kept:
        pytest.fail("the default design has grown: give this test a smaller one")
    assert found.kept
    assert [name.rpartition(".")[2] for name in found.repairs] == ["dilation"]
    assert found.parameters == plain.parameters
    assert found.receptive_field > 44 >= plain.receptive_field
    again = evaluator({**short, **found.repairs})
    assert (again.key, again.repairs) == (found.key, {})


def test_an_option_that_the_block_lacks_does_not_count(evaluator: Evaluator) -> None:
    plain = evaluator({"arch.stages.c1.block": "normal"})
    with_expand = evaluator({"arch.stages.c1.block": "normal", "arch.stages.c1.expand": 6})
    assert with_expand.unused == ("arch.stages.c1.expand",)
    assert with_expand.key == plain.key
    assert evaluator({"arch.stages.c1.block": "inverted", "arch.stages.c1.expand": 2}).unused == ()


def test_an_option_of_a_stage_that_the_searched_block_lacks_becomes_null() -> None:
    composer = Composer(["data=shapes", "arch=brisk", "arch.stages.c1.shortcut=if_same_shape"])
    evaluator = Evaluator(composer.compose, composer.blocks, fingerprint="f00d")
    point = {"arch.stages.c1.block": "repvgg", "arch.stages.c1.shortcut": "if_same_shape", "arch.width": "fit"}
    candidate = evaluator(point)
    assert candidate.unused == ("arch.stages.c1.shortcut",)
    assert candidate.repairs == {"arch.stages.c1.shortcut": None}
    again = {**{name: value for name, value in point.items() if name not in candidate.unused}, **candidate.repairs}
    assert evaluator(again).key == candidate.key
    with pytest.raises(SpecError, match="shortcut"):
        evaluator({name: value for name, value in point.items() if not name.endswith("shortcut")})


def test_an_option_of_the_network_that_no_block_has_does_not_count(evaluator: Evaluator) -> None:
    point = {"arch.options.expand": 6, "arch.options.act": "silu"}
    candidate = evaluator(point)
    assert candidate.unused == ("arch.options.expand",)
    assert candidate.repairs == {}
    assert candidate.key == evaluator({"arch.options.act": "silu"}).key != evaluator({}).key
    with_block = {**point, "arch.stages.c2.block": "inverted"}
    assert evaluator(with_block).unused == ()
    assert evaluator(with_block).parameters != evaluator({**with_block, "arch.options.expand": 2}).parameters
    entry = {"arch.options.expand": 2, "arch.stages.c1.entry.block": "inverted"}
    assert evaluator(entry).unused == ()


def test_the_stage_that_a_stage_concatenates_is_no_option_of_its_block(evaluator: Evaluator) -> None:
    candidate = evaluator({"arch.stages.c3.from": "c1", "arch.stages.c2.entry": None, "arch.stages.c3.width": 16})
    assert candidate.unused == ()
    assert candidate.key != evaluator({"arch.stages.c2.entry": None, "arch.stages.c3.width": 16}).key


def test_random_points_are_evaluated_as_when_composed_by_hydra_and_measured_whole(
    evaluator: Evaluator,
) -> None:
    space = yaml.safe_load((config_folder() / "space" / "cifar.yaml").read_text())
    request, rng = read_request([], space), np.random.default_rng(3)
    for _ in range(5):
        candidate = evaluator({**request.fixed, **request.space.draw(rng)})
        used = {key: value for key, value in candidate.assignments.items() if key not in candidate.unused}
        overrides = [assign(key, value) for key, value in {**used, **candidate.repairs}.items()]
        tree, blocks = read_tree(compose(["data=shapes", *overrides]))
        whole = check_design(decode_design(tree["arch"], blocks), decode_limits(tree["constraints"]))
        footprint = measure(lower(whole.design))
        assert candidate.margins == margins(footprint.plan, footprint, decode_limits(tree["constraints"]))
        assert candidate.experiment[1].footprint == footprint
        assert candidate.design_id == design_id(footprint.plan)
        assert candidate.key == trial_key(candidate.design_id, tree, "f00d")


def test_invalid_assignments_are_an_error_with_their_key(evaluator: Evaluator) -> None:
    with pytest.raises(SpecError, match=r"arch\.stages\.c1\.repeats"):
        evaluator({"arch.stages.c1.repeats": "many"})


@pytest.mark.parametrize(
    ("key", "value", "is_another"),
    [
        ("optimizer.learning_rate", 0.123, True),
        ("train.epochs", 99, True),
        ("seed", 5, True),
        ("train.device", "cpu", False),
        ("train.threads", 1, False),
        ("arch.name", "another", False),
    ],
)
def test_changes_that_make_another_training(evaluator: Evaluator, key: str, value: Any, is_another: bool) -> None:
    assert (evaluator({key: value}).key != evaluator({}).key) == is_another


def test_other_data_make_another_training() -> None:
    tree = {"train": {"epochs": 1}}
    assert trial_key("d", tree, "one") != trial_key("d", tree, "two")


def test_the_key_tells_the_precision_that_auto_stands_for() -> None:
    tree = {"train": {"epochs": 1, "precision": "auto"}}
    bf16, fp32 = (trial_key("d", tree, "one", precision) for precision in ("bf16", "fp32"))
    assert bf16 == trial_key("d", tree, "one")  # as earlier versions recorded it
    assert bf16 != fp32
    assert fp32 == trial_key("d", {"train": {"epochs": 1, "precision": "fp32"}}, "one", "fp32")


def conv(channels: int, width: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1) -> Conv:
    side = dilation * (kernel - 1) // 2
    return Conv(
        name=f"conv{kernel}{stride}{groups}",
        in_channels=channels,
        out_channels=width,
        kernel=kernel,
        stride=stride,
        dilation=dilation,
        groups=groups,
        padding=(side, side),
    )


PLAN = Plan(
    input_shape=(3, 32, 32),
    layers=(
        Sequence(name="stem", layers=(conv(3, 8, 3),)),
        Sequence(name="stages", layers=(Sequence(name="a", layers=(conv(8, 8, 5, stride=2), conv(8, 8, 1))),)),
        Sequence(
            name="head",
            layers=(
                Parallel(
                    name="residual",
                    branches=(
                        Sequence(name="main", layers=(conv(8, 8, 3, stride=2, groups=8), conv(8, 8, 3, dilation=2))),
                        Sequence(name="shortcut", layers=(conv(8, 8, 1, stride=2),)),
                    ),
                    combine="add",
                ),
                conv(8, 8, 3),
                GlobalPool(name="pool", kind="average"),
                Linear(name="linear", in_features=8, out_features=10),
            ),
        ),
    ),
)


def test_convolutions_are_counted_by_kernel_and_resolution() -> None:
    found = features_of(PLAN, measure(PLAN))
    counts = {name: value for name, value in found.items() if not name.startswith("log_")}
    assert counts == {
        "depth": 7,
        "level0.kernel3": 1,
        "level1.kernel5": 1,
        "level2.kernel3": 3,
        "dilated": 1,
        "depthwise": 1,
    }


def test_costs_are_logarithms() -> None:
    footprint = measure(PLAN)
    found = features_of(PLAN, footprint)
    assert found["log_parameters"] == math.log(footprint.parameters)
    assert found["log_macs"] == math.log(footprint.macs)
    assert found["log_receptive_field"] == math.log(footprint.receptive_field)


def test_a_candidate_is_kept_only_if_every_limit_is() -> None:
    task: Task = FakeTask(most=5)
    assert task.check({"a": 1, "b": 2}).kept
    assert not task.check({"a": 6, "b": 2}).kept
