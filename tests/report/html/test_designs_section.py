from __future__ import annotations

from collections.abc import Callable

import pytest
from study_fakes import make_study, make_trial, odd

from archsearch.report.html.sections import conditions_section, designs_section, trials_section
from archsearch.search.reproduce import command_again
from archsearch.search.storage.read import StudyRead


def test_the_best_are_drawn_with_their_limits_files_and_command(searched: Callable[..., StudyRead]) -> None:
    study = searched(60)
    found = designs_section(study)
    assert found.count("<article") == 3
    assert found.count("<pattern") == 5, "once on the page"
    for trial in study.ranked()[:3]:
        assert f'id="design-{trial.number}"' in found
        assert str(trial.attrs["run_dir"]) in found
        assert str(command_again(study, trial)) in found
    assert "✓ kept" in found
    assert "required 44 px" in found


def test_of_several_objectives_the_ends_of_the_front_are_drawn(searched: Callable[..., StudyRead]) -> None:
    study = searched(60, several=True)
    found = designs_section(study)
    there = [trial for trial in study.ranked() if trial.number in study.front()]
    assert 'id="designs"' in found
    assert f'id="design-{there[0].number}"' in found
    assert f'id="design-{there[-1].number}"' in found
    assert found.count("<article") <= 5


def test_a_trial_without_its_design_has_no_drawing() -> None:
    found = designs_section(make_study([make_trial(0, values=(0.5,))]))
    assert "the design is not recorded" in found
    assert "<svg" not in found


def test_conditions_have_limits_versions_and_hardware(searched: Callable[..., StudyRead]) -> None:
    found = conditions_section(searched(60), {"archsearch": "9.9"})
    for text in ("below 200 000", "NVIDIA H100 80GB HBM3", "2.14.0", "9.9", "5f0c2b9d11aa73e4", "(maximized)"):
        assert text in found
    assert "<code>arch.width</code></th><td><code>fit</code>" in found, "all trials share it"


def test_what_differs_between_trials_is_counted() -> None:
    trials = [make_trial(i, attrs={"device": "ab"[i > 0], "versions": {"torch": f"2.{i}"}}) for i in range(3)]
    found = conditions_section(make_study(trials), {})
    assert "b (2 trials), a (1 trial)" in found
    assert "2.0, 2.1, 2.2" in found


def test_every_trial_has_its_row_and_many_are_cut(searched: Callable[..., StudyRead]) -> None:
    study = searched(60)
    found = trials_section(study)
    assert all(f'<tr id="trial-{trial.number}">' in found for trial in study.trials)
    assert "cut" not in found
    many = make_study([make_trial(i, values=(i / 1e3,)) for i in range(900)])
    assert (
        "The table is cut: 400 of 900 trials, the best first. Commands are given for the best 100."
        in trials_section(many)
    )


@pytest.mark.parametrize("name", odd())
def test_odd_studies_are_listed(name: str) -> None:
    study = odd()[name]
    for found in (designs_section(study), conditions_section(study, {}), trials_section(study)):
        assert found.startswith("<section")
