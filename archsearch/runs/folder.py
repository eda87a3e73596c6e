"""The folder of a run, which may come from somebody else: nothing is written through the links in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from archsearch.errors import SpecError


def refuse_links(run_dir: Path) -> None:
    """Raise `SpecError` for a link in `run_dir` that leads out of it: a file written there would replace another."""
    inside = run_dir.resolve()
    for one in _entries(run_dir):
        if one.is_symlink() and not one.resolve().is_relative_to(inside):
            what = f"is a link that leads out of the run's folder, to {one.readlink()}"
            raise SpecError(str(one), what, "Remove it, or copy the file that it names.")


def _entries(folder: Path) -> Iterator[Path]:
    """Yield what is in `folder` and in the folders in it."""
    for one in folder.iterdir() if folder.is_dir() else ():
        yield one
        if not one.is_symlink() and one.is_dir():
            yield from _entries(one)
