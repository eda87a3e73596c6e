"""The work of a plan: every kind in a shipped network is one that a probe measures, and numbers are the plan's."""

from __future__ import annotations

from math import prod

import pytest

from archsearch.analysis.measure import measure
from archsearch.config_files import config_folder
from archsearch.cost.probes import checks, probes
from archsearch.cost.work import Work, kind_of, work_of
from archsearch.design.layers import Activation, Conv, Norm
from archsearch.design.lower import lower
from archsearch.design.plan import Parallel, Sequence
from archsearch.library import load_design

PROBED = {kind for one in probes() for kind in work_of(one.plan.layers, one.plan.input_shape)[0]}
SHIPPED = sorted(file.stem for file in (config_folder() / "arch").glob("*.yaml") if file.stem != "file")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_kind_of_layer_of_a_shipped_network_is_measured(name: str) -> None:
    plan = lower(load_design(name))
    work, shape = work_of(plan.layers, plan.input_shape)
    assert {kind.removeprefix("paired ") for kind in work} <= {kind.removeprefix("paired ") for kind in PROBED}
    assert shape == measure(plan).output_shape


def test_probes_and_checks_are_networks_of_ten_classes_with_names_of_their_own() -> None:
    found = [*probes(), *checks()]
    assert len({one.name for one in found}) == len(found)
    assert {measure(one.plan).output_shape for one in found} == {(10, 1, 1)}


def test_counts_are_those_of_the_layers() -> None:
    layers = (
        Conv(name="a", in_channels=16, out_channels=32, kernel=3, padding=(1, 1)),
        Norm(name="b", kind="batch", channels=32),
        Activation(name="c", kind="relu"),
    )
    work, shape = work_of(layers, (16, 8, 8))
    assert shape == (32, 8, 8)
    assert work == {
        "conv 3": Work(1, 64 * 16 * 32 * 9, 64 * (16 + 32), 16 * 32 * 9),
        "norm": Work(1, 0, 2 * 64 * 32, 64),
        "activation behind norm": Work(1, 0, 2 * 64 * 32, 0),
    }
    assert work["conv 3"].of_batch(10) == (1, 640 * 16 * 32 * 9, 640 * 48, 16 * 32 * 9)


def test_channels_that_fill_no_vector_count_as_the_next_ones_that_do() -> None:
    one, other = (
        work_of((Conv(name="a", in_channels=channels, out_channels=channels, kernel=1),), (channels, 4, 4))[0]
        for channels in (20, 24)
    )
    assert one["conv 1"].values == other["conv 1"].values


def test_a_sum_reads_its_branches_and_writes_one_map() -> None:
    main = Sequence(name="main", layers=(Activation(name="act", kind="gelu"),))
    merge = Parallel(name="sum", branches=(main, Sequence(name="shortcut", layers=())), combine="add")
    work, _ = work_of((merge,), (8, 4, 4))
    assert work == {"other activation": Work(1, 0, 2 * prod((8, 4, 4)), 0), "add": Work(1, 0, 3 * prod((8, 4, 4)), 0)}


def test_kinds_tell_apart_what_a_machine_computes_in_other_ways() -> None:
    same = Conv(name="c", in_channels=32, out_channels=32, kernel=3, padding=(1, 1))
    kinds = [
        kind_of(same),
        kind_of(Conv(name="c", in_channels=32, out_channels=32, kernel=3, groups=32)),
        kind_of(Conv(name="c", in_channels=32, out_channels=32, kernel=3, groups=32, dilation=2)),
        kind_of(Conv(name="c", in_channels=32, out_channels=32, kernel=3, groups=4)),
        kind_of(Conv(name="c", in_channels=32, out_channels=32, kernel=3, stride=2)),
        kind_of(Conv(name="c", in_channels=32, out_channels=32, kernel=7)),
        kind_of(Conv(name="c", in_channels=3, out_channels=32, kernel=3)),
        kind_of(Conv(name="c", in_channels=32, out_channels=32, kernel=3, symmetry="pairs")),
    ]
    assert len(set(kinds)) == len(kinds)
