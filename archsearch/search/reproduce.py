"""The command that trains a trial's design again, from the overrides in its folder, its assignments, or its design.

Reads values and files, and needs no optuna.
"""

from __future__ import annotations

from pathlib import Path

from archsearch.config_files import ConfigSources, config_folder, sources_of_run
from archsearch.config_files.rules import check_overrides
from archsearch.errors import SpecError
from archsearch.overrides import SEARCH_GROUPS, assign, group_of, run_command, with_assignments
from archsearch.search.storage.read import StudyRead, TrialRead

_OF_SEARCH = (*SEARCH_GROUPS, "resume")
_OUTSIDE_DESIGN = ("train", "optimizer", "schedule", "augment", "seed")


def command_again(study: StudyRead, trial: TrialRead) -> str | None:
    """Return the command; None if the trial records none, or one that must not come from a file (`unsafe_command`)."""
    try:
        overrides = overrides_again(study, trial)
    except SpecError:
        return None
    return None if overrides is None else run_command(overrides, _sources(trial).flags())


def _sources(trial: TrialRead) -> ConfigSources:
    """Return the user's config folders and main file: from the run's folder, otherwise from the trial's record."""
    folder = trial.folder()
    found = ConfigSources() if folder is None else sources_of_run(folder)
    return found or ConfigSources.from_record(trial.attrs)


def unsafe_command(study: StudyRead, trial: TrialRead) -> str | None:
    """Return why the recorded command is not shown (it would run code or read a secret); None if it is safe."""
    try:
        overrides_again(study, trial)
    except SpecError as error:
        return str(error)
    return None


def overrides_again(study: StudyRead, trial: TrialRead) -> list[str] | None:
    """Return the overrides of the command: from the run's folder, otherwise from the trial's record.

    Raises `SpecError` if they run code or read a secret: the folder and the record may come from someone else.
    """
    found = _recorded_overrides(study, trial)
    check_overrides(found or (), f"trial {trial.number}")
    return found


def _recorded_overrides(study: StudyRead, trial: TrialRead) -> list[str] | None:
    folder = trial.folder()
    if folder is not None and (kept := _overrides_in(folder)) is not None:
        return [one for one in kept if group_of(one) not in _OF_SEARCH]
    ours = "sweep" in trial.attrs or "key" in trial.attrs
    if not ours or not trial.assignments:
        return None
    assignments = trial.used_assignments
    base = trial.attrs.get("base")
    if isinstance(base, list):
        return with_assignments((str(one) for one in base if group_of(str(one)) not in _OF_SEARCH), assignments)
    if "sweep" in trial.attrs and folder is not None and (design := folder / "design.yaml").is_file():
        # The assignments lack the overrides of the sweep's own command line; the design file is complete.
        assignments = {
            "arch": str(design),
            **{name: value for name, value in assignments.items() if group_of(name) in _OUTSIDE_DESIGN},
        }
    groups = [
        f"{group}={name}"
        for group, name in (("data", study.attrs.get("data")), ("constraints", study.attrs.get("limits")))
        if group not in assignments and isinstance(name, str) and (config_folder() / group / f"{name}.yaml").is_file()
    ]
    return [*groups, *(assign(name, value) for name, value in assignments.items())]


def _overrides_in(folder: Path) -> list[str] | None:
    """Return the overrides in a run's folder; None if they are missing or cannot be read."""
    import yaml

    file = folder / ".hydra" / "overrides.yaml"
    if not file.is_file():
        return None
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    texts = isinstance(found, list) and all(isinstance(one, str) for one in found)
    return found if texts else None
