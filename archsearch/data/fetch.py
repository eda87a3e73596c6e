"""Fetching a file over the network, checked and in one step. The standard library only."""

from __future__ import annotations

import hashlib
import http.client
import threading
import urllib.request
from pathlib import Path
from typing import Any

from archsearch.data.cache import replacing


class FetchFailed(Exception):
    """A file could not be fetched; the text says why. It stays inside this room."""


def fetch(url: str, target: Path, *, md5: str, patience: float = 3.0) -> None:
    """Fetch `url` to `target`, or raise `FetchFailed` and leave nothing behind.

    `patience` is how many seconds the server may take to answer; after that, a stall may last ten times as long.
    Raises `StorageError` where `target` cannot be written.
    """
    response = _answer(url, patience)
    seen = hashlib.md5(usedforsecurity=False)
    with response, replacing(target, fix="Free some space, or put the data elsewhere with data.cache=DIR.") as file:
        while True:
            try:
                piece = response.read(1 << 20)
            except (OSError, http.client.HTTPException) as error:
                raise FetchFailed(f"broke off: {error}") from error
            if not piece:
                break
            seen.update(piece)
            file.write(piece)
        if seen.hexdigest() != md5:
            raise FetchFailed("what came is not the file that was expected (its MD5 differs)")


def _answer(url: str, patience: float) -> Any:
    """Return the opened response. A thread waits for it, because the look-up of a name heeds no time limit."""
    got: list[Any] = []

    def ask() -> None:
        try:
            got.append(urllib.request.urlopen(url, timeout=patience * 10))
        except (OSError, http.client.HTTPException, ValueError) as error:
            got.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(patience)
    if not got:
        raise FetchFailed(f"no answer within {patience:g} s")
    if isinstance(got[0], Exception):
        raise FetchFailed(str(getattr(got[0], "reason", "") or got[0]))
    return got[0]
