"""The study database: addresses, creation, readable errors, the small cache, and the lock between processes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from search_fakes import FakeTask, make_study, make_sweep

from archsearch.errors import SpecError, StorageError
from archsearch.masking import mask
from archsearch.search.heartbeat import worker_name
from archsearch.search.loop import work
from archsearch.search.storage.dashboard import MARGIN
from archsearch.search.storage.database import LONG, Store, open_store
from archsearch.search.storage.lock import file_lock, postgresql_lock
from archsearch.search.storage.reader import open_reader
from archsearch.search.storage.url import parse_address


def test_the_default_database_is_created_with_its_folder(store: Store) -> None:
    assert Path("outputs/studies.db").is_file()
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_missing_database_is_not_created_for_a_reader() -> None:
    with pytest.raises(SpecError, match=r"no study database at nowhere.db"):
        open_store("nowhere.db", create=False)
    assert not Path("nowhere.db").exists()


def test_a_file_that_is_no_database_is_an_error_with_its_name() -> None:
    Path("text.db").write_text("this is no database, only text that is long enough to be read as one" * 20)
    with pytest.raises(StorageError, match=r"sqlite:///text.db: the study database cannot be opened: .*not a database"):
        open_store("text.db")


def test_a_server_that_does_not_answer_is_an_error_without_its_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StorageError, match="cannot be opened") as caught:
        open_store("postgresql://me:s3cret@127.0.0.1:9/db?connect_timeout=2")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("given", "kind", "url", "path"),
    [
        ("sqlite:///outputs/studies.db", "sqlite", "sqlite:///outputs/studies.db", Path("outputs/studies.db")),
        ("sqlite:////tmp/s.db", "sqlite", "sqlite:////tmp/s.db", Path("/tmp/s.db")),
        ("mine.db", "sqlite", "sqlite:///mine.db", Path("mine.db")),
        ("journal:outputs/j.log", "journal", "journal:outputs/j.log", Path("outputs/j.log")),
        ("postgresql://me@host/db", "postgresql", "postgresql+psycopg://me@host/db", None),
        ("postgresql+psycopg2://me@host/db", "postgresql", "postgresql+psycopg2://me@host/db", None),
    ],
)
def test_an_address_is_read(given: str, kind: str, url: str, path: Path | None) -> None:
    address = parse_address(given)
    assert (address.kind, address.url, address.path) == (kind, url, path)


@pytest.mark.parametrize("given", ["mysql://u:secret@h/d", "sqlite://", "journal:", "studies", ""])
def test_an_invalid_address_is_an_error_without_its_password(given: str) -> None:
    with pytest.raises(SpecError, match=r"study\.storage: .* is not the address") as caught:
        parse_address(given)
    assert "secret" not in str(caught.value)


def test_a_password_is_never_shown() -> None:
    address = parse_address("postgresql://me:s3cret:with@host:5432/db?sslpassword=other")
    for shown in (str(address), repr(address), mask(f"could not connect to {address.url}")):
        assert "s3cret" not in shown
        assert "other" not in shown
        assert "me:***@host:5432/db" in shown


def test_long_texts_stay_in_the_database_and_distributions_are_shared() -> None:
    slim, full = open_store(slim=True), open_store()
    study = make_study(slim)
    work(study, make_sweep(), FakeTask(), seed=1)
    trials = [trial for trial in study.trials() if "key" in trial.user_attrs]
    assert not any(name in trial.user_attrs for trial in trials for name in LONG)
    assert not any(name.startswith(MARGIN) for trial in trials for name in trial.user_attrs)
    assert len({id(trial.distributions["a"]) for trial in trials}) == 1
    assert len({id(trial.distributions) for trial in trials}) == 1
    assert len({id(name) for trial in trials for name in trial.user_attrs["assignments"] if name == "block"}) == 1
    whole = [trial for trial in make_study(full).trials() if "key" in trial.user_attrs]
    assert all("design" in trial.user_attrs and "margins" in trial.user_attrs for trial in whole)
    assert [trial.params for trial in whole] == [trial.params for trial in trials]
    slim.close()
    full.close()


def test_one_process_at_a_time_has_the_lock() -> None:
    lock, impatient = file_lock(Path("lock")), file_lock(Path("lock"), patience=0.01)
    with lock(), pytest.raises(StorageError, match="locked by another process"), impatient():
        pytest.fail("two held it")
    with impatient():
        pass


@pytest.mark.postgres
def test_one_process_at_a_time_has_the_lock_of_a_server() -> None:
    store = open_store(os.environ["ARCHSEARCH_POSTGRES"])
    name = f"test-{uuid.uuid4()}"
    lock, impatient = (postgresql_lock(store.engine, name, patience) for patience in (60, 0.05))
    with lock(), pytest.raises(StorageError, match=rf"the lock '{name}' of the study database is held"), impatient():
        pytest.fail("two held it")
    with impatient():
        pass
    store.close()


def test_the_lock_is_released_with_its_process() -> None:
    program = (
        "import os, signal; from pathlib import Path; from archsearch.search.storage.lock import file_lock\n"
        "with file_lock(Path('lock'))(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with file_lock(Path("lock"), patience=0.01)():
        assert Path("lock").exists()


def test_a_group_may_write_what_it_shares(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        open_store("outputs/s.db").close()
        store = open_store("journal:outputs/j.log")
        with store.lock():
            pass
    finally:
        os.umask(before)
    for name in ("s.db", "s.db.lock", "j.log", "j.log.section"):
        assert Path("outputs", name).stat().st_mode & 0o060 == 0o060, name


def test_the_lock_of_another_user_needs_to_be_read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("lock").touch()
    opened, real = [], os.open

    def refuse(path: object, flags: int, *more: int) -> int:
        opened.append(flags)
        if flags & os.O_RDWR:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    with file_lock(Path("lock"))():
        assert opened == [os.O_RDWR | os.O_CREAT, os.O_RDONLY]


def test_a_folder_that_cannot_be_written_is_named() -> None:
    Path("file").touch()
    with pytest.raises(StorageError, match=r"file/lock: the lock of the study cannot be opened: Not a directory"):
        file_lock(Path("file/lock"))().__enter__()


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the file system one without locks."""

    def refuse(handle: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_of_the_file_system_one_process_at_a_time_has_it_too() -> None:
    lock, impatient = file_lock(Path("lock")), file_lock(Path("lock"), patience=0.05)
    with lock(), pytest.raises(StorageError, match="locked by another process"), impatient():
        pytest.fail("two held it")
    with impatient():
        assert Path("lock.owner").exists()
    assert not Path("lock.owner").exists()


@pytest.mark.usefixtures("no_locks")
def test_without_locks_of_the_file_system_that_of_a_dead_process_is_removed() -> None:
    host, boot, pid, _ = worker_name().rsplit(":", 3)
    Path("lock.owner").write_text(f"{host}:{boot}:{pid}:1")  # a process of this number that began at another time
    with file_lock(Path("lock"), patience=5)():
        assert Path("lock.owner").read_text() == worker_name()


@pytest.mark.parametrize("name", ["with%20percent.db", "100%.db", "{braces}.db", "a b.db", "q#x.db"])
def test_a_name_of_a_file_is_taken_as_it_is(name: str) -> None:
    store = open_store(f"sqlite:///folder/{name}")
    make_study(store)
    store.close()
    assert Path("folder", name).stat().st_size > 0
    assert {path.name for path in Path("folder").iterdir()} <= {
        name,
        *(f"{name}{end}" for end in (".lock", "-wal", "-shm")),
    }
    assert open_reader(f"sqlite:///folder/{name}").names() == ["shapes-tiny"]


def test_an_incomplete_line_of_a_journal_is_removed_before_the_next_is_written() -> None:
    study = make_study(open_store("journal:j.log"))
    with Path("j.log").open("a") as file:
        file.write('{"op_code": 4, "worker')  # a full disk, or a kill
    study.raw.set_user_attr("later", 1)
    assert make_study(open_store("journal:j.log")).raw.user_attrs["later"] == 1
