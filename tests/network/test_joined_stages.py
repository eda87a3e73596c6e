"""Stages that concatenate the output of an earlier stage (`from`), as a U-shaped network does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from archsearch.analysis.check import check_design
from archsearch.analysis.limits import Bound, Limits
from archsearch.analysis.measure import measure, measure_design, stage_of
from archsearch.config_files import block_lookup, config_folder
from archsearch.design.lower import lower
from archsearch.design.plan import design_id
from archsearch.design.spec import DesignSpec, decode_design, no_blocks, self_contained
from archsearch.errors import SpecError
from archsearch.network.assemble import assemble
from archsearch.report.designs import boxes, stage_costs

PLAIN = {"options": {"stride": 1, "dilation": 1}, "layers": [{"conv": {"stride": "stride", "dilation": "dilation"}}]}
STAGES: dict[str, dict[str, Any]] = {
    "one": {"width": 8},
    "two": {"width": 12},
    "deep": {"width": 16, "dilation": 2, "repeats": 2},
    "up": {"width": 12, "from": "two"},
    "top": {"width": 8, "from": "one"},
    "last": {"width": 16, "stride": 2},
}


def design(stages: dict[str, dict[str, Any]] = STAGES, **changes: Any) -> DesignSpec:
    made = {name: {"block": PLAIN, **stage} for name, stage in stages.items()}
    return decode_design({"stages": made, "input": [3, 16, 16], "head": {"classes": 4}, **changes}, no_blocks)


def test_the_network_is_the_one_that_torch_concatenates() -> None:
    plan = lower(design())
    network = assemble(plan).eval()
    weights = {name.removeprefix("stages."): value for name, value in network.state_dict().items()}

    def conv(name: str, images: torch.Tensor, dilation: int = 1) -> torch.Tensor:
        key = next(key for key in weights if f".{name}.conv." in f".{key}")
        return functional.conv2d(images, weights[key], padding=dilation, dilation=dilation)

    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    one = conv("one.0", images)
    two = conv("two.0", one)
    deep = conv("deep.1", conv("deep.0", two, dilation=2), dilation=2)
    top = conv("top.0", torch.cat([conv("up.0", torch.cat([deep, two], 1)), one], 1))
    last = functional.conv2d(functional.pad(top, (1, 1, 1, 1)), weights["last.0.conv.weight"], stride=2)
    logits = last.mean((2, 3)) @ weights["head.linear.weight"].T + weights["head.linear.bias"]
    with torch.no_grad():
        assert torch.allclose(network(images), logits, atol=1e-5)
    footprint = measure(plan)
    assert footprint.parameters == sum(one.numel() for one in network.parameters())
    assert footprint.receptive_field == 1 + 2 * (1 + 1 + 2 + 2 + 1 + 1 + 1)


def test_the_paths_name_the_stage_of_a_layer() -> None:
    rows = measure(lower(design())).layers
    deep = next(row.name for row in rows if ".deep.0." in row.name)
    assert deep == "stages.top.concat.main.up.concat.main.deep.0.conv"
    assert list(dict.fromkeys(stage_of(row.name) for row in rows)) == [
        *("one", "two", "deep", "up", "top", "last"),
        "head",
    ]
    plan = lower(design())
    assert [box.stage for box in boxes(plan)] == ["one", "two", "deep", "deep", "up", "top", "last", "head", "head"]
    assert sum(parameters for parameters, _ in stage_costs(measure(plan)).values()) == measure(plan).parameters


def test_a_runs_design_is_the_same_network() -> None:
    given = design()
    again = decode_design(self_contained(given), no_blocks)
    assert design_id(lower(again)) == design_id(lower(given))
    assert measure_design(given, lower(given)) == measure(lower(given))


def test_width_fit_and_fixes_work_on_it() -> None:
    limits = Limits(parameters=Bound(below=20_000), receptive_field=Bound(above=30))
    checked = check_design(design(width="fit", divisor=4), limits, block_lookup([config_folder()]))
    assert checked.design.width != "fit"
    assert 10_000 < checked.footprint.parameters < 20_000
    assert [margin.limit for margin in checked.margins if not margin.kept] == ["receptive_field"]
    (broken,) = (margin for margin in checked.margins if not margin.kept)
    assert any("gives 31 px" in fix for fix in broken.fixes), broken


def test_pairs_stay_pairs() -> None:
    flipped = design({**STAGES, "last": {"width": 16}}, symmetry="flip")  # a stride on an even map has a side
    network = assemble(lower(flipped)).eval()
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(network(images), network(images.flip(3)), atol=1e-5)


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            {**STAGES, "up": {"width": 8, "from": "twoo"}},
            r"^arch\.stages\.up\.from: there is no stage 'twoo' before 'up'\. Did you mean 'two'\?$",
        ),
        (
            {"one": {"width": 8, "from": "two"}, "two": {"width": 8}},
            r"^arch\.stages\.one\.from: there is no stage 'two' before 'one'",
        ),
        (
            {**STAGES, "up": {"width": 8, "from": "deep"}},
            r"^arch\.stages\.up\.from: 'deep' is the stage before it\. Name an earlier one, or leave it out\.$",
        ),
        (
            {**STAGES, "up": {"width": 8, "from": "one"}, "top": {"width": 8, "from": "two"}},
            r"^arch\.stages\.top\.from: 'two' lies between a later stage and .* Concatenate in reverse order",
        ),
        ({**STAGES, "up": {"width": 8, "from": 3}}, r"^arch\.stages\.up\.from: must be a string, got 3"),
        (
            {**STAGES, "deep": {"width": 8, "stride": 2}},
            r"branches 'main' \(8 x 8 x 8\) and 'skip' \(12 x 16 x 16\) cannot be concatenated",
        ),
    ],
)
def test_what_cannot_be_concatenated_is_named(stages: dict[str, dict[str, Any]], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        measure(lower(design(stages)))


def test_a_stem_has_no_origin() -> None:
    with pytest.raises(SpecError, match=r"^arch\.stem: the stem is one block"):
        design(stem={"block": PLAIN, "out": 8, "from": "one"})
