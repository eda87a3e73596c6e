"""The command that trains a trial's design again, from the overrides in its folder, its assignments, or its design.

Works on values and files; knows no optuna.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from archsearch.config_folder import config_folder
from archsearch.search.storage.read import StudyRead, TrialRead

COMMAND = "python -m archsearch.run"
_OF_SEARCH = ("space", "sampler", "pruner", "study", "hydra", "resume")
_LATER = ("train", "optimizer", "schedule", "augment", "seed")  # what a design does not say


def command_again(study: StudyRead, trial: TrialRead) -> str | None:
    """Return the command, or None where nothing that the trial says would make its design again."""
    overrides = overrides_again(study, trial)
    return None if overrides is None else " ".join([COMMAND, *(shlex.quote(one) for one in overrides)])


def overrides_again(study: StudyRead, trial: TrialRead) -> list[str] | None:
    """Return the overrides of the command: those that the run's folder holds, or else what can be told of them."""
    from archsearch.search.summary import literal

    folder = trial.attrs.get("run_dir")
    if isinstance(folder, str) and (kept := _kept(Path(folder))) is not None:
        return [one for one in kept if _top(one) not in _OF_SEARCH]
    ours = "sweep" in trial.attrs or "key" in trial.attrs
    if not ours or not trial.assignments:
        return None
    raw = trial.attrs.get("unused")
    unused = raw if isinstance(raw, list) else []
    repairs = trial.attrs.get("repairs")
    used = {name: value for name, value in trial.assignments.items() if name not in unused}
    assignments = {**used, **(repairs if isinstance(repairs, dict) else {})}
    base = trial.attrs.get("base")
    if isinstance(base, list):
        lines = [str(one) for one in base if _key(str(one)) not in assignments and _top(str(one)) not in _OF_SEARCH]
        return [*lines, *(f"{name}={literal(value)}" for name, value in assignments.items())]
    if "sweep" in trial.attrs and isinstance(folder, str) and (design := Path(folder, "design.yaml")).is_file():
        # What stood on the sweep's own command line is not among the assignments; its design has it all.
        assignments = {
            "arch": str(design),
            **{name: value for name, value in assignments.items() if _top(name) in _LATER},
        }
    held = [
        f"{group}={name}"
        for group, name in (("data", study.attrs.get("data")), ("constraints", study.attrs.get("limits")))
        if group not in assignments and isinstance(name, str) and (config_folder() / group / f"{name}.yaml").is_file()
    ]
    return [*held, *(f"{name}={literal(value)}" for name, value in assignments.items())]


def _kept(folder: Path) -> list[str] | None:
    """Return the overrides in a run's folder, None where it has none that can be read."""
    import yaml

    try:
        found = yaml.safe_load((folder / ".hydra" / "overrides.yaml").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None
    texts = isinstance(found, list) and all(isinstance(one, str) for one in found)
    return found if texts else None


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _top(override: str) -> str:
    return _key(override).partition("@")[0].partition(".")[0].partition("/")[0]
