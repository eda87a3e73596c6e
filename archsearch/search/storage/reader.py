"""The reader: studies as values from any kind of database, which it neither creates nor changes.

A search may run meanwhile. Imports optuna for journals alone, inside functions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.errors import SpecError, StorageError
from archsearch.search.storage.queries import no_study, select_names, select_overviews, select_study
from archsearch.search.storage.read import Overview, StudyRead, overview_of, read_study
from archsearch.search.storage.readonly import require_file, run_query
from archsearch.search.storage.url import DEFAULT_STORAGE, Address, parse_address

if TYPE_CHECKING:
    from archsearch.search.storage.database import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads the studies at `address`; every method reads the present state."""

    address: Address

    def names(self) -> list[str]:
        """Return the names of all studies."""
        if self.address.kind == "journal":
            from archsearch.search.storage.study import study_names

            return study_names(_journal(self.address))
        return run_query(self.address, select_names)

    def overviews(self) -> list[Overview]:
        """Return how each study stands."""
        if self.address.kind == "journal":
            from archsearch.search.storage.study import study_names

            store = _journal(self.address)
            return [overview_of(read_study(store, name)) for name in study_names(store)]
        return run_query(self.address, select_overviews)

    def study(self, name: str | None = None) -> StudyRead:
        """Return the study `name`, or the only one there is; raises `SpecError` where that is unclear."""
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
    """Return the reader of the studies at `storage`; raises `SpecError` for an address that cannot be one."""
    return Reader(address=parse_address(storage, "--storage"))


def choose(names: list[str]) -> str:
    """Return the only one of `names`; raises `SpecError` where there is none, or several to choose from."""
    if len(names) == 1:
        return names[0]
    if not names:
        raise SpecError("study", "the database holds no study yet", "Run a design: python -m archsearch.run.")
    raise SpecError("study", f"there are {len(names)}", f"Name one of them: {', '.join(names)}.")


def _journal(address: Address) -> Store:
    """Return the journal as a store that can only be read: Optuna's own would make and lock files."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend

    from archsearch.search.storage.database import Store, quiet_optuna

    file = require_file(address)
    quiet_optuna()

    class ReadOnlyJournal(BaseJournalBackend):
        def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
            yield from _lines(file, log_number_from)

        def append_logs(self, logs: list[dict[str, Any]]) -> None:
            raise AssertionError("a reader writes nothing")

    try:
        storage = JournalStorage(ReadOnlyJournal())
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise StorageError(f"{address}: is no journal of studies ({type(error).__name__}: {error})") from None

    def nobody() -> Any:
        raise AssertionError("a reader holds nothing")

    return Store(address=address, storage=storage, lock=nobody)


def _lines(file: Path, first: int) -> Iterator[dict[str, Any]]:
    with file.open("rb") as opened:
        for number, line in enumerate(opened):
            if not line.endswith(b"\n"):
                return  # half of a line that somebody is writing
            if number >= first:
                yield json.loads(line)
