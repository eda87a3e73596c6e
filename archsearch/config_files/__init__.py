"""The YAML files of a configuration: where the shipped ones are, a file as Hydra reads it, and blocks by name.

OmegaConf is imported inside functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.config_files.rules import check_design
from archsearch.decode import suggest
from archsearch.errors import SpecError, StorageError
from archsearch.input_limits.files import read_text

if TYPE_CHECKING:
    from yaml import YAMLError

_PACKAGE = Path(__file__).resolve().parents[1]


def config_folder(package: Path = _PACKAGE) -> Path:
    """Return the folder of the shipped configuration groups, absolute.

    It is inside the package in an installed wheel, and next to it in a checkout.
    Raises `StorageError` if neither exists: the installation is broken.
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
    """Return the file of a shipped option; raises `SpecError` with the closest name if there is none."""
    file = config_folder() / group / f"{name}.yaml"
    if not file.is_file():
        known = sorted(one.stem for one in file.parent.glob("*.yaml") if one.stem != "file")
        raise SpecError(group, f"unknown option '{name}'", suggest(name, known))
    return file


def block_lookup(folders: Sequence[Path]) -> Callable[[str], Mapping[str, Any]]:
    """Return the function that finds a block's mapping by its name in `folders`, in order.

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
                except SpecError as error:  # the caller puts its own place in front
                    raise SpecError("block", str(error)) from None
                return found[name]
        known = sorted({file.stem for folder in folders for file in (folder / "block").glob("*.yaml")})
        raise SpecError("block", f"unknown block '{name}'", suggest(name, known))

    return find


def _is_name(name: str) -> bool:
    """Return whether `name` can be that of a file below a folder: no way out of it, and no longer than a file's."""
    parts = name.split("/")
    return (
        not {"", ".", ".."} & {*parts}
        and "\0" not in name
        and len(name) < 1000
        and all(len(part) < 200 for part in parts)
    )


def read_yaml(file: Path) -> dict[str, Any]:
    """Return the mapping in the YAML `file`, read as Hydra reads it; raises `SpecError` if there is none.

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


def read_design(file: Path) -> dict[str, Any]:
    """Return the design or block in the YAML `file`; raises `SpecError` also where it reads more than a design may."""
    found = read_yaml(file)
    check_design(found, str(file))
    return found


def yaml_error(error: YAMLError, file: Path | str = "") -> SpecError:
    """Return what the reader of YAML reports, with the place in the file where it gives one."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return SpecError(str(file), f"is not valid YAML: {error}")
    place = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}"
    return SpecError(place, f"is not valid YAML: {getattr(error, 'problem', None) or getattr(error, 'context', None)}")
