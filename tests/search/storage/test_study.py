"""Studies by name, never shared by incomparable results; trials written whole and read back."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from foreign_studies import make_foreign
from optuna.trial import TrialState
from search_fakes import make_study

from archsearch.analysis.limits import Margin
from archsearch.errors import SpecError, StorageError
from archsearch.search.storage.database import Store, StudyLost, open_store
from archsearch.search.storage.read import excess_of
from archsearch.search.storage.rows import RunRecord, RunState, run_row
from archsearch.search.storage.study import Study, load_study, open_study, study_names
from archsearch.search.storage.write import Row, finish_row, read_attrs


def reopen(store: Store, **changes: object) -> Study:
    given = {
        "data": "shapes",
        "fingerprint": "f00d",
        "limits": "tiny",
        "limits_text": {"parameters": {"below": 5}},
        **changes,
    }
    return open_study(store, given.pop("name", None), **given)


def test_the_default_name_has_data_and_limits(store: Store) -> None:
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
def test_a_named_study_rejects_incomparable_results(store: Store, changes: dict, said: str) -> None:
    reopen(store, name="mine")
    with pytest.raises(SpecError, match=rf"'mine' has {said}.*study\.name=\.\.\."):
        reopen(store, name="mine", **changes)


STORAGES = ["outputs/s.db", "journal:outputs/journal.log"]


def make_killed(storage: str, after: int) -> None:
    """Create a study as earlier versions did, and end before the call number `after`."""
    import optuna

    store = open_store(storage)
    raw = optuna.create_study(storage=store.storage, study_name="mine", direction="maximize")
    calls = [
        lambda: raw.set_metric_names(["accuracy"]),
        lambda: raw.set_user_attr("data", "shapes"),
        lambda: raw.set_user_attr("data_fingerprint", "f00d"),
        lambda: raw.set_user_attr("limits", "tiny"),
    ]
    for call in calls[:after]:
        call()
    store.close()


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("after", [0, 2, 4])
def test_a_study_whose_creation_was_interrupted_is_completed(storage: str, after: int) -> None:
    make_killed(storage, after)
    attrs = reopen(open_store(storage), name="mine", fingerprint="beef").raw.user_attrs
    assert attrs["data_fingerprint"] == "beef"
    assert {"limits_hash", "objectives", "limits_text"} <= attrs.keys()
    with pytest.raises(SpecError, match="other images"):
        reopen(open_store(storage), name="mine", fingerprint="f00d")


def test_an_incomplete_study_with_trials_is_refused(store: Store) -> None:
    make_killed("outputs/studies.db", 2)
    load_study(store, "mine").write([ROW])
    with pytest.raises(SpecError, match=r"'mine' has trials of unknown data .*study\.name=\.\.\."):
        reopen(store, name="mine")


def test_a_study_is_created_in_one_transaction(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(value: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("archsearch.search.storage.write.json", SimpleNamespace(dumps=killed))
    with pytest.raises(KeyboardInterrupt):
        reopen(store)
    monkeypatch.undo()
    assert study_names(store) == []
    assert reopen(store).raw.user_attrs["data_fingerprint"] == "f00d"


@pytest.mark.parametrize("storage", STORAGES)
def test_the_study_of_another_program_is_refused_and_stays_whole(storage: str) -> None:
    store = open_store(storage)
    make_foreign(store, "mine")
    make_foreign(store, "shapes-tiny")
    before = len(store.storage.get_all_trials(store.storage.get_study_id_from_name("mine")))
    with pytest.raises(SpecError, match=r"'mine' has other objectives \(minimize, maximize\)"):
        reopen(store, name="mine")
    assert reopen(store).name.startswith("shapes-tiny-")
    assert len(store.storage.get_all_trials(store.storage.get_study_id_from_name("mine"))) == before


def test_a_database_that_does_not_answer_is_a_readable_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archsearch.search.storage.database.BUSY_SECONDS", 0.05)
    store = open_store("s.db")
    study = reopen(store)
    other = sqlite3.connect("s.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError, match=r"^sqlite:///s.db: the study database does not answer: database is locked$"):
        study.write([ROW])
    with pytest.raises(StorageError, match="database is locked"):
        reopen(store, name="new")
    other.execute("ROLLBACK")
    other.close()
    assert study.write([ROW]) == [0]


def test_the_study_of_another_program_with_one_objective_is_refused(store: Store) -> None:
    import optuna

    raw = optuna.create_study(storage=store.storage, study_name="mine", direction="maximize")
    raw.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(SpecError, match="another program"):
        reopen(store, name="mine")


def test_other_images_are_named_by_the_setting(store: Store) -> None:
    reopen(store, name="mine", data_settings={"validation": 0.1, "image_size": 32})
    with pytest.raises(SpecError, match=r"other images \(shapes, data\.validation=0\.1\)"):
        reopen(store, name="mine", fingerprint="beef", data_settings={"validation": 0.2, "image_size": 32})


def test_studies_of_one_name_in_two_databases_have_tokens_of_their_own(store: Store) -> None:
    other = reopen(open_store("other.db"))
    assert other.raw.user_attrs["token"] != reopen(store).raw.user_attrs["token"]
    assert reopen(open_store("other.db")).raw.user_attrs["token"] == other.raw.user_attrs["token"]


@pytest.mark.parametrize("storage", STORAGES)
def test_a_deleted_database_is_an_error_that_says_so(storage: str) -> None:
    study = reopen(open_store(storage))
    study.write([ROW])
    assert len(study.trials()) == 1
    Path("outputs").rename("gone")
    with pytest.raises(StudyLost, match="deleted") as caught:
        study.trials()
    assert caught.value.exit_code == 1
    Path("outputs").mkdir()
    other = reopen(open_store(storage))
    assert other.trials() == []
    with pytest.raises(StudyLost, match="replaced"):
        study.trials()


def test_a_deleted_study_is_an_error_that_says_so(store: Store) -> None:
    study = reopen(store)
    study.write([ROW])
    other = open_store()
    other.storage.delete_study(study.study_id)
    with pytest.raises(StudyLost, match="the study 'shapes-tiny' was deleted"):
        study.trials()


def test_a_missing_study_is_an_error_with_the_names_of_all(store: Store) -> None:
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


def test_optuna_itself_can_continue_a_study(study: Study) -> None:
    study.write([Row(state="complete", params={"x": 0.25}, attrs={}, values=(0.5,))])
    trial = study.raw.ask()
    study.raw.tell(trial, trial.suggest_float("x", 0, 1))
    assert study.raw.best_trial.number in (0, 1)
    assert len(study.trials()) == 2


ROW = Row(
    state="pruned",
    params={"a": 1, "block": "normal", "rate": 0.5},
    attrs={"reason": "infeasible", "run_dir": "outputs/{number}"},
    constraints={"parameters": 0.25, "macs": -0.5},
    history={1: 0.1, 2: float("nan"), 3: float("inf")},
    system={"nsga2:generation": 3},
)


@pytest.mark.parametrize("storage", ["outputs/s.db", "journal:outputs/journal.log"])
def test_a_row_is_read_back_by_optuna(storage: str) -> None:
    study = make_study(open_store(storage))
    study.write([ROW, ROW])
    trial = make_study(open_store(storage)).raw.trials[1]
    assert (trial.number, trial.state, trial.params) == (1, TrialState.PRUNED, dict(ROW.params))
    assert excess_of(trial.system_attrs) == dict(ROW.constraints)
    assert trial.user_attrs["run_dir"] == "outputs/0001"
    assert trial.system_attrs["nsga2:generation"] == 3
    assert trial.intermediate_values[1] == 0.1
    assert trial.intermediate_values[3] == float("inf")
    assert trial.datetime_start is not None
    assert trial.datetime_complete is not None


@pytest.mark.parametrize("storage", ["outputs/s.db", "journal:outputs/journal.log"])
def test_the_named_attributes_are_read_from_the_database(storage: str) -> None:
    study = make_study(open_store(storage))
    with study.store.lock():
        [(trial_id, _)] = study.write_locked(
            [Row(state="running", params={}, attrs={"worker": "me", "design": "long"})]
        )
    names = ("worker", "state_reason")
    assert read_attrs(study.store, trial_id, names) == {"worker": "me"}
    make_study(open_store(storage)).store.storage.set_trial_user_attr(trial_id, "worker", "somebody else")
    assert read_attrs(study.store, trial_id, names) == {"worker": "somebody else"}


@pytest.mark.parametrize("storage", ["outputs/s.db", "journal:outputs/journal.log"])
def test_a_running_row_is_finished_in_one_go(storage: str) -> None:
    study = make_study(open_store(storage))
    running = Row(state="running", params={}, attrs={"state_reason": "running", "kept": 1})
    with study.store.lock():
        [(trial_id, number)] = study.write_locked([running])
        finish_row(study.store, trial_id, "complete", {"state_reason": "complete", "seconds": 2.0}, (0.5,))
    trial = make_study(open_store(storage)).trials()[number]
    assert trial.state == TrialState.COMPLETE
    assert trial.value == 0.5
    assert {key: trial.user_attrs[key] for key in ("state_reason", "seconds", "kept")} == {
        "state_reason": "complete",
        "seconds": 2.0,
        "kept": 1,
    }
    assert trial.datetime_complete is not None


KEPT = Margin(limit="parameters", bound={"below": 5}, found=4, kept=True, slack=0.2)
BROKEN = Margin(limit="receptive_field", bound={"above": 44}, found=33, kept=False, slack=-0.25, fixes=("x=1",))
RUN = RunRecord(
    params={"block": "dilated"},
    state="complete",
    values=[0.75],
    key="k",
    design_id="d",
    design_yaml="name: x",
    margins=[KEPT, BROKEN],
    parameters=4,
    macs=5,
    receptive_field=33,
    run_dir="outputs/runs/x",
    seconds=1.5,
    versions={"torch": "2.15"},
    history={1: 0.5, 2: 0.75},
)


def test_a_run_is_written_as_a_trial(study: Study) -> None:
    assert study.write([run_row(RUN)]) == [0]
    trial = study.trials()[0]
    assert (trial.value, trial.params, trial.intermediate_values) == (0.75, {"block": "dilated"}, {1: 0.5, 2: 0.75})
    assert excess_of(trial.system_attrs) == {"parameters": -0.2, "receptive_field": 0.25}
    assert trial.user_attrs["Margin receptive_field (above 44)"] == -0.25
    assert json.loads(trial.user_attrs["margins"])[1]["fixes"] == ["x=1"]
    assert trial.user_attrs["design"] == "name: x"
    assert study.raw.metric_names == ["accuracy"]


@pytest.mark.parametrize(
    ("state", "there"), [("pruned", "PRUNED"), ("diverged", "PRUNED"), ("infeasible", "PRUNED"), ("failed", "FAIL")]
)
def test_the_state_of_a_run_is_that_of_its_trial(study: Study, state: RunState, there: str) -> None:
    study.write([run_row(replace(RUN, state=state, reason="too slow"))])
    trial = study.trials()[0]
    assert (trial.state.name, trial.user_attrs["state_reason"], trial.values) == (there, state, None)
    assert trial.user_attrs["cause"] == "too slow"
