"""Open the study database so that many processes can share it, and make its errors readable.

A thin layer over Optuna's storages. Imports optuna and sqlalchemy inside functions only.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.errors import ArchsearchError, RunError, SpecError, StorageError
from archsearch.search.faults import fault_of
from archsearch.search.storage.attributes import present_trial
from archsearch.search.storage.dashboard import MARGIN, OLDER
from archsearch.search.storage.lock import PATIENCE, Lock, file_lock, journal_lock, postgresql_lock
from archsearch.search.storage.optuna_internals import cached_storage
from archsearch.search.storage.readonly import distrust
from archsearch.search.storage.url import (
    DEFAULT_STORAGE,
    Address,
    cause_of,
    driver_missing,
    file_missing,
    parse_address,
    server_options,
)

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial


BUSY_SECONDS = 60.0  # how long a SQLite writer waits for another
SEARCH_SECONDS = 10.0  # the same in a search, which retries and handles Ctrl-C in between
SERVER_NOTICES = {
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}
PAGES_KIB = 512  # size of SQLite's page cache; the system's file cache has the rest


class StudyLost(RunError):
    """The database was deleted or replaced while in use: nothing that is written to it now is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """An open study database; only one process at a time holds `lock()`."""

    address: Address
    storage: BaseStorage = field(repr=False)
    lock: Lock = field(repr=False)
    engine: Any = field(default=None, repr=False)  # SQLAlchemy engine; None for a journal
    file: tuple[Path, tuple[int, int]] | None = field(default=None, repr=False)  # local: path, (device, inode)

    def require_present(self) -> None:
        """Raise `StudyLost` if the file was deleted or replaced: writes to the open file would still succeed."""
        if self.file is None:
            return
        path, opened = self.file
        try:
            end = "replaced by another file" if _identity(path) != opened else ""
        except FileNotFoundError:
            end = "deleted"
        if end:
            raise StudyLost(
                f"{self.address}: the file of the study database was {end} while it was in use. "
                "Put the old file back, or choose another with study.storage, and repeat the command."
            )

    def close(self) -> None:
        """Close the connections to the database."""
        if self.engine is not None:
            self.storage.remove_session()
            self.engine.dispose()


def open_store(storage: str = DEFAULT_STORAGE, *, create: bool = True, slim: bool = False) -> Store:
    """Return the study database at `storage`, created if it is missing unless `create` is false.

    `slim` is for a search that runs for days: it caches trials without their long texts.

    Raises `SpecError` for an invalid address or a missing file, `StorageError` for a database that does not answer.
    """
    address = parse_address(storage)
    if address.path is not None and not address.path.exists() and not create:
        raise file_missing("study.storage", address)
    try:
        if address.path is not None:
            address.path.parent.mkdir(parents=True, exist_ok=True)
        quiet_optuna()
        store = _open_journal(address) if address.kind == "journal" else _open_database(address, slim=slim)
        if address.path is None:
            return store
        path = address.path.absolute()
        return replace(store, file=(path, _identity(path)))
    except ImportError as error:
        raise driver_missing("study.storage", address, error) from error
    except (SpecError, StorageError):
        raise
    except Exception as error:  # noqa: BLE001  (every driver has errors of its own)
        # From None: the driver's chain of errors may contain the password.
        cause = cause_of(error.__cause__ or error, address)
        raise StorageError(f"{address}: the study database cannot be opened: {cause}") from None


@contextlib.contextmanager
def readable_errors(address: Address) -> Iterator[None]:
    """Turn a fault of the database or the machine in the block into a one-line `StorageError` without a password."""
    try:
        yield
    except ArchsearchError:
        raise
    except Exception as error:
        if (fault := fault_of(error)) is None:
            raise
        raise StorageError(f"{address}: {fault}") from None


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def quiet_optuna() -> None:
    """Silence Optuna's log below errors, and its warnings about experimental features."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def _open_database(address: Address, *, slim: bool) -> Store:
    import sqlalchemy
    import sqlalchemy.event
    from optuna.storages import RDBStorage

    url = address.url.replace("{", "{{").replace("}", "}}")  # Optuna treats the URL as a format template
    if address.kind == "sqlite":
        assert address.path is not None, "a SQLite database is a file"
        path, seconds = address.path.absolute(), SEARCH_SECONDS if slim else BUSY_SECONDS
        url = url.replace("%", "%25")  # SQLAlchemy would decode %20 to a space
        lock = file_lock(path.with_name(f"{path.name}.lock"), min(PATIENCE, 3 * seconds))
        with lock():  # two processes must not create the tables at once
            if not path.exists():
                path.touch()  # with the umask's group permissions; SQLite would set narrower ones
            backend = RDBStorage(url, engine_kwargs={"connect_args": {"timeout": seconds}})
            sqlalchemy.event.listen(backend.engine, "connect", _prepare_sqlite)
            backend.engine.dispose()  # close the connections older than the listener
    else:
        options = {"pool_pre_ping": True, "pool_size": 4, "connect_args": server_options(address)}
        bootstrap = sqlalchemy.create_engine(address.url, pool_pre_ping=True, connect_args=server_options(address))
        try:
            with postgresql_lock(bootstrap, "tables")():
                backend = RDBStorage(url, engine_kwargs=options)
        finally:
            bootstrap.dispose()
        sqlalchemy.event.listen(backend.engine, "connect", _prepare_server)
        backend.engine.dispose()
        lock = postgresql_lock(backend.engine, "studies")
    storage = cached_storage(backend, Shortener() if slim else present_trial)
    return Store(address=address, storage=storage, lock=lock, engine=backend.engine)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    try:
        distrust(cursor)
        # With a write-ahead log a reader never blocks a writer; some network file systems keep the previous mode.
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute(f"PRAGMA cache_size=-{PAGES_KIB}")
    finally:
        cursor.close()


def _prepare_server(connection: Any, _record: Any) -> None:
    """Make the server notice within half a minute that this machine is gone: it holds the lock until then."""
    cursor = connection.cursor()
    try:
        for name, value in SERVER_NOTICES.items():
            cursor.execute(f"SELECT set_config('{name}', '{value}', false)")
        connection.commit()
    finally:
        cursor.close()


def _open_journal(address: Address) -> Store:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    assert address.path is not None, "a journal is a file"
    path = address.path.absolute()
    lock = file_lock(path.with_name(f"{path.name}.section"))
    backend = JournalFileBackend(str(path), lock_obj=journal_lock(path))
    return Store(address=address, storage=JournalStorage(backend), lock=lock)


LONG = ("design", "margins", "versions", "traceback", "notices", "base")
"""Attributes that a search does not read; it does not read those of single margins either."""


class Shortener:
    """Removes the long texts of trials, and makes all trials share equal strings and distributions."""

    def __init__(self) -> None:
        self._single: dict[str, BaseDistribution] = {}  # by their `repr`
        self._of_trials: dict[tuple[tuple[str, int], ...], dict[str, BaseDistribution]] = {}  # by ids of single ones

    def __call__(self, trial: FrozenTrial) -> None:
        """Shorten one trial in place."""
        present_trial(trial)
        single = {
            sys.intern(name): self._single.setdefault(repr(one), one) for name, one in trial.distributions.items()
        }
        ids = tuple((name, id(one)) for name, one in single.items())
        trial.distributions = self._of_trials.setdefault(ids, single)
        trial.system_attrs.pop(OLDER, None)
        kept = {name: value for name, value in trial.user_attrs.items() if name not in LONG and not _is_margin(name)}
        trial.params, trial.user_attrs = _interned(trial.params), _interned(kept)
        trial.system_attrs = _interned(trial.system_attrs)


def _is_margin(name: str) -> bool:
    return name.startswith(MARGIN)


def _interned(value: Any) -> Any:
    """Return plain values in which equal strings are one object."""
    if isinstance(value, dict):
        return {sys.intern(str(name)): _interned(each) for name, each in value.items()}
    return sys.intern(value) if type(value) is str else value
