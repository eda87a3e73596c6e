"""The four lines of the README, and what goes wrong in them."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch

from archsearch.analysis.check import check_design
from archsearch.cli.compose import compose_tree
from archsearch.config_files import ConfigSources, config_folder
from archsearch.errors import SpecError
from archsearch.library import analyse, build, check, from_module, load_design
from archsearch.settings.experiment import decode_experiment

MAPPING = {"name": "tiny", "stages": {"c1": {"block": "normal", "width": 8}}, "head": {"classes": 4}}


def test_a_design_comes_by_name_by_path_and_as_a_mapping() -> None:
    by_name = load_design("c1c2c3c4", block="dilated")
    by_path = load_design(config_folder() / "arch" / "c1c2c3c4.yaml", block="dilated")
    assert analyse(by_name).receptive_field == analyse(by_path).receptive_field == 73
    assert analyse(MAPPING).parameters == 3 * 8 * 9 + 16 + 8 * 4 + 4


def test_check_gives_a_margin_for_every_limit() -> None:
    checked = check("c1c2c3c4")
    assert [margin.kept for margin in checked.margins] == [True] * 6
    (margin,) = check(MAPPING, {"receptive_field": {"above": 44}}).margins
    assert (margin.found, margin.kept) == (3, False)
    assert margin.fixes == ()  # no single change of one layer reaches 45 px


def test_build_gives_a_network_that_seeds_decide() -> None:
    images_BCHW = torch.zeros(2, 3, 32, 32)
    network = build(MAPPING)
    assert network(images_BCHW).shape == (2, 4)
    assert next(iter(network.state_dict())) == "stages.c1.0.conv.weight"
    first = [build(MAPPING, seed=seed).state_dict()["stages.c1.0.conv.weight"] for seed in (0, 0, 1)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


def test_a_network_is_imported_with_its_weights() -> None:
    network = build(MAPPING, seed=3).eval()
    imported = from_module(network, input=(3, 24, 32), name="mine")
    assert (imported.design.name, imported.design.input_shape) == ("mine", (3, 24, 32))
    assert analyse(imported.design).parameters == analyse(MAPPING).parameters == imported.parameters
    again = build(imported.design).eval()
    again.load_state_dict(imported.weights)
    images_BCHW = torch.randn(2, 3, 24, 32)
    assert torch.allclose(again(images_BCHW), network(images_BCHW), atol=1e-6)
    with pytest.raises(SpecError, match="input: must be"):
        from_module(network, input=(3, 0, 32))


def test_a_file_finds_the_blocks_beside_it(tmp_path: Path) -> None:
    (tmp_path / "block").mkdir()
    (tmp_path / "arch").mkdir()
    (tmp_path / "block" / "mine.yaml").write_text("layers: [{conv: {kernel: 7}}]\n")
    (tmp_path / "arch" / "net.yaml").write_text("stages: {c1: {block: mine, width: 8}}\nhead: {classes: 2}\n")
    assert analyse(tmp_path / "arch" / "net.yaml").receptive_field == 7


def test_check_gives_the_fixes_of_the_command_for_blocks_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "block").mkdir()
    (tmp_path / "arch").mkdir()
    block = "options: {kernel: 3, stride: 1}\nlayers: [{conv: {kernel: kernel, stride: stride}}, {norm: batch}]\n"
    (tmp_path / "block" / "two-scales.yaml").write_text(block)
    stages = "{c1: {block: two-scales, width: 8, repeats: 9}, c2: {block: two-scales, width: 8, stride: 2}}"
    (tmp_path / "arch" / "net.yaml").write_text(f"stages: {stages}\nhead: {{classes: 10}}\n")
    limits = {"receptive_field": {"above": 44}, "parameters": {"below": 4000}}
    tree, blocks = compose_tree(["arch=net", "constraints=none"], ConfigSources(folders=(str(tmp_path),)))
    experiment = decode_experiment({**tree, "constraints": limits}, blocks)
    command = check_design(experiment.design, experiment.limits, blocks)
    for source in (tmp_path / "arch" / "net.yaml", load_design(tmp_path / "arch" / "net.yaml")):
        found = check(source, limits)
        assert [margin.fixes for margin in found.margins] == [margin.fixes for margin in command.margins]
    assert all(len(margin.fixes) > 0 for margin in command.margins)


@pytest.mark.parametrize("stages", ["itself", "deep", "wide", "huge", "interpolations", "doubling"])
def test_a_mapping_that_no_file_could_hold_is_an_error(stages: str) -> None:
    itself: dict[str, Any] = {"block": "normal", "width": 8}
    itself["x"] = itself
    raw: dict[str, Any] = {
        "itself": {"c1": itself},
        "deep": functools.reduce(lambda inner, _: {"a": inner}, range(100), {}),
        "wide": {f"c{index}": {"block": "normal", "width": 8} for index in range(5000)},
        "interpolations": {f"c{index}": "${data.classes}" for index in range(300)},
        "doubling": {
            f"c{index}": {"a": f"${{arch.stages.c{index + 1}}}", "b": f"${{arch.stages.c{index + 1}}}"}
            for index in range(20)
        }
        | {"c20": {}},
        "huge": {"c1": {"block": "normal", "width": 10**400}},
    }[stages]
    with pytest.raises(SpecError, match=r"levels deep|more than 5000 values|must be at most"):
        load_design({"stages": raw, "head": {"classes": 10}})


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(SpecError, match=r"unknown option 'nowhere'. Known: all_dilated, assignment"):
        load_design("nowhere")
    with pytest.raises(SpecError, match="no such file"):
        load_design("nowhere.yaml")
