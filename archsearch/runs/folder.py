"""The folder of a run, which may come from somebody else: nothing is written through the links in it."""

from __future__ import annotations

from pathlib import Path

from archsearch.errors import SpecError

HYDRA = ".hydra"
"""The folder in which Hydra leaves the configuration."""


def refuse_links(run_dir: Path) -> None:
    """Raise `SpecError` for a link in `run_dir` that leads out of it, where a file written there replaced another.

    Links to other folders are accepted: a run writes into none but its own and `.hydra`.
    """
    inside = run_dir.resolve()
    for folder in (run_dir, run_dir / HYDRA):
        for one in folder.iterdir() if folder.is_dir() else ():
            written = one.name == HYDRA or not one.is_dir()
            if written and one.is_symlink() and not one.resolve().is_relative_to(inside):
                what = f"is a link that leads out of the run's folder, to {one.readlink()}"
                raise SpecError(str(one), what, "Remove it, or copy the file that it names.")
