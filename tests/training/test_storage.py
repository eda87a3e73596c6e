from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from archsearch.errors import StorageError
from archsearch.training.result import EpochRecord
from archsearch.training.storage import append_metrics, read_metrics, remove_parts, write_metrics, write_whole


def record(epoch: int) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        learning_rate=0.1,
        train_loss=1.0,
        train_accuracy=0.5,
        validation_loss=None,
        validation_accuracy=None,
        seconds=1.0,
        images_per_second=2.0,
    )


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "deep" / "file"
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_failure_at_any_point_leaves_the_old_file(tmp_path, monkeypatch, where):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if where == "fsync" else (Path, "replace")), fail)
    with pytest.raises(
        StorageError, match=rf"{path}: cannot be written: the disk is full. Free some space and continue"
    ):
        write_whole(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_before_the_rename_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_whole(path, b"old")

    def kill(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", kill)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_place_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"Make the folder writable"):
        write_whole(tmp_path / "file" / "below", b"")


def test_metrics_are_lines_that_are_added_or_written_anew(tmp_path):
    path = tmp_path / "metrics.jsonl"
    write_metrics(path, [])
    for epoch in (1, 2, 3):
        append_metrics(path, record(epoch))
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2, 3]
    write_metrics(path, [record(1)])
    append_metrics(path, record(2))
    assert [json.loads(line)["epoch"] for line in path.read_text().splitlines()] == [1, 2]


def test_a_full_device_is_named_where_there_is_one():
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with pytest.raises(StorageError, match="/dev/full: cannot be written: the disk is full"):
        append_metrics(Path("/dev/full"), record(1))


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_is_written_to_as_well(tmp_path, monkeypatch, number):
    def fail(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    write_whole(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_what_a_killed_process_was_writing_is_removed(tmp_path):
    (tmp_path / ".hydra").mkdir()
    for name in (".checkpoint.pt.123.part", ".card.png.4.part", ".hydra/.a.yaml.5.part", "model.safetensors", "parted"):
        (tmp_path / name).touch()
    remove_parts(tmp_path)
    assert sorted(one.name for one in tmp_path.rglob("*")) == [".hydra", "model.safetensors", "parted"]


def test_what_a_living_process_may_be_writing_stays(tmp_path):
    fresh, old = tmp_path / ".best.yaml.1.part", tmp_path / ".best.yaml.2.part"
    fresh.touch()
    old.touch()
    os.utime(old, (1.0, 1.0))
    remove_parts(tmp_path, seconds=3600.0)
    assert fresh.exists()
    assert not old.exists()


def test_metrics_are_read_up_to_a_line_that_is_cut_short(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    write_metrics(path, [record(1), record(2)])
    path.write_bytes(path.read_bytes()[:-5])
    assert read_metrics(path) == [record(1)]
