"""Studies by name: one per data set and limits, and what cannot be compared never shares one."""

from __future__ import annotations

import pytest
from search_fakes import make_study

from archsearch.errors import SpecError
from archsearch.search.storage.database import Store, open_store
from archsearch.search.storage.study import Study, load_study, open_study, study_names
from archsearch.search.storage.write import Row


def reopen(store: Store, **changes: object) -> Study:
    given = {
        "data": "shapes",
        "fingerprint": "f00d",
        "limits": "tiny",
        "limits_text": {"parameters": {"below": 5}},
        **changes,
    }
    return open_study(store, given.pop("name", None), **given)


def test_the_default_name_says_data_and_limits(store: Store) -> None:
    assert make_study(store).name == "shapes-tiny"
    assert make_study(store, objectives=("accuracy", "macs")).name == "shapes-tiny-accuracy-macs"


def test_other_data_get_a_study_of_their_own_by_default(store: Store) -> None:
    first, other = reopen(store), reopen(store, fingerprint="beef")
    assert other.name.startswith("shapes-tiny-")
    assert reopen(store, fingerprint="beef").study_id == other.study_id
    assert reopen(store).study_id == first.study_id


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fingerprint": "beef"}, "other images"),
        ({"limits_text": {"parameters": {"below": 6}}}, "other limits"),
        ({"objectives": ("accuracy", "macs")}, "other objectives"),
    ],
)
def test_a_named_study_refuses_what_cannot_be_compared(store: Store, changes: dict, said: str) -> None:
    reopen(store, name="mine")
    with pytest.raises(SpecError, match=rf"'mine' has {said}.*study\.name=\.\.\."):
        reopen(store, name="mine", **changes)


def test_a_missing_study_is_named_with_those_there_are(store: Store) -> None:
    reopen(store)
    with pytest.raises(SpecError, match=r"no study 'other' .* Its studies: shapes-tiny"):
        load_study(store, "other")
    assert study_names(store) == ["shapes-tiny"]


@pytest.mark.parametrize("storage", ["outputs/s.db", "journal:outputs/journal.log"])
def test_parameters_of_all_trials_share_a_distribution(storage: str) -> None:
    store = open_store(storage)
    study = reopen(store)
    for params in ({"block": "normal", "n": 3}, {"block": "dilated", "n": 0.5}, {"block": "x", "n": "fit"}):
        study.write([Row(state="complete", params=params, attrs={}, values=(0.5,))])
    trials = load_study(open_store(storage), "shapes-tiny").trials()
    assert [trial.params["block"] for trial in trials] == ["normal", "dilated", "x"]
    assert [trial.params.get("n") for trial in trials] == [3, 0.5, None]
    assert trials[2].user_attrs["assignments"] == {"block": "x", "n": "fit"}
    if storage.endswith(".db"):
        assert len({repr(trial.distributions["block"]) for trial in trials}) == 1
    store.close()


def test_optuna_itself_can_go_on_with_a_study(study: Study) -> None:
    study.write([Row(state="complete", params={"x": 0.25}, attrs={}, values=(0.5,))])
    trial = study.raw.ask()
    study.raw.tell(trial, trial.suggest_float("x", 0, 1))
    assert study.raw.best_trial.number in (0, 1)
    assert len(study.trials()) == 2
