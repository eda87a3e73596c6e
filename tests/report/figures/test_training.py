"""The figures of trainings: loss and accuracy over the epochs, and two trials in one chart."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from trial_fakes import mixed, odd

from archsearch.errors import SpecError, StorageError
from archsearch.report.figures.charts import Chart, legend
from archsearch.report.figures.drawing import LOOKS
from archsearch.report.figures.study import comparison_figure, draw_comparison, draw_training, training_figure
from archsearch.training.result import EpochRecord


def records(epochs: int, every: int = 1) -> list[EpochRecord]:
    return [
        EpochRecord(
            epoch=epoch,
            learning_rate=0.1,
            train_loss=2 / epoch,
            train_accuracy=1 - 1 / (epoch + 1),
            validation_loss=3 / epoch if epoch % every == 0 else None,
            validation_accuracy=0.8 - 0.5 / epoch if epoch % every == 0 else None,
            seconds=1.0,
            images_per_second=10.0,
        )
        for epoch in range(1, epochs + 1)
    ]


def panels(epochs: int, every: int = 1) -> tuple[Chart, Chart]:
    loss, accuracy = training_figure(records(epochs, every), "net on shapes").panels
    assert isinstance(loss, Chart)
    assert isinstance(accuracy, Chart)
    return loss, accuracy


def test_losses_and_accuracies_are_drawn_at_their_epochs() -> None:
    loss, accuracy = panels(6, every=2)
    assert [x for x, _ in loss.curves[0].points] == [1, 2, 3, 4, 5, 6]
    assert loss.curves[1].points == ((2, 1.5), (4, 0.75), (6, 0.5))
    assert [y for _, y in accuracy.curves[0].points][:2] == pytest.approx([0.5, 2 / 3])
    assert accuracy.notes == ("Best validation accuracy 71.7 %, in epoch 6.",)
    assert [key.text for key in legend(loss)] == ["training (augmented)", "validation"]
    assert (loss.y.label, accuracy.y.label) == ("Cross entropy", "Accuracy")
    first, second = (LOOKS[curve.look] for curve in loss.curves)
    assert first.dash != second.dash, "no colour is needed"


def test_a_loss_that_was_not_measured_leaves_a_gap() -> None:
    some = records(5)
    some[2] = replace(some[2], validation_loss=None)
    loss, _ = training_figure(some, "t").panels
    assert isinstance(loss, Chart)
    assert [len(curve.points) for curve in loss.curves] == [5, 2, 2]
    assert len(loss.points[1].data) == 4


def test_a_loss_that_diverged_leaves_a_gap(tmp_path: Path) -> None:
    some = records(4)
    some[3] = replace(some[3], train_loss=float("nan"), validation_loss=float("inf"))
    loss, _ = training_figure(some, "t").panels
    assert isinstance(loss, Chart)
    assert (loss.y.holds(2.0), loss.y.high) == (True, pytest.approx(3.14))
    draw_training(some, tmp_path / "curves.png", title="t")


@pytest.mark.parametrize(("epochs", "every"), [(0, 1), (1, 1), (3, 9), (41, 1)])
def test_short_and_long_histories_are_drawn(epochs: int, every: int, tmp_path: Path) -> None:
    _, accuracy = panels(epochs, every)
    assert len(accuracy.curves[0].points) == epochs
    assert bool(accuracy.notes) == (epochs >= every)
    assert bool(accuracy.points) == (0 < epochs <= 40)
    draw_training(records(epochs, every), tmp_path / "curves.svg", title="t")


def test_a_png_is_written(tmp_path: Path) -> None:
    draw_training(records(5), tmp_path / "run" / "curves.png", title="t")
    content = (tmp_path / "run" / "curves.png").read_bytes()
    assert struct.unpack(">I", content[16:20]) == (1388,)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"Use one of \.png"):
        draw_training(records(2), tmp_path / "curves.bmp", title="t")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"curves\.png: the picture cannot be written"):
        draw_training(records(2), tmp_path / "file" / "curves.png", title="t")


@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_both_curves_are_in_one_picture(ending: str) -> None:
    one = replace(mixed(), name="a $name$ [b]")
    file = Path("new", f"curves{ending}")
    draw_comparison(one, one.trials[:2], file)
    assert file.read_bytes().startswith(b"\x89PNG" if ending == ".png" else b"<?xml")
    figure = comparison_figure(one, one.trials[:2])
    [chart] = figure.panels
    assert isinstance(chart, Chart)
    assert figure.title == "Trials 0 and 1 of a $name$ [b]"
    assert [curve.points for curve in chart.curves] == [((1, 0.25), (2, 0.5)), ((1, 0.375), (2, 0.75))]
    assert [key.text for key in legend(chart)] == [
        "trial 0 (complete, last 50.00 %)",
        "trial 1 (complete, last 75.00 %)",
    ]


def test_without_curves_there_is_no_picture() -> None:
    one = odd()
    with pytest.raises(SpecError, match="--plot: neither trial has recorded a learning curve"):
        draw_comparison(one, one.trials[:2], Path("x.png"))
    with pytest.raises(SpecError, match="is not a picture format"):
        draw_comparison(mixed(), mixed().trials[:2], Path("x.docx"))
    assert not list(Path().iterdir())
