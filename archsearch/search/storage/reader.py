"""The reader: studies as plain values from any kind of database, which is neither created nor changed.

A search may write to the database at the same time. Imports optuna for journals only, inside functions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.errors import SpecError, StorageError
from archsearch.formatting import one_line
from archsearch.search.storage.queries import no_study, select_names, select_overviews, select_study
from archsearch.search.storage.read import Overview, StudyRead, overview_of, read_study
from archsearch.search.storage.readonly import require_file, run_query
from archsearch.search.storage.url import DEFAULT_STORAGE, Address, parse_address

if TYPE_CHECKING:
    from archsearch.search.storage.database import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads the studies at `address`; every method reads the current state."""

    address: Address

    def names(self) -> list[str]:
        """Return the names of all studies."""
        if self.address.kind == "journal":
            from archsearch.search.storage.study import study_names

            return study_names(_journal(self.address))
        return run_query(self.address, select_names)

    def overviews(self) -> list[Overview]:
        """Return the overview of each study."""
        if self.address.kind == "journal":
            from archsearch.search.storage.study import study_names

            store = _journal(self.address)
            return [overview_of(read_study(store, name)) for name in study_names(store)]
        return run_query(self.address, select_overviews)

    def study(self, name: str | None = None) -> StudyRead:
        """Return the study `name`, or the only one; raises `SpecError` if it is missing or there are several."""
        if self.address.kind == "journal":
            from archsearch.search.storage.study import study_names

            store = _journal(self.address)
            names = study_names(store)
            chosen = choose(names) if name is None else name
            if chosen not in names:
                raise no_study(chosen, names)
            return read_study(store, chosen)
        return run_query(
            self.address, lambda query: select_study(query, choose(select_names(query)) if name is None else name)
        )


def open_reader(storage: str = DEFAULT_STORAGE) -> Reader:
    """Return a reader of the studies at `storage`; raises `SpecError` for an invalid address."""
    return Reader(address=parse_address(storage, "--storage"))


def choose(names: list[str]) -> str:
    """Return the only one of `names`; raises `SpecError` if there are none or several."""
    if len(names) == 1:
        return names[0]
    if not names:
        raise SpecError("study", "the database has no study yet", "Run a design: python -m archsearch.run.")
    listed = ", ".join(map(one_line, names))
    raise SpecError("study", f"the database has {len(names)} studies", f"Name one of them: {listed}.")


def _journal(address: Address) -> Store:
    """Return the journal as a read-only store: Optuna's own backend would create and lock files."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend

    from archsearch.search.storage.database import Store, quiet_optuna

    file = require_file(address)
    quiet_optuna()

    class ReadOnlyJournal(BaseJournalBackend):
        def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
            yield from _lines(file, log_number_from)

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            raise AssertionError("a reader must not write")

    try:
        storage = JournalStorage(ReadOnlyJournal())
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise StorageError(f"{address}: not a journal of studies ({type(error).__name__}: {error})") from None

    def no_lock() -> Any:
        raise AssertionError("a reader must not lock")

    return Store(address=address, storage=storage, lock=no_lock)


def _lines(file: Path, first: int) -> Iterator[dict[str, Any]]:
    with file.open("rb") as opened:
        for number, line in enumerate(opened):
            if not line.endswith(b"\n"):
                return  # this line is still being written
            if number >= first:
                yield json.loads(line)
