from __future__ import annotations

import pytest
from study_fakes import make_study, make_trial, odd

from archsearch.report.summary import compared_text, distinct, last_activity, listed, sentences
from archsearch.report.vocabulary import INFEASIBLE
from archsearch.search.explain import explain


def test_lists_end_with_and() -> None:
    assert [listed(each) for each in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert distinct(["b", None, "a", "a", ""]) == ["a", "b"]


def test_a_study_is_summed_up() -> None:
    footprint = {"parameters": 1000, "macs": 2000, "receptive_field": 45}
    attrs = {**footprint, "seconds": 30.0, "device": "cpu", "test_accuracy": 0.6}
    infeasible = {"screened": {"proposed": 10, "feasible": 4, "by_limit": {"parameters": 6}}}
    trials = [
        make_trial(0, values=(0.5,), attrs=attrs),
        make_trial(1, "pruned", history={1: 0.25}),
        make_trial(2, INFEASIBLE, attrs=infeasible),
        make_trial(3, "running"),
    ]
    study = make_study(trials)
    assert " ".join(sentences(study, explain(study))) == (
        "2 designs were trained: 1 to the end and 1 stopped early. In addition, 1 running. "
        "The best is trial 0: validation accuracy 50.00 % with 1 000 parameters, 2 000 MACs "
        "and a receptive field of 45 px. "
        "Its accuracy on the test set is 60.00 %. Training took 30 s in total, 30 s per design on cpu. "
        "6 of 10 proposals (60 %) were infeasible, most often by parameters 6. "
        "The highest accuracy of a pruned trial was 25.00 %."
    )


@pytest.mark.parametrize("name", odd())
def test_every_odd_study_has_its_sentences(name: str) -> None:
    study = odd()[name]
    found = sentences(study, explain(study))
    assert found
    assert all(text.endswith(".") and "nan" not in text.split() for text in found)


def test_several_objectives_have_the_ends_of_the_front() -> None:
    study = make_study(
        [make_trial(0, values=(0.9, 500.0)), make_trial(1, values=(0.8, 100.0)), make_trial(2, values=(0.7, 200.0))],
        objectives=("accuracy", "macs"),
        directions=("maximize", "minimize"),
    )
    text = " ".join(sentences(study, explain(study)))
    assert "2 designs form the Pareto front" in text
    assert "its best values are validation accuracy 90.00 % (trial 0) and 100 MACs (trial 1)." in text
    assert last_activity(study) is None


def test_trainings_of_fewer_epochs_are_named_and_not_the_best() -> None:
    trials = [
        make_trial(0, values=(0.9,), attrs={"rung": 2}),
        make_trial(1, values=(0.5,), attrs={"rung": 4}),
        make_trial(2, values=(0.6,), attrs={"rung": 2}),
    ]
    text = " ".join(sentences(make_study(trials), explain(make_study(trials))))
    assert text.startswith("3 trials were trained: 3 to the end. They were promoted by rungs:")
    assert "They were promoted by rungs: 2 for 2 and 1 for 4 epochs, none for all epochs yet." in text
    assert "The best is trial 1: validation accuracy 50.00 %" in text
    assert "rungs" not in " ".join(sentences(make_study(trials[:0]), explain(make_study(trials[:0]))))


def test_the_trials_of_which_importance_is_computed_are_named() -> None:
    short = [make_trial(number, values=(0.5,), attrs={"rung": 3}) for number in (0, 1)]
    whole = [make_trial(number, values=(0.9,)) for number in (2, 3, 4)]
    assert compared_text(make_study(whole)) == "complete trials"
    assert compared_text(make_study([*short, *whole])) == "trials of all epochs"
    assert compared_text(make_study([*short, whole[0]])) == "trials of 3 epochs"
    assert compared_text(make_study([make_trial(0, "running", attrs={"rung": 3})])) == "trials of all epochs"
