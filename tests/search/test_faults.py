"""Faults of the machine: which errors they are, and how long they are waited for."""

from __future__ import annotations

import errno
import sqlite3
from itertools import accumulate

import pytest
import sqlalchemy.exc
from optuna.exceptions import StorageInternalError

from archsearch.errors import DataError, DeviceMemoryError, DivergedError, RunError, SpecError, StorageError
from archsearch.search.faults import Patience, fault_of, is_of_database

LOCKED = sqlalchemy.exc.OperationalError("SELECT 1", {}, sqlite3.OperationalError("database is locked"))
CUDA = (
    "train.batch_size: cuda:0 has not enough memory for batches of 64 (CUDA out of memory. Tried to allocate 2.00 GiB. "
    "GPU 0 has a total capacity of 79.10 GiB of which 1.00 GiB is free. Including non-PyTorch memory, this process has "
    "{own} memory in use. Of the allocated memory 1.1 GiB is allocated by PyTorch)"
)


def wrapped(cause: BaseException) -> StorageInternalError:
    try:
        raise StorageInternalError("An exception is raised during the commit.") from cause
    except StorageInternalError as error:
        return error


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "run/x"), "run/x: No space left on device"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "data"), "data: No such file or directory"),
        (StorageError("run/checkpoint.pt: cannot be written: the disk is full. Free some space"), "the disk is full"),
        (DataError("data.root: pictures: does not exist. Set data.root"), "data.root: pictures: does not exist"),
        (LOCKED, "the study database does not answer: database is locked"),
        (wrapped(LOCKED), "the study database does not answer: database is locked"),
        (sqlite3.OperationalError("disk I/O error"), "disk I/O error"),
        (sqlalchemy.exc.TimeoutError("QueuePool limit"), "QueuePool limit"),
        (DeviceMemoryError(CUDA.format(own="1.20 GiB")), "other processes fill the memory"),
        (RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"), "busy or unavailable"),
    ],
)
def test_a_fault_of_the_machine_is_named_in_one_line(error: Exception, fault: str) -> None:
    found = fault_of(error)
    assert found is not None
    assert fault in found
    assert "\n" not in found
    assert "Free some space" not in found


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a shape"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        DivergedError("the loss is not finite"),
        SpecError("arch.width", "too wide"),
        MemoryError(),
        DeviceMemoryError("train.batch_size: cpu has not enough memory"),
        DeviceMemoryError(CUDA.format(own="78.00 GiB")),
        sqlalchemy.exc.IntegrityError("INSERT", {}, sqlite3.IntegrityError("UNIQUE")),
        RunError("the search stopped"),
        KeyError("trial"),
    ],
)
def test_a_fault_of_the_design_or_the_program_is_none_of_the_machine(error: Exception) -> None:
    assert fault_of(error) is None


def test_a_password_is_masked() -> None:
    found = fault_of(sqlite3.OperationalError("cannot reach postgresql://me:s3cret@host/db"))
    assert found is not None
    assert "s3cret" not in found


def test_pauses_grow_until_the_patience_is_over() -> None:
    pauses: list[float] = []
    notes: list[str] = []

    def fail() -> None:
        raise StorageError("disk full")

    with pytest.raises(RunError, match=r"disk full, after 3 min 20 s of waiting \(study.patience\)") as caught:
        Patience(200, notes.append, pauses.append).call(fail)
    assert caught.value.exit_code == 1
    assert sum(pauses) == 200
    assert pauses[:-1] == sorted(pauses[:-1])
    assert pauses[0] < pauses[3] <= 60
    assert list(accumulate(pauses))[-2] < 200
    assert len(notes) == 1
    assert "disk full" in notes[0]


def test_without_patience_there_is_no_pause() -> None:
    with pytest.raises(RunError, match=r"^disk full\. Fix it"):
        Patience(0, sleep=lambda seconds: pytest.fail("it paused")).wait("disk full")


def test_a_damaged_database_is_not_waited_for() -> None:
    with pytest.raises(RunError, match="malformed"):
        Patience(600, sleep=lambda seconds: pytest.fail("it paused")).wait("database disk image is malformed")


def test_an_operation_is_repeated_while_the_fault_lasts() -> None:
    pauses: list[float] = []
    notes: list[str] = []
    errors = [LOCKED, LOCKED]

    def read() -> int:
        if errors:
            raise errors.pop()
        return 7

    patience = Patience(60, notes.append, pauses.append)
    assert patience.call(read) == 7
    assert pauses == [1, 2]
    assert [note.split(":")[0] for note in notes] == ["waiting", "going on after 3 s of waiting"]
    errors.append(LOCKED)
    assert patience.call(read) == 7
    assert pauses == [1, 2, 1]  # the next fault begins anew


def test_another_error_is_raised_at_once() -> None:
    def fail() -> None:
        raise ValueError("a shape")

    with pytest.raises(ValueError, match="a shape"):
        Patience(60, sleep=lambda seconds: pytest.fail("it paused")).call(fail)


def test_an_error_about_what_a_database_was_asked_is_no_fault_but_the_databases() -> None:
    asked = sqlite3.IntegrityError("UNIQUE constraint failed: studies.study_name")
    assert is_of_database(asked)
    assert fault_of(asked) is None
    assert not is_of_database(ValueError("a shape"))
