"""The folder of a run: it holds one run, and nothing is written through a link in it that leads out of it. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from archsearch.analysis.check import Checked
from archsearch.errors import ArchsearchError, SpecError
from archsearch.masking import mask
from archsearch.overrides import SEARCH_GROUPS, group_of, key_of
from archsearch.runs.record import read_result

HYDRA = ".hydra"
"""The folder in which Hydra leaves the configuration."""
_OF_NO_RUN = (*SEARCH_GROUPS, "resume", "tracking")
"""Groups that say where and how a run is recorded, not which run it is."""


def require_own_folder(run_dir: Path, checked: Checked, overrides: Iterable[str], *, resumed: bool) -> None:
    """Raise `SpecError` if `run_dir` holds another run than that of the design and `overrides`.

    A run that is `resumed` may change its overrides: what has to stay is compared with its checkpoint.
    """
    place = "resume" if resumed else "hydra.run.dir"
    held = design_in(run_dir)
    if held is not None and held != checked.design_id:
        what = f"{run_dir} holds the run of another design"
    elif not resumed and (differing := _differing(run_dir, overrides)):
        what = f"{run_dir} holds another run: it differs in {', '.join(differing)}"
    else:
        return
    fix = "Leave out what changes the design." if resumed else "Choose another folder, or leave hydra.run.dir out."
    raise SpecError(place, what, fix)


def design_in(run_dir: Path) -> str | None:
    """Return the id of the design whose run `run_dir` holds, or None where it holds none that can be read."""
    record = read_result(run_dir)
    if record is not None:
        return record["design_id"]
    import yaml

    from archsearch.design.lower import lower
    from archsearch.design.plan import design_id
    from archsearch.design.spec import decode_design, no_blocks

    try:
        held = yaml.safe_load((run_dir / "design.yaml").read_text(encoding="utf-8"))
        return design_id(lower(decode_design(held, no_blocks)))
    except (OSError, ValueError, yaml.YAMLError, RecursionError, ArchsearchError):
        return None


def _differing(run_dir: Path, overrides: Iterable[str]) -> list[str]:
    """Return the keys that the run in `run_dir` and `overrides` set to other values; none where it holds no run."""
    import yaml

    if not (run_dir / "design.yaml").is_file():  # a command that was refused has left its configuration alone
        return []
    try:
        held = yaml.safe_load((run_dir / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return []
    if not isinstance(held, list):
        return []
    return sorted({key_of(one) for one in _of_the_run(map(str, held)) ^ _of_the_run(overrides)})


def _of_the_run(overrides: Iterable[str]) -> set[str]:
    return {mask(one).lstrip("+") for one in overrides if group_of(one) not in _OF_NO_RUN}


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
