"""What a front door says of an error, passwords masked, and the exit code that it ends with.

Knows Hydra's and OmegaConf's errors, imported inside functions; no torch.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback

from archsearch.config_folder import config_folder
from archsearch.errors import ArchsearchError, SpecError, StorageError
from archsearch.masking import mask

_LIBRARIES = frozenset({"hydra", "omegaconf", "yaml", "antlr4"})


def tell(error: BaseException, *, in_full: bool | None = None) -> int:
    """Print on stderr what went wrong and return the exit code.

    One message; a traceback for what nobody foresaw, and for all where `in_full` (by default: where the
    environment has HYDRA_FULL_ERROR).
    """
    if isinstance(error, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return 130
    known = known_error(error)
    if in_full is None:
        in_full = bool(os.environ.get("HYDRA_FULL_ERROR"))
    text = "".join(traceback.format_exception(error)) if in_full or known is None else str(known)
    sys.stderr.write(f"{mask(text).rstrip()}\n")
    return 1 if known is None else known.exit_code


def known_error(error: BaseException) -> ArchsearchError | None:
    """Return `error` as one of ours, or None for what nobody foresaw."""
    if isinstance(error, ArchsearchError):
        return error
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if isinstance(error, HydraException | OmegaConfBaseException | YAMLError):
        return explain(error)
    if isinstance(error, OSError):
        return _of_system(error)
    if isinstance(error, ValueError) and _raised_by(error) in _LIBRARIES:
        return explain(error)
    return None


def explain(error: BaseException) -> SpecError:
    """Return what Hydra, OmegaConf or the reader of YAML said as a `SpecError`, with the likeliest known name."""
    from hydra.errors import OverrideParseException
    from yaml import MarkedYAMLError

    from archsearch.decode import suggest

    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        place = f"{mark.name}, line {mark.line + 1}, column {mark.column + 1}"
        return SpecError(place, f"is not YAML: {error.problem or error.context}")
    if isinstance(error, UnicodeDecodeError):
        return SpecError("", f"a configuration file is not UTF-8 text ({error})")
    seen: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        seen += [line.strip() for line in str(cause).splitlines() if line.strip() and line.strip() not in seen]
        cause = cause.__cause__
    said = "\n".join(line for line in seen if "object_type=" not in line and "full_key:" not in line)
    if match := re.search(r"Could not find '([\w/]+)/([^'/]*)'", said):
        listed = said.partition("Available options")[2].partition("Config search")[0]
        options = [one for one in re.findall(r"^(\S+)$", listed, re.MULTILINE) if ":" not in one]
        return SpecError(match[1], f"there is no '{match[2]}'", suggest(match[2], options))
    if match := re.search(r"Key '([^']+)' is not in", said) or re.search(r"Could not override '([^']+)'", said):
        return SpecError(match[1], "unknown key", suggest(match[1], top_keys()))
    if match := re.search(r"Environment variable '([^']+)' not found", said):
        return SpecError("", f"the environment variable '{match[1]}' is not set", f"Set it: export {match[1]}=...")
    if match := re.search(r"Missing mandatory value: (\S+)", said):
        key = str(getattr(error, "full_key", "") or match[1])
        return SpecError(key, "a value must be given", f"Set it: {key}=...")
    if isinstance(error, OverrideParseException):
        reason = next(line for line in seen if not line.startswith("Error parsing override"))
        fix = "Write KEY=VALUE; put quotes around a value with spaces, brackets, commas or =: 'KEY=\"VALUE\"'."
        return SpecError(mask(str(error.override)), f"cannot be read ({mask(reason).partition(':')[0]})", fix)
    if "Config group override must be" in said:
        fix = f"Write GROUP=OPTION (no limits: constraints=none). Groups: {', '.join(groups())}."
        return SpecError("", "a group must be given one of its options by name", fix)
    return SpecError("", mask(said))


def groups() -> list[str]:
    """Return the names of the shipped groups."""
    return sorted(folder.name for folder in config_folder().iterdir() if folder.is_dir() and folder.name != "hydra")


def top_keys() -> list[str]:
    """Return what may stand at the top of a configuration."""
    return sorted({"seed", "resume", *groups()})


def _of_system(error: OSError) -> StorageError:
    place = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"{place}cannot be written: the disk is full. Free some space.")
    fix = "Choose another place: hydra.run.dir=FOLDER, study.storage=sqlite:///FILE, data.cache=FOLDER."
    return StorageError(f"{place}cannot be used: {error.strerror or error}. {fix}")


def _raised_by(error: BaseException) -> str:
    """Return the package that raised `error`."""
    step, name = error.__traceback__, ""
    while step is not None:
        here, step = str(step.tb_frame.f_globals.get("__name__", "")), step.tb_next
        name = name if here == "codecs" else here
    return name.partition(".")[0]
