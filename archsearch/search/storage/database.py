"""The study database: opened so that many processes can share it, with its errors made readable.

A thin layer over Optuna's storages. Imports optuna and sqlalchemy inside functions only.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archsearch.errors import SpecError, StorageError
from archsearch.masking import mask
from archsearch.search.storage.dashboard import MARGIN, OLDER
from archsearch.search.storage.lock import Lock, file_lock, postgresql_lock
from archsearch.search.storage.url import DEFAULT_STORAGE, Address, parse_address

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage, RDBStorage
    from optuna.trial import FrozenTrial

    Whole = dict[tuple[tuple[str, int], ...], dict[str, BaseDistribution]]


BUSY_SECONDS = 60.0  # that a SQLite writer waits for another
PAGES_KIB = 512  # of the file that SQLite keeps in memory; the system keeps the others


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """An open study database; `lock()` is held by one process at a time."""

    address: Address
    storage: BaseStorage = field(repr=False)
    lock: Lock = field(repr=False)
    engine: Any = field(default=None, repr=False)  # SQLAlchemy's, None for a journal

    def close(self) -> None:
        """Let go of the database's connections."""
        if self.engine is not None:
            self.storage.remove_session()
            self.engine.dispose()


def open_store(storage: str = DEFAULT_STORAGE, *, create: bool = True, slim: bool = False) -> Store:
    """Return the study database at `storage`, made where it is missing unless `create` is false.

    `slim` is for a search that runs for days: what it remembers of trials lacks their long texts.

    Raises `SpecError` for an address that cannot be one, or that must be there and is not,
    `StorageError` for a database that does not answer.
    """
    address = parse_address(storage)
    if address.path is not None and not address.path.exists() and not create:
        fix = "Run a design first, or give another with --storage."
        raise SpecError("study.storage", f"there is no study database at {address.path}", fix)
    try:
        if address.path is not None:
            address.path.parent.mkdir(parents=True, exist_ok=True)
        quiet_optuna()
        return _open_journal(address) if address.kind == "journal" else _open_database(address, slim=slim)
    except ImportError as error:
        fix = "Install it: pip install 'archsearch[postgres]'."
        raise SpecError("study.storage", f"the driver of {address} is missing ({error})", fix) from error
    except (SpecError, StorageError):
        raise
    except Exception as error:  # noqa: BLE001  (every driver has errors of its own)
        cause = mask(str(error.__cause__ or error).strip().splitlines()[0])
        # From None: the driver's own message and its chain may hold the password.
        raise StorageError(f"{address}: the study database cannot be opened: {cause}") from None


def quiet_optuna() -> None:
    """Keep Optuna's log to errors, and its notes on experimental parts to itself."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def _open_database(address: Address, *, slim: bool) -> Store:
    import sqlalchemy
    import sqlalchemy.event
    from optuna.storages import RDBStorage
    from optuna.storages._cached_storage import _CachedStorage

    if address.kind == "sqlite":
        assert address.path is not None, "a SQLite database is a file"
        lock = file_lock(address.path.with_name(f"{address.path.name}.lock"))
        with lock():  # two processes must not make the tables at once
            backend = RDBStorage(address.url, engine_kwargs={"connect_args": {"timeout": BUSY_SECONDS}})
            sqlalchemy.event.listen(backend.engine, "connect", _prepare_sqlite)
            backend.engine.dispose()  # connections made before the listener was there
    else:
        options = {"pool_pre_ping": True, "pool_size": 4}
        bootstrap = sqlalchemy.create_engine(address.url, pool_pre_ping=True)
        try:
            with postgresql_lock(bootstrap, "tables")():
                backend = RDBStorage(address.url, engine_kwargs=options)
        finally:
            bootstrap.dispose()
        lock = postgresql_lock(backend.engine, "studies")
    cache = slim_cache(backend) if slim else _CachedStorage(backend)
    return Store(address=address, storage=cache, lock=lock, engine=backend.engine)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    try:
        # A reader then never blocks a writer; some network file systems cannot, and say so by the old mode.
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute(f"PRAGMA cache_size=-{PAGES_KIB}")
    finally:
        cursor.close()


def _open_journal(address: Address) -> Store:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    assert address.path is not None, "a journal is a file"
    lock = file_lock(address.path.with_name(f"{address.path.name}.section"))
    return Store(address=address, storage=JournalStorage(JournalFileBackend(str(address.path))), lock=lock, engine=None)


LONG = ("design", "margins", "versions", "traceback", "notices", "base")
"""Attributes that a search does not read; nor does it those of single margins."""


def slim_cache(backend: RDBStorage) -> BaseStorage:
    """Return Optuna's cache over `backend`, remembering less of every trial."""
    from optuna.storages._cached_storage import _CachedStorage

    class SlimCache(_CachedStorage):
        def __init__(self, backend: RDBStorage) -> None:
            super().__init__(backend)
            self._shared: dict[str, BaseDistribution] = {}
            self._whole: Whole = {}

        def _add_trials_to_cache(self, study_id: int, trials: Sequence[FrozenTrial]) -> None:
            for trial in trials:
                slim(trial, self._shared, self._whole)
            super()._add_trials_to_cache(study_id, list(trials))

    return SlimCache(backend)


def slim(trial: FrozenTrial, shared: dict[str, BaseDistribution], whole: Whole) -> None:
    """Take the long texts out of `trial`, and give it those of its distributions and names that are there already.

    `shared` are single distributions by what they say, `whole` those of a trial by the single ones.
    """
    each_once = {sys.intern(name): shared.setdefault(repr(each), each) for name, each in trial.distributions.items()}
    trial.distributions = whole.setdefault(tuple((name, id(each)) for name, each in each_once.items()), each_once)
    trial.user_attrs = {
        name: value for name, value in trial.user_attrs.items() if name not in LONG and not name.startswith(MARGIN)
    }
    trial.system_attrs.pop(OLDER, None)
    trial.params, trial.user_attrs = _interned(trial.params), _interned(trial.user_attrs)
    trial.system_attrs = _interned(trial.system_attrs)


def _interned(value: Any) -> Any:
    """Return plain values whose texts are shared with all equal ones."""
    if isinstance(value, dict):
        return {sys.intern(str(name)): _interned(each) for name, each in value.items()}
    return sys.intern(value) if type(value) is str else value
