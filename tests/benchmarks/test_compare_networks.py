"""The comparison at equal time: epochs by the measured speed, nothing trained twice, the best first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

Trained = list[dict[str, str]]


@pytest.fixture
def compare(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("compare_networks")


def test_epochs_fill_the_budget_and_a_second_command_trains_nothing(
    compare: ModuleType, trained: Trained, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--root", str(images), "--only", "resnet8", "tiniest", "--seeds", "0", "1", "--budget", "2"]
    assert compare.main([*command, "--own", "--probe", "20"]) == 0
    table = capsys.readouterr().out
    # B is 10.5 s; a probe has 20 images of 100 in 0.2 s, and half a second beside them: 20 epochs fit into 2 B.
    found = [(one["arch"], one["train.epochs"], one.get("data.limit_train"), one["seed"]) for one in trained]
    assert found[:2] == [("brisk", "10", None, "0"), ("brisk", "10", None, "1")]
    for arch in ("tiniest", "resnet8"):
        assert found.count((arch, "1", "20", "0")) == 2, "by both recipes"
        assert [one for one in found if one[0] == arch and one[2] is None] == 2 * [
            (arch, "20", None, "0"), (arch, "20", None, "1")
        ]  # fmt: skip
    assert all(one["data.validation"] == "0" for one in trained)
    assert "| tiniest | own | 20 | 2 |" in table
    assert table.index("| resnet8 | brisk | 20 | 2 |") < table.index("| brisk | brisk | 10 | 2 |")
    assert "1.95 | receptive_field" in table, "seconds in B, and the limits that the design breaks"
    before = len(trained)
    assert compare.main([*command, "--own", "--probe", "20"]) == 0
    assert len(trained) == before
    assert capsys.readouterr().out.endswith(table[table.index("\n| network") :])
    assert compare.main([*command[:-4], "0", "1", "2", "--epochs", "3"]) == 0
    assert [one["train.epochs"] for one in trained[before:]] == ["10", "3", "3", "3", "3", "3", "3"]


def test_designs_of_files_and_overrides(compare: ModuleType, trained: Trained, images: Path) -> None:
    Path("found_1.yaml").write_text("stages: {c1: {block: normal, width: 8}}\nhead: {classes: 2}\n")
    command = ["--root", str(images), "--designs", "found_1.yaml", "--only", "found_1", "--seeds", "0", "--epochs", "4"]
    assert compare.main([*command, "train.batch_size=8"]) == 0
    assert [one["arch"] for one in trained] == ["brisk", f"'{Path('found_1.yaml').resolve()}'"]
    assert all(one["train.batch_size"] == "8" for one in trained)
    known = "brisk, found, found_full_resolution, c1c2c3c4, assignment"
    with pytest.raises(SystemExit, match=f"--only: unknown resnet9. Known: {known}"):
        compare.main(["--root", str(images), "--only", "resnet9"])


def test_every_network_is_a_shipped_one(compare: ModuleType) -> None:
    from archsearch.cli.compose import compose_tree

    for entry in compare.NETWORKS:
        for recipe in ((), entry.own):
            overrides = [one for one in recipe if "experiment=" not in one]
            experiment = next((one for one in recipe if "experiment=" in one), "experiment=brisk")
            tree, _ = compose_tree([experiment, "constraints=none", "data=shapes", *overrides, *entry.design])
            assert tree["arch"]["name"]
