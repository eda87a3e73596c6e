"""Read-only access to a study database, even while it is written: nothing is created, changed or locked.

SQLite is read through the standard library, a server through SQLAlchemy (imported inside functions), neither through
optuna.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from archsearch.errors import SpecError, StorageError
from archsearch.formatting import one_line
from archsearch.search.storage.url import Address, cause_of, driver_missing, file_missing, server_options

Query = Callable[[str, Mapping[str, Any]], Sequence[Sequence[Any]]]
"""Returns the rows of one SQL statement with `:name` parameters."""
Result = TypeVar("Result")
WAITS = 10.0  # seconds for a writer's lock, in a database without a write-ahead log


def run_query(address: Address, function: Callable[[Query], Result]) -> Result:
    """Return `function(query)` for the database at `address`; it is called again if a writer changes the file.

    Raises `SpecError` if there is no database, `StorageError` if it does not answer or has no tables of studies.
    """
    try:
        if address.kind == "sqlite":
            assert address.path is not None, "a SQLite database is a file"
            return _query_file(require_file(address), function)
        return _query_server(address, function)
    except (SpecError, StorageError):
        raise
    except ImportError as error:
        raise driver_missing("--storage", address, error) from error
    except Exception as error:  # noqa: BLE001  (every driver has errors of its own)
        # From None: the driver's chain of errors may contain the password.
        raise StorageError(_error_text(address, error)) from None


def require_file(address: Address) -> Path:
    """Return the file of a local address; raises `SpecError` if it does not exist."""
    assert address.path is not None, "not a server"
    if not address.path.is_file():
        raise file_missing("--storage", address)
    return address.path


def _query_file(file: Path, function: Callable[[Query], Result]) -> Result:
    before = file.stat()
    if _has_no_writer(file):
        with _opened(file, "mode=ro&immutable=1") as query:  # mode=ro alone would create files next to it
            try:
                found = function(query)
            except sqlite3.DatabaseError:
                if _is_unchanged(file, before):
                    raise
            else:
                if _is_unchanged(file, before):
                    return found
    try:
        with _opened(file, "mode=ro") as query:
            return function(query)
    except sqlite3.OperationalError as error:
        if "unable to open" not in str(error) and "readonly" not in str(error):
            raise
    with tempfile.TemporaryDirectory() as folder:  # files of a killed writer in a read-only folder
        copy = Path(folder, file.name)
        for ending in ("", "-wal", "-journal"):
            if (part := file.with_name(file.name + ending)).exists():
                shutil.copyfile(part, copy.with_name(copy.name + ending))
        with _opened(copy, "") as query:
            return function(query)


def _has_no_writer(file: Path) -> bool:
    """Return whether no process has the database open for writing: it uses a write-ahead log, and none exists."""
    with file.open("rb") as opened:
        has_log = opened.read(20)[18:20] == b"\x02\x02"
    return has_log and not file.with_name(f"{file.name}-wal").exists()


def _is_unchanged(file: Path, before: Any) -> bool:
    now = file.stat()
    return (before.st_mtime_ns, before.st_size, before.st_ino) == (now.st_mtime_ns, now.st_size, now.st_ino)


@contextlib.contextmanager
def _opened(file: Path, options: str) -> Iterator[Query]:
    address = f"file:{quote(str(file.absolute()))}?{options}"
    connection = sqlite3.connect(address, uri=True, timeout=WAITS)
    try:
        connection.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
        distrust(connection)
        # One transaction: all rows are of the same moment.
        connection.execute("BEGIN")
        _require_tables(connection, file)
        yield lambda text, places: connection.execute(text, dict(places)).fetchall()
    finally:
        connection.close()


def distrust(connection: Any) -> None:
    """Forbid the schema in the file of `connection`, which may be untrusted, functions with side effects."""
    connection.execute("PRAGMA trusted_schema=OFF")


def _require_tables(connection: sqlite3.Connection, file: Path) -> None:
    """Raise `StorageError` for a file with views or triggers: Optuna creates none, and one might never terminate."""
    wanted = "SELECT type, name FROM sqlite_master WHERE type IN ('view', 'trigger') LIMIT 1"
    for kind, name in connection.execute(wanted):
        what = f"not a study database: it holds the {kind} '{one_line(name)}'"
        raise StorageError(f"{file}: {what}. Name another with --storage.")


def _query_server(address: Address, function: Callable[[Query], Result]) -> Result:
    import sqlalchemy

    engine = sqlalchemy.create_engine(address.url, connect_args=server_options(address))
    try:
        options = {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
        with engine.connect().execution_options(**options) as connection:
            return function(
                lambda text, places: [tuple(row) for row in connection.execute(sqlalchemy.text(text), dict(places))]
            )
    finally:
        engine.dispose()


def _error_text(address: Address, error: Exception) -> str:
    cause = cause_of(getattr(error, "orig", None) or error, address)
    missing = any(word in cause for word in ("no such table", "no such column", "does not exist", "not a database"))
    if missing and 'database "' not in cause:
        return f"{address}: not a study database that this Optuna can read ({cause}). Name another with --storage."
    return f"{address}: the study database cannot be read: {cause}. Name another with --storage."
