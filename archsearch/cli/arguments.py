"""The command line brought into Hydra's form: designs by file, keys that may be added, files of overrides, `resume`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from archsearch.config_files import read_yaml
from archsearch.config_files.rules import check_overrides
from archsearch.errors import SpecError
from archsearch.input_limits.values import check_override
from archsearch.masking import MASK, VARIABLE
from archsearch.overrides import absent_from, key_of, quoted, text_of

_OVERRIDE = re.compile(r"(?P<key>[A-Za-z_][\w./@-]*)=(?P<value>.*)", re.DOTALL)
_FILE = re.compile(r"""'(?P<single>[^']+\.ya?ml)'|"(?P<double>[^"]+\.ya?ml)"|(?P<bare>[^,()\[\]{}'"]+\.ya?ml)""")
_HIDDEN = re.compile(rf"\$\{{oc\.env:({VARIABLE}\w*)\}}")


def hydra_arguments(given: Sequence[str]) -> list[str]:
    """Return the command line `given` to `run` as Hydra takes it: overrides first, flags after them."""
    return _resumed(_in_order(list(given)))


def normalise(arguments: Iterable[str]) -> list[str]:
    """Return command-line arguments in the form that Hydra takes.

    `arch.stages.c2.dilation=2` may add a key (it is checked later, with a better message than Hydra's);
    `block@arch.stages.c2.block=strided` names the block of one stage; `arch=FILE.yaml` reads a design, as does
    `arch=RUN_DIR`. The name of a file that lists overrides, as a search leaves it in `best.yaml`, stands for those
    that are not given beside it.
    Flags and overrides with a prefix (`+ ++ ~`) are unchanged.
    """
    found: list[str] = []
    for argument in _with_files(list(arguments)):
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


def _with_files(given: list[str]) -> list[str]:
    """Return `given` with each file that lists overrides replaced by those that `given` does not make itself."""
    found: list[str] = []
    for one in given:
        is_file = "=" not in one and one.endswith((".yaml", ".yml")) and not one.startswith("~")
        found += absent_from(given, _listed_in(one)) if is_file else [one]
    return found


def _listed_in(file: str) -> list[str]:
    """Return the list in `file` under `overrides`."""
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
    """Return the file of a design of `value`, a path or a run folder; None if it is a name."""
    match = _FILE.fullmatch(value)
    if match is not None:
        return Path(match["single"] or match["double"] or match["bare"]).expanduser().resolve()
    folder = Path(value.strip("'\"")).expanduser()
    return folder.resolve() / "design.yaml" if "/" in value and folder.is_dir() else None


def _in_order(given: list[str]) -> list[str]:
    """Return `given` with the overrides first and the flags after them: Hydra's parser accepts only this order."""
    from hydra._internal.utils import get_args_parser

    if any(one.startswith("--e") for one in given):
        fix = "Use resume=RUN_DIR to continue a run."
        raise SpecError("--experimental-rerun", "reads a pickle, which can run any program", fix)
    overrides = get_args_parser().parse_intermixed_args(given).overrides
    flags = list(given)
    for override in overrides:
        flags.remove(override)
    return [*normalise(overrides), *flags]


def _resumed(given: list[str]) -> list[str]:
    """Return `given` with the overrides and the folder of the stopped run, if it has `resume=RUN_DIR`."""
    asked = [text_of(one) for one in given if key_of(one) == "resume"]
    if not asked or asked[-1] in ("", "null"):
        return given
    if {"-m", "--multirun"} & set(given):
        fix = "Leave out -m. To continue a search, repeat its command."
        raise SpecError("resume", "continues a single run, got -m", fix)
    from archsearch.runs.folder import refuse_links

    run_dir = Path(asked[-1]).expanduser().resolve()
    refuse_links(run_dir)
    earlier = absent_from(given, _overrides_of_run(run_dir / ".hydra" / "overrides.yaml", asked[-1]))
    used = {name for one in given for name in _HIDDEN.findall(one)}  # variables that now hold other passwords
    for one in earlier:
        if f":{MASK}@" in one or f"={MASK}" in one or used & {*_HIDDEN.findall(one)}:
            fix = f"Give it again: {key_of(one)}=...; ${{oc.env:VARIABLE}} in place of the password can be stored."
            raise SpecError("resume", f"the password of {key_of(one)} was not stored", fix)
    return [*earlier, *given, f"hydra.run.dir={quoted(str(run_dir))}", *_config_dir(run_dir, given)]


def _overrides_of_run(file: Path, named: str) -> list[str]:
    """Return the overrides in `file`, which Hydra has left in the folder `named` of a run."""
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


def _config_dir(run_dir: Path, given: list[str]) -> list[str]:
    """Return the flag for the user's own folder of groups that the run had, unless `given` has one."""
    import yaml

    file = run_dir / ".hydra" / "hydra.yaml"
    if not file.is_file() or any(one.partition("=")[0] in ("--config-dir", "-cd") for one in given):
        return []
    try:
        sources = yaml.safe_load(file.read_text(encoding="utf-8"))["hydra"]["runtime"]["config_sources"]
        found = [source["path"] for source in sources if source["provider"] == "command-line"]
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError):
        return []
    return [f"--config-dir={found[0]}"] if found and isinstance(found[0], str) else []
