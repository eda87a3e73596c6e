"""Addresses of study databases: their kinds, their masked form, and the errors when one is opened.

Imports the standard library, `errors` and `masking` only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs

from archsearch.errors import SpecError
from archsearch.masking import mask, mask_address

Kind = Literal["sqlite", "postgresql", "journal"]
_AMBIGUOUS = re.compile(r"[^@]*:[^@]*@(?:[^?]*|[^=]*)@.*", re.DOTALL)
DEFAULT_STORAGE = "sqlite:///outputs/studies.db"
_SERVER_OPTIONS = {
    "connect_timeout": 10,  # seconds
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # milliseconds
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The address of a study database: `url` is SQLAlchemy's or `journal:FILE`, `path` is the file of a local one."""

    kind: Kind
    url: str
    path: Path | None

    def __str__(self) -> str:
        """Return the address with its password masked."""
        return mask_address(self.url)

    def __repr__(self) -> str:
        return f"Address('{self}')"


def parse_address(storage: str, where: str = "study.storage") -> Address:
    """Return the address that `storage` specifies; raises `SpecError` for an invalid one.

    Valid are `sqlite:///FILE` (a bare FILE ending in .db, .sqlite or .sqlite3 means the same),
    `postgresql://...` (driver psycopg unless another is named) and `journal:FILE`.
    """
    scheme, _, rest = storage.partition(":")
    if scheme.startswith("postgres") and _AMBIGUOUS.fullmatch(rest):  # the driver would read part of it as the host
        raise SpecError(where, f"'{mask_address(storage)}' has an '@' in its user or password", "Write %40 for it.")
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
    raise SpecError(where, f"'{mask_address(storage)}' is not the address of a study database", fix)


def server_options(address: Address) -> dict[str, int]:
    """Return the options of a connection to a server, without those that the address itself sets.

    With them a command notices within half a minute that the network or the server is gone, not after a quarter of an
    hour. They are options of libpq, so other drivers get none.
    """
    if not address.url.startswith(("postgresql+psycopg:", "postgresql+psycopg2:")):
        return {}
    given = parse_qs(address.url.partition("?")[2])
    return {name: value for name, value in _SERVER_OPTIONS.items() if name not in given}


def file_missing(where: str, address: Address) -> SpecError:
    """Return the error that the file of a local address does not exist."""
    fix = "Run a design first, or name another database: --storage sqlite:///FILE."
    return SpecError(where, f"no study database at {address.path}", fix)


def driver_missing(where: str, address: Address, error: ImportError) -> SpecError:
    """Return the error that the Python package of a database driver is not installed."""
    fix = "Install it: pip install 'archsearch[postgres]'."
    return SpecError(where, f"the driver of {address} is missing ({error})", fix)


def cause_of(error: BaseException, address: Address) -> str:
    """Return the first line of a driver's message, with passwords masked."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return mask(lines[0], of=address.url)
