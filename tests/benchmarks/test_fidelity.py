"""Which cheap training ranks as the whole one does: designs that keep the limits, correlation and noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from archsearch.analysis.check import check_design
from archsearch.analysis.limits import decode_limits
from archsearch.cli.compose import compose_tree
from archsearch.design.spec import decode_design


@pytest.fixture
def fidelity(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("fidelity")


def test_designs_are_distinct_keep_the_limits_and_are_the_same_again(fidelity: ModuleType) -> None:
    small = ["constraints.macs={below: 9000000}"]
    designs = list(fidelity.random_designs("cifar", 0, 3, small))
    found: set[str] = set()
    for overrides in designs:
        tree, blocks = compose_tree(["experiment=brisk", "arch=c1c2c3c4", "data=shapes", *small, *overrides])
        checked = check_design(decode_design(tree["arch"], blocks), decode_limits(tree["constraints"]), blocks)
        assert checked.kept
        assert checked.footprint.macs < 9_000_000
        found.add(checked.design_id)
    assert len(found) == 3
    assert list(fidelity.random_designs("cifar", 0, 2, small)) == designs[:2]


def test_costs_correlation_and_noise_are_printed_and_nothing_is_trained_twice(
    fidelity: ModuleType,
    trained: list[dict[str, str]],
    images: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def designs(space: str, seed: int, count: int, overrides: list[str]) -> list[list[str]]:
        return [[f"arch.stages.c1.width={16 + 8 * number}"] for number in range(count)]

    def of_width(overrides: dict[str, str]) -> float:
        order = [1, 2, 4, 3] if overrides["train.epochs"] == "2" else [1, 2, 3, 4]
        return order[int(overrides["arch.stages.c1.width"]) // 8 - 2] / 10 + int(overrides["seed"]) / 100

    trainings = __import__("_trainings")
    run = trainings.Training.run

    def with_accuracy(training: object) -> dict[str, object]:
        return {**run(training), "accuracy": {"validation": of_width(trained[-1])}}

    monkeypatch.setattr(fidelity, "random_designs", designs)
    monkeypatch.setattr(trainings.Training, "run", with_accuracy)
    command = ["--root", str(images), "--designs", "4", "--only", "2 epochs", "10 epochs", "--noise", "3"]
    assert fidelity.main(command) == 0
    table = capsys.readouterr().out
    assert len(trained) == 4 * 2 + 2 * 2
    assert "| 2 epochs | 4 | 2.5 | 0.24 | 0.80 | - |" in table
    assert "| 10 epochs | 4 | 10.5 | 1.00 | 1.00 | - |" in table
    assert "| 2 epochs | 3 | 11.00 | 1.00 |" in table
    assert fidelity.main(command) == 0
    assert len(trained) == 12
    assert capsys.readouterr().out == table


def test_a_space_varies_its_own_network(fidelity: ModuleType) -> None:
    assert fidelity.arch_of("brisk") == "brisk"
    assert fidelity.arch_of("cifar") == "c1c2c3c4"
