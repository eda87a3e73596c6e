"""Read-only access to a study database, also while it is written: nothing of it is created, changed or locked.

SQLite is read through the standard library, a server through SQLAlchemy (imported inside functions). No optuna.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from archsearch.errors import SpecError, StorageError
from archsearch.masking import mask
from archsearch.search.storage.url import Address

Query = Callable[[str, Mapping[str, Any]], Sequence[Sequence[Any]]]
"""Returns the rows of one SQL statement with `:name` parameters."""
Answer = TypeVar("Answer")
WAITS = 10.0  # seconds for a writer that holds a database of the old kind


def run_query(address: Address, function: Callable[[Query], Answer]) -> Answer:
    """Return what `function` makes of the database at `address`; it may be called twice where a writer comes between.

    Raises `SpecError` where there is none, `StorageError` where it does not answer or is no study database.
    """
    try:
        if address.kind == "sqlite":
            assert address.path is not None, "a SQLite database is a file"
            return _query_file(require_file(address), function)
        return _query_server(address, function)
    except (SpecError, StorageError):
        raise
    except ImportError as error:
        fix = "Install it: pip install 'archsearch[postgres]'."
        raise SpecError("--storage", f"the driver of {address} is missing ({error})", fix) from error
    except Exception as error:  # noqa: BLE001  (every driver has errors of its own)
        raise StorageError(_error_text(address, error)) from None


def require_file(address: Address) -> Path:
    """Return the file that studies lie in; raises `SpecError` where it is not there."""
    assert address.path is not None, "not a server"
    if not address.path.is_file():
        fix = "Run a design first, or name another: --storage sqlite:///FILE."
        raise SpecError("--storage", f"there is no study database at {address.path}", fix)
    return address.path


def _query_file(file: Path, function: Callable[[Query], Answer]) -> Answer:
    before = file.stat()
    if _is_still(file):
        with _opened(file, "mode=ro&immutable=1") as query:  # leaves no file beside it, as mode=ro alone does
            try:
                answer = function(query)
            except sqlite3.DatabaseError:
                if _same(before, file):
                    raise
            else:
                if _same(before, file):
                    return answer
    try:
        with _opened(file, "mode=ro") as query:
            return function(query)
    except sqlite3.OperationalError as error:
        if "unable to open" not in str(error) and "readonly" not in str(error):
            raise
    with tempfile.TemporaryDirectory() as folder:  # what a killed writer left in a folder that cannot be written
        copy = Path(folder, file.name)
        for ending in ("", "-wal", "-journal"):
            if (part := file.with_name(file.name + ending)).exists():
                shutil.copyfile(part, copy.with_name(copy.name + ending))
        with _opened(copy, "") as query:
            return function(query)


def _is_still(file: Path) -> bool:
    """Return whether nobody has the database open for writing: it keeps a log of writes, and there is none."""
    with file.open("rb") as opened:
        logs = opened.read(20)[18:20] == b"\x02\x02"
    return logs and not file.with_name(f"{file.name}-wal").exists()


def _same(before: Any, file: Path) -> bool:
    now = file.stat()
    return (before.st_mtime_ns, before.st_size, before.st_ino) == (now.st_mtime_ns, now.st_size, now.st_ino)


@contextlib.contextmanager
def _opened(file: Path, options: str) -> Iterator[Query]:
    address = f"file:{quote(str(file.absolute()))}?{options}"
    connection = sqlite3.connect(address, uri=True, timeout=WAITS)
    try:
        # One reading transaction: all answers are of the same moment.
        connection.execute("BEGIN")
        yield lambda text, places: connection.execute(text, dict(places)).fetchall()
    finally:
        connection.close()


def _query_server(address: Address, function: Callable[[Query], Answer]) -> Answer:
    import sqlalchemy

    engine = sqlalchemy.create_engine(address.url)
    try:
        options = {"postgresql_readonly": True, "isolation_level": "REPEATABLE READ"}
        with engine.connect().execution_options(**options) as connection:
            return function(
                lambda text, places: [tuple(row) for row in connection.execute(sqlalchemy.text(text), dict(places))]
            )
    finally:
        engine.dispose()


def _error_text(address: Address, error: Exception) -> str:
    # The driver's own message and its chain may hold the password.
    lines = str(getattr(error, "orig", None) or error).strip().splitlines() or [type(error).__name__]
    cause = mask(lines[0])
    missing = any(word in cause for word in ("no such table", "no such column", "does not exist", "not a database"))
    if missing and 'database "' not in cause:
        return f"{address}: is not a study database that this Optuna can read ({cause}). Name another with --storage."
    return f"{address}: the study database cannot be read: {cause}. Name another with --storage."
