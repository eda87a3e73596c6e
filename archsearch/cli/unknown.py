"""Errors for unknown keys and options, with the closest known one by spelling or by its name in other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from archsearch.config_files import groups, options_of
from archsearch.decode import SYNONYMS, suggest
from archsearch.errors import SpecError

_OF_SWEEPER: Mapping[str, str] = {
    "n_trials": "study.trials=20",
    "n_jobs": "study.workers=2",
    "max_batch_size": "study.workers=2",
    "study_name": "study.name=NAME",
    "storage": "study.storage=sqlite:///FILE",
    "direction": "study.objectives=[accuracy]",
    "sampler": "sampler=tpe",
    "params": "space=NAME",
    "search_space": "space=NAME",
    "max_failure_rate": "study.max_failures=5",
    "seed": "study.sampler.seed=0",
}
"""Keys of `hydra.sweeper` in other sweepers, and their equivalents in archsearch."""
_EXTRAS = {"joblib": "launchers", "submitit_local": "launchers", "submitit_slurm": "launchers", "ray": "ray"}
"""The extra of archsearch that installs each launcher."""
_HYDRA = ("run.dir", "sweep.dir", "sweep.subdir", "job.name", "job.chdir", "output_subdir", "verbose", "searchpath",
          "mode", "launcher", "sweeper", "job_logging", "hydra_logging")  # fmt: skip


def top_keys() -> list[str]:
    """Return the top-level keys of a configuration."""
    return sorted({"seed", "resume", *groups()})


def unknown_key(key: str) -> SpecError:
    """Return the error of a `key` that the configuration does not have."""
    first, _, rest = key.partition(".")
    if key in ("plot", "samples", "erf", "card", "module", "module_args", "weights", "design"):
        return SpecError(key, "unknown key", f"It is one of archsearch.show: python -m archsearch.show {key}=...")
    if first != "hydra":
        return SpecError(key, "unknown key", _elsewhere(key) or suggest(key, top_keys()))
    group, _, name = rest.partition(".")
    if group == "sweeper":
        ours = _OF_SWEEPER.get(name.partition(".")[0])
        fix = f"Write {ours}." if ours else "A search is set up by study.*, sampler=, pruner= and space=."
        return SpecError(key, "archsearch's own sweeper has no such key", fix)
    close = suggest(rest, _HYDRA)
    fix = close.replace("'", "'hydra.", 1) if close.startswith("Did") else f"To add a key to Hydra's own: +{key}=VALUE"
    return SpecError(key, "unknown key", fix)


def unknown_option(group: str, option: str, options: Sequence[str]) -> SpecError:
    """Return the error of an `option` that a group does not have."""
    if group == "hydra/launcher":
        extra = _EXTRAS.get(option)
        package = f"'archsearch[{extra}]'" if extra else f"hydra-{option.replace('_', '-')}-launcher"
        close = suggest(option, [*_EXTRAS, *options])
        fix = f"Install it: pip install {package}" if extra or not close.startswith("Did") else close
        return SpecError(
            group, f"the launcher '{option}' is not installed" if extra else f"unknown option '{option}'", fix
        )
    if group == "hydra/sweeper":
        fix = "Leave it out: -m searches with archsearch's own. Choose the algorithm by sampler=NAME."
        return SpecError(group, f"the sweeper '{option}' is not installed", fix)
    fix = suggest(option, options)
    if not fix.startswith("Did"):
        others = [other for other in groups() if option in options_of(other)]
        fix = f"Did you mean '{others[0]}={option}'?" if others else fix
    return SpecError(group, f"unknown option '{option}'", fix)


def _elsewhere(key: str) -> str:
    """Return a suggestion of the dotted key that `key` abbreviates; empty if there is none."""
    from archsearch.settings.data import DataSettings
    from archsearch.settings.study import StudySettings
    from archsearch.settings.training import OptimizerSettings, ScheduleSettings, TrainSettings

    kinds: dict[str, Any] = {
        "train": TrainSettings, "optimizer": OptimizerSettings, "schedule": ScheduleSettings,
        "data": DataSettings, "study": StudySettings,
    }  # fmt: skip
    if "." in key or (key.lower() not in SYNONYMS and suggest(key, top_keys()).startswith("Did")):
        return ""
    for name in (key, SYNONYMS.get(key.lower(), key)):
        for group, kind in kinds.items():
            assert is_dataclass(kind), "settings are dataclasses"
            if name in {field.name for field in fields(kind)} - {"name"}:
                return f"Did you mean '{group}.{name}'?"
    return ""
