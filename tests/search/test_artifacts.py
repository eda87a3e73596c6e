"""Artifacts: Optuna finds what a trial names, and gives the same bytes back."""

from __future__ import annotations

from pathlib import Path

from search_fakes import make_study

from archsearch.search.storage.dashboard import artifact_folder, attach
from archsearch.search.storage.database import open_store
from archsearch.search.storage.write import Row


def test_optuna_finds_what_a_row_names(tmp_path: Path) -> None:
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


def test_nothing_is_made_where_nothing_is_there(tmp_path: Path) -> None:
    assert attach([tmp_path / "curves.png"], tmp_path / "artifacts") == {}
    assert not (tmp_path / "artifacts").exists()
