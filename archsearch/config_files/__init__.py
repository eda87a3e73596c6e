"""The YAML files of a configuration: their folders, reading them as Hydra does, and looking up blocks by name.

OmegaConf is imported inside functions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.config_files.limits import read_text
from archsearch.config_files.rules import check_design
from archsearch.decode import suggest
from archsearch.errors import SpecError, StorageError
from archsearch.overrides import quoted

if TYPE_CHECKING:
    from yaml import YAMLError

_OF_USER = ("command-line", "hydra.searchpath in command-line", "hydra.searchpath in main")
_PACKAGE = Path(__file__).resolve().parents[1]
MAIN = "config"
"""The name of the shipped main configuration."""
MAX_RECORDED = 400_000
"""The most characters of a recorded design."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigSources:
    """The additions to the shipped groups that a command composes: `folders`, and the `name` of the main file."""

    folders: tuple[str, ...] = ()
    name: str = MAIN

    def __bool__(self) -> bool:
        """Return whether there is anything in addition to the shipped groups."""
        return self != ConfigSources()

    @property
    def paths(self) -> tuple[Path, ...]:
        """The folders in the file system, without addresses such as `pkg://`."""
        return tuple(Path(one) for one in self.folders if "://" not in one)

    def flags(self) -> list[str]:
        """Return the arguments of a command that composes from them; Hydra accepts only one folder as a flag."""
        first = next((one for one in self.folders if "://" not in one), None)
        others = ",".join(quoted(one) for one in self.folders if one != first)
        return [
            *(["--config-dir", first] if first is not None else []),
            *(["--config-name", self.name] if self.name != MAIN else []),
            *([f"hydra.searchpath=[{others}]"] if others else []),
        ]

    def record(self) -> dict[str, Any]:
        """Return them as plain values for `from_record`; empty if there are only shipped groups."""
        folders = {"config_dirs": list(self.folders)} if self.folders else {}
        return {**folders, **({"config_name": self.name} if self.name != MAIN else {})}

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> ConfigSources:
        """Return the sources that `record` wrote; anything else is ignored, so that it cannot become a flag."""
        folders, name = record.get("config_dirs"), record.get("config_name")
        texts = [one for one in folders if isinstance(one, str)] if isinstance(folders, list) else []
        return ConfigSources(
            folders=tuple(one if "://" in one else str(Path(one).absolute()) for one in texts),
            name=name if isinstance(name, str) and re.fullmatch(r"\w[\w./-]*", name) else MAIN,
        )

    def hydra_record(self) -> dict[str, Any]:
        """Return them in the form of Hydra's own configuration, for `from_hydra`."""
        split = [one.rpartition("://") for one in self.folders]
        sources = [{"path": path, "schema": kind or "file", "provider": _OF_USER[0]} for kind, _, path in split]
        return {"job": {"config_name": self.name}, "runtime": {"config_sources": sources}}

    @staticmethod
    def from_hydra(hydra: Any) -> ConfigSources:
        """Return the sources in Hydra's own configuration."""
        found = [one for one in hydra["runtime"]["config_sources"] if one["provider"] in _OF_USER]
        folders = [one["path"] if one["schema"] == "file" else f"{one['schema']}://{one['path']}" for one in found]
        return ConfigSources.from_record({"config_dirs": folders, "config_name": hydra["job"].get("config_name")})


def sources_of_run(run_dir: Path) -> ConfigSources:
    """Return the sources in `.hydra/hydra.yaml` of a run directory; none if the file is missing or damaged."""
    import yaml

    try:
        text = (run_dir / ".hydra" / "hydra.yaml").read_text(encoding="utf-8")
        return ConfigSources.from_hydra(yaml.safe_load(text)["hydra"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return ConfigSources()


def config_folder(package: Path = _PACKAGE) -> Path:
    """Return the folder of the shipped configuration groups, absolute.

    It is inside the package in an installed wheel, and next to it in a checkout.
    Raises `StorageError` if neither exists, because the installation is broken.
    """
    candidates = (package / "conf", package.parent / "conf")
    for folder in candidates:
        if folder.is_dir():
            return folder
    tried = " and ".join(str(folder) for folder in candidates)
    raise StorageError(f"the shipped configuration is missing; looked in {tried}. Install archsearch again.")


def groups() -> list[str]:
    """Return the names of the shipped groups."""
    return sorted(folder.name for folder in config_folder().iterdir() if folder.is_dir() and folder.name != "hydra")


def option_file(group: str, name: str) -> Path:
    """Return the file of a shipped option; raise `SpecError` with the closest name if it does not exist."""
    file = config_folder() / group / f"{name}.yaml"
    if not file.is_file():
        raise SpecError(group, f"unknown option '{name}'", suggest(name, options_of(group)))
    return file


def options_of(group: str) -> list[str]:
    """Return the names of the shipped options of a group."""
    return sorted(one.stem for one in (config_folder() / group).glob("*.yaml") if one.stem != "file")


def block_lookup(folders: Sequence[Path]) -> Callable[[str], Mapping[str, Any]]:
    """Return a function that finds the mapping of a block by its name in `folders`, in order.

    Each file is read once.
    """
    found: dict[str, Mapping[str, Any]] = {}

    def find(name: str) -> Mapping[str, Any]:
        if name in found:
            return found[name]
        for folder in folders:
            file = folder / "block" / f"{name}.yaml"
            if _is_name(name) and file.is_file():
                try:
                    found[name] = read_design(file)
                except SpecError as error:  # the caller adds the place to the message
                    raise SpecError("block", str(error)) from None
                return found[name]
        known = sorted({file.stem for folder in folders for file in (folder / "block").glob("*.yaml")})
        raise SpecError("block", f"unknown block '{name}'", suggest(name, known))

    return find


def _is_name(name: str) -> bool:
    """Return whether `name` can be that of a file below a folder: it does not leave the folder, and is not too long."""
    parts = name.split("/")
    return (
        not {"", ".", ".."} & {*parts}
        and "\0" not in name
        and len(name) < 1000
        and all(len(part) < 200 for part in parts)
    )


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the mapping in the YAML `file`, read as by Hydra; raise `SpecError` if there is none.

    Interpolations are not resolved.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if not file.is_file():
        what = "is a folder" if file.is_dir() else "no such file"
        raise SpecError(str(file), what, "Name a YAML file." if file.is_dir() else "")
    try:
        stream = StringIO(read_text(file))
        stream.name = str(file)  # for the place in errors
        config = OmegaConf.load(stream)
    except YAMLError as error:
        raise yaml_error(error, file) from None
    except (OSError, ValueError, TypeError, OmegaConfBaseException) as error:
        raise SpecError(str(file), f"cannot be read: {error}") from None
    if not OmegaConf.is_dict(config) or not config:
        raise SpecError(str(file), "must contain a mapping")
    raw = OmegaConf.to_container(config, resolve=False)
    assert isinstance(raw, dict), "a DictConfig holds a mapping"
    return {str(key): value for key, value in raw.items()}


def read_recorded(text: object) -> Any:
    """Return the value of YAML text that a study or a run has recorded; None if it is not valid YAML text, or too long.

    The old name `defaults_of` of a block's `options` is replaced without a notice: users cannot change a record.
    """
    import yaml

    if not isinstance(text, str) or len(text) > MAX_RECORDED:
        return None
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, if PyYAML has it
    try:
        return yaml.load(text.replace("defaults_of:", "options:"), Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None


def read_design(file: Path) -> dict[str, Any]:
    """Return the design or block in the YAML `file`; raise `SpecError` also if it reads more than a design may."""
    found = read_yaml(file)
    check_design(found, str(file))
    return found


def yaml_error(error: YAMLError, file: Path | str = "") -> SpecError:
    """Return the error of the YAML parser as a `SpecError`, with the place in the file if it has one."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return SpecError(str(file), f"is not valid YAML: {error}")
    place = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}"
    return SpecError(place, f"is not valid YAML: {getattr(error, 'problem', None) or getattr(error, 'context', None)}")
