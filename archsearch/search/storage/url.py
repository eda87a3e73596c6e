"""Addresses of study databases: what kind each is, and how it is shown; a password is never shown.

Imports the standard library and `errors` only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from archsearch.errors import SpecError
from archsearch.masking import mask

Kind = Literal["sqlite", "postgresql", "journal"]
DEFAULT_STORAGE = "sqlite:///outputs/studies.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where studies lie: `url` is for SQLAlchemy (`journal:FILE` has none), `path` the file where there is one."""

    kind: Kind
    url: str
    path: Path | None

    def __str__(self) -> str:
        """Return the address as it may be shown."""
        return mask(self.url)

    def __repr__(self) -> str:
        return f"Address('{self}')"


def parse_address(storage: str, where: str = "study.storage") -> Address:
    """Return the address that `storage` means; raises `SpecError` for one that no study can lie at.

    Known are `sqlite:///FILE` (a bare FILE ending in .db, .sqlite or .sqlite3 means the same),
    `postgresql://...` (driver psycopg unless another is named) and `journal:FILE`.
    """
    scheme, _, rest = storage.partition(":")
    if scheme == "sqlite" and rest.startswith("///") and len(rest) > 3:
        return Address(kind="sqlite", url=storage, path=Path(rest[3:].partition("?")[0]))
    if scheme == "journal" and rest.strip("/"):
        path = Path(rest.removeprefix("///") if rest.startswith("///") else rest)
        return Address(kind="journal", url=storage, path=path)
    if scheme in ("postgres", "postgresql") and rest.startswith("//"):
        return Address(kind="postgresql", url=f"postgresql+psycopg:{rest}", path=None)
    if scheme.startswith("postgresql+") and rest.startswith("//"):
        return Address(kind="postgresql", url=storage, path=None)
    if storage.endswith((".db", ".sqlite", ".sqlite3")) and "://" not in storage:
        return Address(kind="sqlite", url=f"sqlite:///{storage}", path=Path(storage))
    fix = f"Use {DEFAULT_STORAGE}, postgresql://USER@HOST/DATABASE, or journal:FILE."
    raise SpecError(where, f"'{mask(storage)}' is not the address of a study database", fix)
