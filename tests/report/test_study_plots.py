from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from study_fakes import hostile, make_study, odd

from archsearch.errors import SpecError
from archsearch.report import study_plots
from archsearch.report.study_plots import draw_study
from archsearch.search.storage.read import StudyRead


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    monkeypatch.setattr(study_plots, "write_picture", lambda figure, file, *, dpi: figures.update({file.stem: figure}))
    return figures


def test_every_picture_is_written_in_every_format(searched: Callable[..., StudyRead], tmp_path: Path) -> None:
    files = draw_study(searched(60), tmp_path / "pictures", ["png", "svg"], importances={"a.b": 1.0})
    names = [f"{name}.{each}" for name in ("history", "pareto", "importance", "curves") for each in ("png", "svg")]
    assert [file.name for file in files] == names
    assert all(file.stat().st_size > 5000 for file in files)
    assert files[0].read_bytes().startswith(b"\x89PNG")


def test_the_pictures_show_the_trials(searched: Callable[..., StudyRead], drawn: dict[str, Figure]) -> None:
    study = searched(60)
    draw_study(study, Path(), ["png"], importances={"arch.stages.c1.width": 0.75, "b": 0.25})
    complete = sum(trial.state == "complete" for trial in study.trials)
    parameters, macs = drawn["pareto"].axes
    for axes in (parameters, macs):
        marked = {each.get_label(): len(np.asarray(each.get_offsets())) for each in axes.collections}
        assert marked["complete"] + marked["on the front"] == complete
    assert parameters.get_xscale() == "log"
    assert [text.get_text() for text in drawn["importance"].axes[0].texts] == ["b", "25.0 %", "c1.width", "75.0 %"]
    legend = drawn["curves"].axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [f"trial {one.number}" for one in study.ranked()[:5]]
    course = drawn["history"].axes[0]
    assert {"refused before training", "best so far"} <= {each.get_label() for each in course.collections}


def test_of_several_objectives_each_has_its_course(
    searched: Callable[..., StudyRead], drawn: dict[str, Figure]
) -> None:
    draw_study(searched(60, several=True), Path(), ["svg"], importances={})
    assert [axes.get_ylabel() for axes in drawn["history"].axes] == ["Held-out accuracy", "MACs"]
    assert "importance" not in drawn


@pytest.mark.parametrize("name", odd())
def test_odd_studies_are_drawn_as_far_as_they_go(name: str, tmp_path: Path) -> None:
    study = odd()[name]
    files = draw_study(study, tmp_path, ["svg"], importances={})
    assert {file.stem for file in files} <= {"history", "pareto", "curves"}
    assert bool(files) == any(trial.history or trial.values for trial in study.trials if name != "not a number")


def test_names_of_any_letters_are_drawn(tmp_path: Path) -> None:
    draw_study(hostile(), tmp_path, ["png"], importances={"\x00" * 90: 1.0})
    text = make_study(list(odd()["single"].trials), name="研究 $x^2$ " * 9)
    assert len(draw_study(text, tmp_path, ["png"], importances={})) == 3


def test_a_format_that_is_no_picture_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="names no format of a picture"):
        draw_study(odd()["single"], tmp_path / "pictures", ["png", "doc"])
    assert not (tmp_path / "pictures").exists()
