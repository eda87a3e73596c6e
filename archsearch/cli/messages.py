"""Error reports of commands: one message with passwords masked, and an exit code.

Exit codes: 0 done, 1 failed, 2 unusable input or storage, 130 interrupted. Handles errors of Hydra and OmegaConf too,
which are imported inside functions. Does not import torch.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable

from archsearch.cli.grammar_errors import grammar_error
from archsearch.cli.unknown import unknown_key, unknown_option
from archsearch.config_files import groups, yaml_error
from archsearch.errors import ArchsearchError, SpecError, StorageError
from archsearch.formatting import printable
from archsearch.masking import mask

_LIBRARIES = frozenset({"hydra", "omegaconf", "yaml", "antlr4"})
# What these libraries raise for an unexpected value, list, mapping or name in a file or an override.
_UNEXPECTED = (ValueError, TypeError, AttributeError, LookupError, AssertionError, RecursionError)


def exit_code(command: Callable[[], int], *, in_full: bool | None = None) -> int:
    """Run `command` and return its exit code; report an error that it raises and return that error's exit code.

    A closed pipe, as with `| head`, is not an error.
    """
    try:
        return command()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001  (reported, with its own exit code)
        return report_error(error, in_full=in_full)


def report_error(error: BaseException, *, in_full: bool | None = None) -> int:
    """Print an error on stderr and return the exit code.

    The output is one message, or a traceback if archsearch does not know the error or `in_full` is true. By default
    `in_full` is true if the environment variable HYDRA_FULL_ERROR is set.
    """
    if isinstance(error, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return 130
    known = known_error(error)
    if in_full is None:
        in_full = bool(os.environ.get("HYDRA_FULL_ERROR"))
    text = "".join(traceback.format_exception(error)) if in_full or known is None else str(known)
    sys.stderr.write(f"{printable(mask(text)).rstrip()}\n")
    return 1 if known is None else known.exit_code


def known_error(error: BaseException) -> ArchsearchError | None:
    """Return `error` as one of archsearch's own errors; None if it is unknown."""
    if isinstance(error, ArchsearchError):
        return error
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    if isinstance(error, HydraException | OmegaConfBaseException | YAMLError):
        return explain(error)
    if isinstance(error, OSError):
        return _system_error(error)
    if isinstance(error, _UNEXPECTED) and _raised_by(error) in _LIBRARIES:
        return explain(error)
    return None


def _unreadable(error: BaseException) -> SpecError | None:
    """Return the error of a file that is not valid YAML text; None if `error` is of another kind."""
    from yaml import MarkedYAMLError

    match error:
        case MarkedYAMLError() if error.problem_mark is not None:
            return yaml_error(error)
        case UnicodeDecodeError():
            return SpecError("", f"a configuration file is not UTF-8 text ({error})")
        case RecursionError():
            return SpecError("", "the configuration is nested too deeply, or refers to itself")
        case _:
            return None


def explain(error: BaseException) -> SpecError:
    """Return an error of Hydra, OmegaConf or PyYAML as a `SpecError` that suggests the closest known name."""
    from hydra.errors import OverrideParseException

    if (unreadable := _unreadable(error)) is not None:
        return unreadable
    lines: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        lines += [line.strip() for line in str(cause).splitlines() if line.strip() and line.strip() not in lines]
        cause = cause.__cause__
    text = "\n".join(line for line in lines if "object_type=" not in line and "full_key:" not in line)
    if match := re.search(r"Could not find '([\w/]+)/([^'/]*)'", text):
        listed = text.partition("Available options")[2].partition("Config search")[0]
        options = [one for one in re.findall(r"^(\S+)$", listed, re.MULTILINE) if ":" not in one]
        return unknown_option(match[1], match[2], options)
    if match := re.search(r"Could not override '([^']+)'", text) or re.search(r"Key '([^']+)' is not in", text):
        return unknown_key(match[1])
    if match := re.search(r"Ambiguous value for argument '([^=]+)=|Sweep parameters '([^=]+)=", text):
        fix = "Add -m to try each of them. A list is written [a,b]; quote text that contains commas."
        return SpecError((match[1] or match[2]).lstrip("+"), "has several values, which needs -m", fix)
    if match := re.search(r"Environment variable '([^']+)' not found", text):
        return SpecError("", f"the environment variable '{match[1]}' is not set", f"Set it: export {match[1]}=...")
    if match := re.search(r"Missing mandatory value: (\S+)", text):
        key = str(getattr(error, "full_key", "") or match[1])
        return SpecError(key, "a value is required", f"Set it: {key}=...")
    if isinstance(error, OverrideParseException):
        return grammar_error(str(error.override), str(error))
    if match := re.search(
        r"Multiple values for (\S+)\.|force-add of config groups is not supported: '\+\+([^=]+)", text
    ):
        group = match[1] or match[2]
        return SpecError(group, "has one option already", f"Set another without +: {group}=OPTION.")
    if match := re.search(r"Additional config directory ('.+' not found)", text):
        return SpecError("--config-dir", f"the folder {match[1]}")
    if match := re.search(r"Cannot find primary config '([^']+)'", text):
        fix = "Give the folder that contains it: --config-dir FOLDER."
        return SpecError("--config-name", f"no file {match[1]}.yaml in the configuration folders", fix)
    if "Config group override must be" in text:
        fix = f"Write GROUP=OPTION (no limits: constraints=none). Groups: {', '.join(groups())}."
        return SpecError("", "a group must be set to the name of one of its options", fix)
    fallback = f"the configuration cannot be composed ({type(error).__name__})"
    return SpecError(str(getattr(error, "full_key", "") or ""), mask(text) or fallback)


def _system_error(error: OSError) -> StorageError:
    place = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageError(f"{place}cannot be written: the disk is full. Free some space.")
    fix = "Choose another location: hydra.run.dir=FOLDER, study.storage=sqlite:///FILE, data.cache=FOLDER."
    return StorageError(f"{place}cannot be used: {error.strerror or error}. {fix}")


def _raised_by(error: BaseException) -> str:
    """Return the top-level package that raised `error`; frames of `codecs` are skipped."""
    step, name = error.__traceback__, ""
    while step is not None:
        here, step = str(step.tb_frame.f_globals.get("__name__", "")), step.tb_next
        name = name if here == "codecs" else here
    return name.partition(".")[0]
