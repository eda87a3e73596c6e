"""`study.enqueue`: what a mapping stands for, and what is refused before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from archsearch.cli.compose import Composer
from archsearch.errors import SpecError
from archsearch.search.space import Choice, Range, Space
from hydra_plugins.archsearch_sweeper._enqueued import enqueued_points

SPACE = Space(
    parameters={
        "arch.stages.c1.block": Choice(options=("normal", "depthwise", "inverted")),
        "arch.stages.c1.width": Range(low=16, high=64, integer=True, step=16),
        "arch.stages.c1.kernel": Choice(options=(3, 5)),
        "arch.stages.c1.expand": Choice(options=(2, 4)),
        "train.label_smoothing": Choice(options=(0.05, 0.1)),
    }
)


@pytest.fixture(scope="module")
def composer() -> Composer:
    return Composer(("arch=brisk", "data=shapes", "train.label_smoothing=0.05"))


def point(given: Mapping[str, Any], composer: Composer, space: Space = SPACE) -> dict[str, Any]:
    (found,) = enqueued_points([given], space, {}, composer)
    return dict(found)


def test_what_is_left_out_comes_from_the_configuration(composer: Composer) -> None:
    own = {"arch.stages.c1.block": "normal", "arch.stages.c1.width": 32, "arch.stages.c1.kernel": 3}
    rest = {"arch.stages.c1.expand": 2, "train.label_smoothing": 0.05}
    assert point({}, composer) == {**own, **rest}  # `kernel` is the default of the block, which has no `expand`
    changed = {"arch.stages.c1.block": "inverted", "arch.stages.c1.expand": 4}
    assert point(changed, composer) == {**own, **rest, **changed}


def test_the_options_of_the_network_come_before_those_of_the_block(composer: Composer) -> None:
    acts = Space(parameters={"arch.stages.c1.act": Choice(options=("relu", "hardswish"))})
    assert point({}, composer, acts) == {"arch.stages.c1.act": "hardswish"}
    shared = Space(parameters={"arch.options.act": Choice(options=("relu", "hardswish"))})
    assert point({}, composer, shared) == {"arch.options.act": "hardswish"}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"arch.stages.c1.widht": 32}, r"study.enqueue\[0\].arch.stages.c1.widht: the search does not vary this key"),
        ({"arch.stages.c1.width": 40}, r"study.enqueue\[0\].arch.stages.c1.width: 40 is no value of the space"),
        ({"arch.stages.c1.block": "dilated"}, "no value of the space"),
    ],
)
def test_an_error_names_the_key(given: dict[str, Any], message: str, composer: Composer) -> None:
    with pytest.raises(SpecError, match=message):
        point(given, composer)


def test_a_value_of_the_configuration_outside_of_the_space_is_named(composer: Composer) -> None:
    narrow = Space(parameters={"arch.stages.c1.width": Choice(options=(48, 64))})
    with pytest.raises(SpecError, match="width: the configuration has 32, which is no value of the space"):
        point({}, composer, narrow)
    groups = Space(parameters={"arch": Choice(options=("brisk", "c1c2c3c4"))})
    assert point({"arch": "c1c2c3c4"}, composer, groups) == {"arch": "c1c2c3c4"}
    with pytest.raises(SpecError, match="arch: has no single value in the configuration"):
        point({}, composer, groups)
