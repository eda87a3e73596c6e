"""Conversion of the command line to Hydra's form: design files, keys to add, files of overrides, `resume`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from archsearch.config_files import MAIN, ConfigSources, read_yaml, sources_of_run
from archsearch.config_files.limits import check_override
from archsearch.config_files.rules import check_overrides
from archsearch.decode import suggest
from archsearch.errors import SpecError
from archsearch.masking import MASK, VARIABLE
from archsearch.overrides import absent_from, key_of, quoted, text_of

if TYPE_CHECKING:
    import argparse

_OVERRIDE = re.compile(r"(?P<key>[A-Za-z_][\w./@-]*)=(?P<value>.*)", re.DOTALL)
_FILE = re.compile(r"""'(?P<single>[^']+\.ya?ml)'|"(?P<double>[^"]+\.ya?ml)"|(?P<bare>[^,()\[\]{}'"]+\.ya?ml)""")
_NONE = ConfigSources()
REFUSED = {
    "config_path": (
        "takes the place of the shipped groups, which archsearch needs",
        "To add groups of your own: --config-dir FOLDER; to use a main file of your own there: --config-name NAME.",
    ),
    "experimental_rerun": ("reads a pickle, which can run code", "Continue a run with resume=RUN_DIR."),
}
"""Flags of Hydra that archsearch rejects, with the error and the fix."""
_HIDDEN = re.compile(rf"\$\{{oc\.env:({VARIABLE}\w*)\}}")


def hydra_arguments(given: Sequence[str]) -> list[str]:
    """Return the command line `given` to `run` in Hydra's form: overrides first, then flags.

    The flags include the folders of groups and the main file that a resumed run or a file of overrides records.
    """
    options = parse_flags(given)
    overrides, flags = list(options.overrides), list(given)
    for override in overrides:
        flags.remove(override)
    own = sources_given([options.config_dir] if options.config_dir else [], options.config_name)
    overrides, sources = with_files(overrides, own)
    overrides, sources = _resumed(normalise(overrides), flags, sources)
    added = ConfigSources(
        folders=() if own.folders else sources.folders, name=MAIN if options.config_name else sources.name
    ).flags()
    searched = [one for one in added if key_of(one) == "hydra.searchpath"]
    return [*absent_from(overrides, searched), *overrides, *flags, *(one for one in added if one not in searched)]


def parse_flags(given: Sequence[str]) -> argparse.Namespace:
    """Return the flags and overrides of a command line of `run`; raises `SpecError` for unknown or rejected flags."""
    from hydra._internal.utils import get_args_parser

    options = parsed(get_args_parser(), given, "The flags are those of Hydra: see --hydra-help.")
    for flag, value in REFUSED.items():
        if getattr(options, flag) is not None:
            raise SpecError(f"--{flag.replace('_', '-')}", *value)
    return options


def parsed(parser: argparse.ArgumentParser, given: Sequence[str], fix: str) -> argparse.Namespace:
    """Return the arguments that `parser` parses from `given`; raises `SpecError` with the closest flag or `fix`."""
    known = [name for action in parser._actions for name in action.option_strings]

    def refuse(message: str) -> NoReturn:
        unknown = next((one for one in given if one.startswith("-") and one.partition("=")[0] not in known), "")
        close = suggest(unknown.partition("=")[0], known) if unknown else ""
        raise SpecError("", message, close if close.startswith("Did") else fix)

    parser.error = refuse
    return parser.parse_intermixed_args(list(given))


def sources_given(folders: Sequence[str], name: str | None) -> ConfigSources:
    """Return the sources that `--config-dir` and `--config-name` give."""
    return ConfigSources(folders=tuple(str(Path(one).resolve()) for one in folders), name=name or MAIN)


def require_folders(sources: ConfigSources, where: str = "--config-dir", fix: str = "") -> None:
    """Raise `SpecError` at `where` if one of the folders does not exist."""
    for folder in sources.paths:
        if not folder.is_dir():
            raise SpecError(where, f"folder '{folder}' not found", fix)


def normalise(arguments: Iterable[str]) -> list[str]:
    """Return command-line arguments in Hydra's form.

    `arch.stages.c2.dilation=2` may add a key (it is checked later, with a better message than Hydra's).
    `block@arch.stages.c2.block=strided` selects the block of one stage. `arch=FILE.yaml` and `arch=RUN_DIR` read a
    design. The name of a file that lists overrides, such as the `best.yaml` of a search, is replaced by those of its
    overrides whose keys the command line does not set.
    Flags and overrides with a prefix (`+ ++ ~`) are unchanged.
    """
    found: list[str] = []
    for argument in with_files(list(arguments))[0]:
        check_override(argument)
        match = _OVERRIDE.fullmatch(argument)
        if match is None:
            found.append(argument)
            continue
        key, value = match["key"], match["value"]
        if key == "arch" and (file := _design_file(value)) is not None:
            found += ["arch=file", f"++arch.file={quoted(str(file))}"]
        elif key.startswith("block@"):
            found.append(f"++{key.removeprefix('block@')}={value}")
        elif "." in key and not key.startswith("hydra.") and "@" not in key and "/" not in key:
            found.append(f"++{key}={value}")
        else:
            found.append(argument)
    return found


def with_files(given: list[str], sources: ConfigSources = _NONE) -> tuple[list[str], ConfigSources]:
    """Return `given` with each file of overrides replaced by those whose keys `given` does not set, and the sources.

    The sources include the folders of groups and the main file that such a file records, unless `sources` has its own.
    """
    found: list[str] = []
    for one in given:
        is_file = "=" not in one and one.endswith((".yaml", ".yml")) and not one.startswith("~")
        found += absent_from(given, _listed_in(one)) if is_file else [one]
        if is_file:
            recorded = ConfigSources.from_record(read_yaml(Path(one).expanduser()))
            sources = _recorded(recorded, sources, one)
    return found, sources


def _recorded(recorded: ConfigSources, given: ConfigSources, where: str) -> ConfigSources:
    """Return the sources `given`, completed from those `recorded` in `where`; recorded folders must exist."""
    name = given.name if given.name != MAIN else recorded.name
    if given.folders:
        return ConfigSources(folders=given.folders, name=name)
    require_folders(recorded, where, "If it has moved, give the new folder: --config-dir FOLDER.")
    return ConfigSources(folders=recorded.folders, name=name)


def _listed_in(file: str) -> list[str]:
    """Return the list of overrides in `file`; raises `SpecError` if it has none, or one that no file may have."""
    found = read_yaml(Path(file).expanduser()).get("overrides")
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        fix = f"A search writes such a file as best.yaml. For a design use arch={file}."
        raise SpecError(file, "contains no list of overrides", fix)
    check_overrides(found, file)
    if any(key_of(one) == "resume" for one in found):
        raise SpecError(
            f"{file}: resume", "must be given on the command line", "Write resume=RUN_DIR after the command."
        )
    return found


def _design_file(value: str) -> Path | None:
    """Return the design file for `value`, a path or a run directory; None if `value` is the name of an option."""
    match = _FILE.fullmatch(value)
    if match is not None:
        return Path(match["single"] or match["double"] or match["bare"]).expanduser().resolve()
    folder = Path(value.strip("'\"")).expanduser()
    return folder.resolve() / "design.yaml" if "/" in value and folder.is_dir() else None


def _resumed(given: list[str], flags: Sequence[str], sources: ConfigSources) -> tuple[list[str], ConfigSources]:
    """Return the overrides `given`, with those and the folder of the stopped run if they contain `resume=RUN_DIR`."""
    asked = [text_of(one) for one in given if key_of(one) == "resume"]
    if not asked or asked[-1] in ("", "null"):
        return given, sources
    if {"-m", "--multirun"} & set(flags):
        fix = "Leave out -m. To continue a search, repeat its command."
        raise SpecError("resume", "continues a single run, got -m", fix)
    from archsearch.runs.folder import refuse_links

    run_dir = Path(asked[-1]).expanduser().resolve()
    refuse_links(run_dir)
    recorded = normalise(_overrides_of_run(run_dir / ".hydra" / "overrides.yaml", asked[-1]))
    earlier = absent_from(given, recorded)
    used = {name for one in given for name in _HIDDEN.findall(one)}  # variables that hold this command's passwords
    for one in earlier:
        if f":{MASK}@" in one or f"={MASK}" in one or used & {*_HIDDEN.findall(one)}:
            fix = f"Give it again: {key_of(one)}=...; ${{oc.env:VARIABLE}} in place of the password can be stored."
            raise SpecError("resume", f"the password of {key_of(one)} was not stored", fix)
    sources = _recorded(sources_of_run(run_dir), sources, f"resume={asked[-1]}")
    return [*earlier, *given, f"hydra.run.dir={quoted(str(run_dir))}"], sources


def _overrides_of_run(file: Path, named: str) -> list[str]:
    """Return the overrides in `file`, Hydra's record in the run directory `named`."""
    import yaml

    fix = "Use a folder below outputs/runs."
    if not file.is_file():
        raise SpecError("resume", f"'{named}' is not a run folder: it has no .hydra/overrides.yaml", fix)
    try:
        overrides = yaml.safe_load(file.read_text(encoding="utf-8")) or []
    except (yaml.YAMLError, UnicodeDecodeError):
        overrides = None
    if not isinstance(overrides, list) or not all(isinstance(one, str) for one in overrides):
        raise SpecError("resume", f"{file} is damaged: expected a list of overrides", fix)
    check_overrides(overrides, str(file))
    return overrides
