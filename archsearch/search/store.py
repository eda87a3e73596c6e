"""The study database: opened so that many processes can share it, with its errors made readable.

A thin layer over Optuna's storages. Imports optuna and sqlalchemy inside functions only.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archsearch.errors import SpecError, StorageError
from archsearch.masking import mask
from archsearch.search.address import DEFAULT_STORAGE, Address, parse_address
from archsearch.search.exclusive import Section, file_section, postgresql_section
from archsearch.search.lean import lean_cache

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

BUSY_SECONDS = 60.0  # that a SQLite writer waits for another
PAGES_KIB = 512  # of the file that SQLite keeps in memory; the system keeps the others


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """An open study database; `section()` is held by one process at a time."""

    address: Address
    storage: BaseStorage = field(repr=False)
    section: Section = field(repr=False)
    engine: Any = field(default=None, repr=False)  # SQLAlchemy's, None for a journal

    def close(self) -> None:
        """Let go of the database's connections."""
        if self.engine is not None:
            self.storage.remove_session()
            self.engine.dispose()


def open_store(storage: str = DEFAULT_STORAGE, *, create: bool = True, lean: bool = False) -> Store:
    """Return the study database at `storage`, made where it is missing unless `create` is false.

    `lean` is for a search that runs for days: what it remembers of trials lacks their long texts.

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
        return _open_journal(address) if address.kind == "journal" else _open_database(address, lean=lean)
    except ImportError as error:
        fix = "Install it: pip install 'archsearch[postgres]'."
        raise SpecError("study.storage", f"the driver of {address} is missing ({error})", fix) from error
    except (SpecError, StorageError):
        raise
    except Exception as error:  # noqa: BLE001  (every driver has errors of its own)
        cause = mask(str(error.__cause__ or error).strip().splitlines()[0], of=address.url)
        # From None: the driver's own message and its chain may hold the password.
        raise StorageError(f"{address}: the study database cannot be opened: {cause}") from None


def quiet_optuna() -> None:
    """Keep Optuna's log to errors, and its notes on experimental parts to itself."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)


def _open_database(address: Address, *, lean: bool) -> Store:
    import sqlalchemy
    import sqlalchemy.event
    from optuna.storages import RDBStorage
    from optuna.storages._cached_storage import _CachedStorage

    if address.kind == "sqlite":
        assert address.path is not None, "a SQLite database is a file"
        section = file_section(address.path.with_name(f"{address.path.name}.lock"))
        with section():  # two processes must not make the tables at once
            backend = RDBStorage(address.url, engine_kwargs={"connect_args": {"timeout": BUSY_SECONDS}})
            sqlalchemy.event.listen(backend.engine, "connect", _prepare_sqlite)
            backend.engine.dispose()  # connections made before the listener was there
    else:
        options = {"pool_pre_ping": True, "pool_size": 4}
        bootstrap = sqlalchemy.create_engine(address.url, pool_pre_ping=True)
        try:
            with postgresql_section(bootstrap, "tables")():
                backend = RDBStorage(address.url, engine_kwargs=options)
        finally:
            bootstrap.dispose()
        section = postgresql_section(backend.engine, "studies")
    cache = lean_cache(backend) if lean else _CachedStorage(backend)
    return Store(address=address, storage=cache, section=section, engine=backend.engine)


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
    section = file_section(address.path.with_name(f"{address.path.name}.section"))
    return Store(
        address=address, storage=JournalStorage(JournalFileBackend(str(address.path))), section=section, engine=None
    )
