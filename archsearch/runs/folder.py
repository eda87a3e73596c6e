"""Checks of a run directory: it holds one run, and no link that leads out of it. Does not import torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from archsearch.analysis.check import Checked
from archsearch.errors import ArchsearchError, SpecError
from archsearch.masking import mask
from archsearch.overrides import SEARCH_GROUPS, group_of, key_of
from archsearch.runs.record import read_result

HYDRA = ".hydra"
"""The folder in which Hydra stores the configuration."""
_OF_NO_RUN = (*SEARCH_GROUPS, "resume", "tracking")
"""Groups that affect where and how a run is recorded, but do not identify the run."""


def require_own_folder(run_dir: Path, checked: Checked, overrides: Iterable[str], *, resumed: bool) -> None:
    """Raise `SpecError` if `run_dir` holds a run other than that of the design and `overrides`.

    A `resumed` run may change its overrides; those that must not change are compared with its checkpoint.
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


def require_same_settings(run_dir: Path, tree: Mapping[str, Any]) -> None:
    """Raise `SpecError` if the configuration `tree` would train otherwise than the finished run in `run_dir` did."""
    import yaml

    try:
        held = yaml.safe_load((run_dir / HYDRA / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError, RecursionError):
        return
    before, now = _training_keys(held), _training_keys(tree)
    differing = [
        f"{key} ({before[key]}, now {now[key]})" for key in before.keys() & now.keys() if before[key] != now[key]
    ]
    if differing:
        what = f"{run_dir} is complete, and the command differs from it in {', '.join(sorted(differing))}"
        fix = "Leave that out, or start a new run without resume."
        if before.get("train.epochs") != now.get("train.epochs"):
            fix += " Only a run with schedule=constant and train.keep_checkpoint=true can be trained for more epochs."
        raise SpecError("resume", what, fix)


def _training_keys(tree: object) -> dict[str, Any]:
    """Return the settings that change the result of a training, by dotted key, without interpolations."""
    from archsearch.search.task import training_settings

    found: dict[str, Any] = {}
    for name, part in training_settings(tree).items() if isinstance(tree, Mapping) else ():
        found |= {f"{name}.{key}": value for key, value in part.items()} if isinstance(part, Mapping) else {name: part}
    return {key: value for key, value in found.items() if "${" not in str(value)}


def design_in(run_dir: Path) -> str | None:
    """Return the id of the design whose run is in `run_dir`; None if no run there can be read."""
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
    """Return the keys in which the overrides of the run in `run_dir` differ from `overrides`; empty without a run."""
    import yaml

    if not (run_dir / "design.yaml").is_file():  # a rejected command left only its configuration
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
    """Raise `SpecError` for a link out of `run_dir` through which writing a file would overwrite another file.

    Links to folders are accepted, except for `.hydra`: a run writes only into its own folder and `.hydra`.
    """
    inside = run_dir.resolve()
    for folder in (run_dir, run_dir / HYDRA):
        for one in folder.iterdir() if folder.is_dir() else ():
            written = one.name == HYDRA or not one.is_dir()
            if written and one.is_symlink() and not one.resolve().is_relative_to(inside):
                what = f"is a link that leads out of the run's folder, to {one.readlink()}"
                raise SpecError(str(one), what, "Remove it, or copy the file that it names.")
