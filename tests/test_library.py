"""The four lines of the README, and what goes wrong in them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from archsearch.config_files import config_folder
from archsearch.errors import SpecError
from archsearch.library import analyse, build, check, load_design

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


def test_a_file_finds_the_blocks_beside_it(tmp_path: Path) -> None:
    (tmp_path / "block").mkdir()
    (tmp_path / "arch").mkdir()
    (tmp_path / "block" / "mine.yaml").write_text("layers: [{conv: {kernel: 7}}]\n")
    (tmp_path / "arch" / "net.yaml").write_text("stages: {c1: {block: mine, width: 8}}\nhead: {classes: 2}\n")
    assert analyse(tmp_path / "arch" / "net.yaml").receptive_field == 7


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(SpecError, match=r"unknown option 'nowhere'. Known: all_dilated, assignment"):
        load_design("nowhere")
    with pytest.raises(SpecError, match="no such file"):
        load_design("nowhere.yaml")
