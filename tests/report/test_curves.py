from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from archsearch.errors import SpecError, StorageError
from archsearch.report import curves
from archsearch.report.curves import draw_curves
from archsearch.training.result import EpochRecord


def history(epochs: int, every: int = 1) -> list[EpochRecord]:
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


def xs(line: Line2D) -> list[float]:
    return np.asarray(line.get_xdata()).tolist()


def ys(line: Line2D) -> list[float]:
    return np.asarray(line.get_ydata()).tolist()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    monkeypatch.setattr(curves, "write_picture", lambda figure, file, *, dpi: figures.append(figure))
    return figures


def test_losses_and_accuracies_are_drawn_at_their_epochs(drawn: list[Figure]) -> None:
    draw_curves(history(6, every=2), Path("a.png"), title="net on shapes")
    loss, accuracy = drawn[0].axes
    assert xs(loss.lines[0]) == [1, 2, 3, 4, 5, 6]
    assert xs(loss.lines[1]) == [2, 4, 6]
    assert ys(loss.lines[1]) == pytest.approx([1.5, 0.75, 0.5])
    assert ys(accuracy.lines[0])[:2] == pytest.approx([50, 100 * 2 / 3])
    assert accuracy.get_title(loc="right") == "best held out 71.7 %, epoch 6"
    assert drawn[0].texts[0].get_text() == "net on shapes"
    assert loss.lines[0].get_linestyle() != loss.lines[1].get_linestyle(), "told apart without colour"


@pytest.mark.parametrize(("epochs", "every"), [(0, 1), (1, 1), (3, 9)])
def test_short_histories_are_drawn(drawn: list[Figure], epochs: int, every: int) -> None:
    draw_curves(history(epochs, every), Path("a.png"), title="t")
    _, accuracy = drawn[0].axes
    assert len(xs(accuracy.lines[0])) == epochs
    assert bool(accuracy.get_title(loc="right")) == (epochs >= every)


def test_a_png_is_written(tmp_path: Path) -> None:
    draw_curves(history(5), tmp_path / "run" / "curves.png", title="t")
    content = (tmp_path / "run" / "curves.png").read_bytes()
    assert struct.unpack(">II", content[16:24]) == (1200, 504)


def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"Use one of \.png"):
        draw_curves(history(2), tmp_path / "curves.bmp", title="t")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"curves\.png: the picture cannot be written"):
        draw_curves(history(2), tmp_path / "file" / "curves.png", title="t")
