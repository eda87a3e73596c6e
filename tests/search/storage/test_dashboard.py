"""Attributes for optuna-dashboard: margins, feasibility in its own form, a note, artifacts."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from search_fakes import FakeTask, make_memory_study, make_settings, make_study, make_sweep

from archsearch.analysis.limits import Margin, decode_limits
from archsearch.runs.trial import limits_record
from archsearch.search.explain import explain
from archsearch.search.loop import work
from archsearch.search.storage.dashboard import artifact_folder, attach, limits_note, margin_attrs, older_constraints
from archsearch.search.storage.database import open_store
from archsearch.search.storage.read import read_study
from archsearch.search.storage.study import Study
from archsearch.search.storage.write import Row

LIMITS = decode_limits(
    {
        "receptive_field": {"above": 44},
        "parameters": {"at_least": 1000, "below": 200_000},
        "contains": ["dilated"],
        "downsampling": {"layers": 3},
        "head": "global_average",
    }
)


def test_a_margin_is_named_by_its_limit_and_its_bound() -> None:
    bound = {"above": 44, "at_most": 99.5}
    found = margin_attrs(
        [
            Margin(limit="receptive_field", bound=bound, found=33, kept=False, slack=-0.25),
            Margin(limit="parameters", bound={"below": 300_000}, found=100_000, kept=True, slack=2 / 3),
            Margin(limit="forbids", bound=["max_pool"], found=[], kept=True, slack=-0.0),
        ]
    )
    assert found == {
        "Margin receptive_field (above 44 and at most 99.5)": -0.25,
        "Margin parameters (below 300 000)": 0.6667,
        "Margin forbids (max_pool)": 0.0,
    }
    assert str(found["Margin forbids (max_pool)"]) == "0.0"


def test_the_older_form_of_constraints_shows_feasibility() -> None:
    assert older_constraints({"macs": -0.5, "parameters": 0.25}) == {"constraints": [0.25]}
    assert older_constraints({}) == {}


def test_a_new_study_carries_a_note_of_its_limits() -> None:
    note = limits_note("mine", limits_record(LIMITS))
    text = note["dashboard:note_str:0"]
    assert note["dashboard:note_ver"] == 1
    assert text.startswith("## Limits: mine\n\n| limit | bound |\n|---|---|\n| receptive_field | above 44 |\n")
    assert "| parameters | below 200 000 and at least 1 000 |" in text
    assert "| downsampling | 3 strided or dilated layers |" in text
    assert len(text) < 2045, "the dashboard splits longer notes"
    assert limits_note("none", {}) == limits_note("none", None) == {}


@pytest.mark.parametrize("storage", ["outputs/s.db", "journal:outputs/journal.log"])
def test_every_trial_of_a_search_has_margins_that_readers_skip(storage: str) -> None:
    store = open_store(storage)
    study = make_study(store)
    work(study, make_sweep(make_settings("random")), FakeTask(most=8), seed=1)
    system = store.storage.get_study_system_attrs(study.study_id)
    assert "| parameters | below 5 |" in system["dashboard:note_str:0"]
    states = set()
    for trial in make_study(open_store(storage)).trials():
        states.add(trial.user_attrs["state_reason"])
        [margin] = [value for name, value in trial.user_attrs.items() if name.startswith("Margin parameters")]
        [worst] = trial.system_attrs["constraints"]
        assert worst == -margin
        assert (worst > 0) == (trial.user_attrs["state_reason"] == "infeasible")
    assert states == {"complete", "infeasible"}
    read = read_study(store, study.name)
    assert all(set(trial.constraints) == {"parameters"} for trial in read.trials)
    assert not any(name.startswith("Margin") for trial in read.trials for name in trial.attrs)
    assert set(explain(read).infeasible.by_limit) == {"parameters"}


def test_a_sampler_sees_each_constraint_once(study: Study) -> None:
    work(study, make_sweep(make_settings("random")), FakeTask(most=8), seed=1)
    memory = make_memory_study()
    memory.pull(study.trials())
    assert {name for trial in memory._study.trials for name in trial.constraints} == {"parameters"}


def test_optuna_finds_the_artifacts_of_a_row(tmp_path: Path) -> None:
    from optuna.artifacts import FileSystemArtifactStore, download_artifact, get_all_artifact_meta

    store = open_store("sqlite:///outputs/studies.db")
    study = make_study(store)
    (tmp_path / "curves.png").write_bytes(b"picture")
    folder = artifact_folder(store.address)
    attrs = attach([tmp_path / "curves.png", tmp_path / "card.png"], folder)
    study.write([Row(state="complete", params={}, attrs={}, values=(0.5,), system=attrs)])
    (found,) = get_all_artifact_meta(study.trials()[0], storage=store.storage)
    assert (found.filename, found.mimetype) == ("curves.png", "image/png")
    given = FileSystemArtifactStore(folder)
    download_artifact(artifact_store=given, artifact_id=found.artifact_id, file_path=str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == b"picture"
    assert folder == Path("outputs/artifacts")
    store.close()


def test_no_folder_is_created_without_files(tmp_path: Path) -> None:
    assert attach([tmp_path / "curves.png"], tmp_path / "artifacts") == {}
    assert not (tmp_path / "artifacts").exists()


def test_a_full_disk_leaves_no_part_of_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "card.png").write_bytes(b"picture")

    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"pic")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        attach([tmp_path / "card.png"], tmp_path / "artifacts")
    assert list((tmp_path / "artifacts").iterdir()) == []
