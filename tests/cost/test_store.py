"""Models in the cache: read back, measured again where damaged, written by several processes; finished trainings."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from archsearch.cost import store
from archsearch.cost.model import StepModel
from archsearch.settings.training import OptimizerSettings, TrainSettings


def test_a_model_is_read_as_it_was_written(model: StepModel, cached: Callable[..., Path]) -> None:
    assert store.read_model(cached()) == model


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("1e-09", "2e-09", 1),
        lambda _: "[]",
        lambda _: "[" * 100_000,
        lambda _: '{"model": {"rates": {}}}',
    ],
)
def test_a_damaged_model_is_none_and_a_notice_says_so(
    damage: Callable[[str], str], cached: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    file = cached()
    before = file.read_text()
    file.write_text(damage(before))
    assert file.read_text() != before
    assert store.read_model(file) is None
    assert "the measured step times are damaged" in capsys.readouterr().err
    cached()
    assert store.read_model(file) is not None


def test_a_rate_below_nothing_is_damage(model: StepModel, tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    store.write_model(file, replace(model, rates={"other": (-1.0, 0.0, 0.0, 0.0)}), {})
    assert store.read_model(file) is None


def test_the_name_of_the_file_depends_on_what_the_seconds_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    train, optimizer = TrainSettings(), OptimizerSettings()

    def name(train: TrainSettings, optimizer: OptimizerSettings) -> str:
        return store.model_file("cache", store.conditions_of(train, optimizer)).name

    first = name(train, optimizer)
    assert name(replace(train, epochs=3, batch_size=7, label_smoothing=0.0), optimizer) == first
    others = {
        name(replace(train, threads=1), optimizer),
        name(replace(train, kernels="torch"), optimizer),
        name(replace(train, precision="fp32"), optimizer),
        name(train, OptimizerSettings(name="muon")),
    }
    monkeypatch.setenv("OMP_NUM_THREADS", "57")
    others.add(name(train, optimizer))
    monkeypatch.setattr(store.importlib.metadata, "version", lambda _: "0.0")
    others.add(name(train, optimizer))
    assert len(others) == 6
    assert first not in others


def test_a_folder_that_cannot_be_written_is_no_error(
    model: StepModel, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    store.write_model(tmp_path / "file" / "model.json", model, {})
    store.observe(tmp_path / "file" / "model.json", 1.0, 2.0)
    assert "are not kept" in capsys.readouterr().err


def test_finished_trainings_are_read_in_order_without_damaged_lines(tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    assert store.observed(file) == []
    store.observe(file, 10.0, 20.0)
    lines = ["{", '{"predicted": 0, "seconds": 1}', '{"predicted": 1, "seconds": NaN}', "3", '{"seconds": 1}']
    with file.with_suffix(".trained.jsonl").open("a") as opened:
        opened.write("".join(f"{line}\n" for line in lines))
    store.observe(file, 10.0, 5.0)
    assert store.observed(file) == [2.0, 0.5]


def _write_often(file: str, model: StepModel, times: int) -> None:
    for _ in range(times):
        store.write_model(Path(file), model, {"process": os.getpid()})
        store.observe(Path(file), 1.0, 2.0)


def test_two_processes_write_at_once_and_a_reader_sees_a_whole_model(model: StepModel, tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    store.write_model(file, model, {})
    context = get_context("fork")
    writers = [context.Process(target=_write_often, args=(str(file), model, 40)) for _ in range(2)]
    for writer in writers:
        writer.start()
    seen = 0
    while any(writer.is_alive() for writer in writers):
        assert store.read_model(file) == model
        seen += 1
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert seen
    assert json.loads(file.read_text())["conditions"] != {}
    assert store.observed(file) == [2.0] * 80
