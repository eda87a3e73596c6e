from __future__ import annotations

import pytest
from study_fakes import make_study, make_trial, odd

from archsearch.report.study_words import cell, distinct, duration, listed, phrase, said, sentences
from archsearch.search.explain import explain


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.1234, "0.12 s"),
        (38, "38 s"),
        (99.6, "1 min 40 s"),
        (720, "12 min"),
        (7 * 3600 + 60, "7 h 1 min"),
        (30 * 86400, "30 d"),
        (float("nan"), "–"),
        (None, "–"),
    ],
)
def test_times_have_two_units(seconds: float | None, text: str) -> None:
    assert plain(duration(seconds)) == text


def test_values_have_their_units() -> None:
    assert plain(said("accuracy", 0.86123)) == "86.12 %"
    assert plain(said("parameters", 152340.0)) == "152 340 parameters"
    assert cell("macs", 1000) == "1\N{NO-BREAK SPACE}000"
    assert plain(phrase("macs", 1000)) == "1 000 MACs"
    assert plain(phrase("accuracy", 0.5)) == "held-out accuracy 50.00 %"
    assert cell("accuracy", "much") == said("loss", float("inf")) == "–"


def test_lists_are_read_aloud() -> None:
    assert [listed(each) for each in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["", "a", "a and b", "a, b and c"]
    assert distinct(["b", None, "a", "a", ""]) == ["a", "b"]


def test_a_study_is_summed_up() -> None:
    footprint = {"parameters": 1000, "macs": 2000, "receptive_field": 45}
    attrs = {**footprint, "seconds": 30.0, "device": "cpu", "test_accuracy": 0.6}
    refused = {"screened": {"proposed": 10, "feasible": 4, "by_limit": {"parameters": 6}}}
    trials = [
        make_trial(0, values=(0.5,), attrs=attrs),
        make_trial(1, "pruned", history={1: 0.25}),
        make_trial(2, "infeasible", attrs=refused),
        make_trial(3, "running"),
    ]
    study = make_study(trials)
    assert plain(" ".join(sentences(study, explain(study)))) == (
        "2 designs were trained: 1 to the end and 1 stopped early. Besides, 1 running. "
        "The best is trial 0: held-out accuracy 50.00 % with 1 000 parameters, 2 000 MACs "
        "and a receptive field of 45 px. "
        "Its accuracy on the test set is 60.00 %. Training took 30 s in all, 30 s a design on cpu. "
        "6 of 10 proposals (60 %) were refused before training, most by parameters 6. "
        "What was stopped early stood at most at 25.00 %."
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
    text = plain(" ".join(sentences(study, explain(study))))
    assert "2 designs form the Pareto front" in text
    assert "the best of it: held-out accuracy 90.00 % (trial 0) and 100 MACs (trial 1)." in text
