"""What a configuration file may contain: nothing that runs code, and nothing that reads a secret.

A design, a list of overrides, an option of a group or a study may come from an untrusted source. Hydra calls the names
in its own settings and in `_target_`, so only the command line and the shipped configuration may set them. An
interpolation can copy an environment variable into files that are sent back. Imports `errors` only.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from archsearch.errors import SpecError

Keys = tuple[str, ...]

DESIGN_ROOTS = frozenset({"arch", "block", "constraints", "space"})
"""Groups that describe designs: their interpolations may only read designs and the shape of the images."""
_IMAGES = frozenset({("data", "channels"), ("data", "image_size"), ("data", "classes")})
_ADDRESSES = (("study", "storage"), ("tracking", "address"))  # they may contain a password

_OVERRIDE = re.compile(
    r"(?:\+\+?)?(?P<key>[A-Za-z_][\w./@:-]*)=(?P<value>.*)|~(?P<gone>[A-Za-z_][\w./@:-]*)(?:=.*)?", re.DOTALL
)
_PARTS = re.compile(r"[@./:]")
_REFERENCE = re.compile(r"\$\{\s*(?P<dots>\.*)(?P<path>[A-Za-z_]\w*(?:\.\w+)*)\s*\}")
_VARIABLE = re.compile(r"\$\{\s*oc\.env:\s*(?P<name>\w+)\s*(?:,[^${}]*)?\}")
_HARMLESS = re.compile(
    r"\$\{\s*(?:now:[^${}]*|hydra:(?:runtime\.(?:cwd|output_dir|choices\.\w+)|job\.(?:name|num|id)))\s*\}"
)
_PASSWORD = re.compile(
    r"(?:://[^\s/@:$]*:|https?://|[?&](?:password|passwd|pwd|sslpassword|passphrase)=)"
    r"\$\{oc\.env:\w*PASS\w*\}(?=[@&'\"]|$)",
    re.IGNORECASE,
)

_RUNS_CODE = ("module", "module_args")
"""Arguments of `show` that import Python code: files may not set them."""
_ON_COMMAND_LINE = "Remove it. If you want it, give it on the command line."


def check_overrides(overrides: Iterable[str], where: str) -> None:
    """Raise `SpecError` at `where` for an override that runs code, reads a secret, or is a flag."""
    for override in overrides:
        match = _OVERRIDE.fullmatch(override)
        if match is None:
            what = f"'{_short(override)}' is not an override KEY=VALUE: flags and files are not read from here"
            raise SpecError(where, what, _ON_COMMAND_LINE)
        key, value = match["key"] or match["gone"], (match["value"] or "").replace("\\", "")
        place = f"{where}: {key}"
        _check_key(key, place)
        if key.partition(".")[0] in _RUNS_CODE:
            raise SpecError(place, "names code to import, and a file cannot", _ON_COMMAND_LINE)
        if "_target_" in value:
            raise _names_code(place)
        _check_text(value, _absolute(key), place, relative=False)


def check_design(design: object, where: str) -> None:
    """Raise `SpecError` at the key of `design`, read from `where`, whose interpolation reads more than a design may."""
    _check_tree(design, ("arch",), where)


def check_option(config: object, where: str, *, package: str) -> None:
    """Raise `SpecError` at the key of a group's option `config`, read from `where`, that runs code or reads a secret.

    `package` is the dotted key below which its keys are placed; empty for the top level.
    """
    if "hydra" in _PARTS.split(package):
        raise _is_hydras(f"{where}: @package {package}")
    if isinstance(config, Mapping):
        _check_defaults(config.get("defaults"), f"{where}: defaults")
    _check_tree(config, tuple(part for part in package.split(".") if part not in ("", "_global_")), where)


def is_hydras(path: str) -> bool:
    """Return whether the option `path` is in one of Hydra's own groups, or leaves the folder of groups."""
    return not {"hydra", ".."}.isdisjoint(path.replace("\\", "/").split("/"))


def _check_defaults(defaults: object, where: str) -> None:
    """Raise `SpecError` for a defaults list with Hydra's own options, or with an option at a forbidden package."""
    for item in defaults if isinstance(defaults, list) else ():
        for key, value in item.items() if isinstance(item, Mapping) else ((item, None),):
            name = str(key).removeprefix("optional ").removeprefix("override ").strip()
            group, _, package = name.partition("@")
            if is_hydras(group) or "hydra" in _PARTS.split(name):
                raise _is_hydras(f"{where}: {key}")
            if any(is_hydras(str(one)) for one in (value if isinstance(value, list) else [value])):
                raise SpecError(f"{where}: {key}", f"'{value}' is not the name of an option", _ON_COMMAND_LINE)
            if package.partition(":")[0] in ("study", "tracking") or package.startswith("_global_"):
                raise SpecError(f"{where}: {key}", f"an option cannot be put at '{package}' by a file", "Leave out @.")


def _check_tree(node: object, path: Keys, where: str) -> None:
    first = len(path)
    for keys, value in _leaves(node, path):
        place = f"{where}: {'.'.join(keys[first:])}"
        for key in keys[first:]:
            if "${" in key:
                raise SpecError(place, "a key cannot hold an interpolation", "Write the key itself.")
            _check_key(key, place)
        if isinstance(value, str):
            _check_text(value, keys, place, relative=True)


def _leaves(node: object, path: Keys) -> Iterator[tuple[Keys, object]]:
    """Yield each value of nested mappings and lists with its keys; an empty mapping or list is a value."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _leaves(value, (*path, str(key)))
    elif isinstance(node, list) and node:
        for place, value in enumerate(node):
            yield from _leaves(value, (*path, str(place)))
    else:
        yield path, node


def _check_key(key: str, where: str) -> None:
    parts = _PARTS.split(key.lstrip("+~"))
    if "hydra" in parts:
        raise _is_hydras(where)
    if "_target_" in parts:
        raise _names_code(where)


def _check_text(text: str, keys: Keys, where: str, *, relative: bool) -> None:
    """Raise `SpecError` at `where` if `text`, the value at the absolute `keys`, has a forbidden interpolation."""
    if "${" not in text:
        return
    of_design = not DESIGN_ROOTS.isdisjoint(keys[:1])
    rest = _REFERENCE.sub(lambda match: "" if _may_read(match, keys, relative=relative) else match[0], text)
    if not of_design:
        rest = _HARMLESS.sub("", rest)
        if keys[:2] in _ADDRESSES:
            rest = _PASSWORD.sub("", rest)
        rest = _VARIABLE.sub(lambda match: "" if _is_path(match["name"]) else match[0], rest)
    if "${" not in rest:
        return
    found = _short(rest[rest.index("${") :])
    if of_design:
        fix = "A design may read ${data.classes}, ${data.channels}, ${data.image_size}, ${block} and its own keys."
    else:
        fix = "Write the value itself, or give it on the command line."
        if "oc.env" in found:
            fix = f"A file may read a variable that names a folder, or a password: ${{oc.env:..PASSWORD..}}. {fix}"
    raise SpecError(where, f"the interpolation {found} is not allowed in a file", fix)


def _may_read(match: re.Match[str], keys: Keys, *, relative: bool) -> bool:
    """Return whether the value at `keys` may read the key that the reference `match` names."""
    read, dots = tuple(match["path"].split(".")), len(match["dots"])
    if dots:
        if not relative or dots > len(keys):
            return False
        read = (*keys[: len(keys) - dots], *read)
    if not DESIGN_ROOTS.isdisjoint(keys[:1]):
        return read[0] in DESIGN_ROOTS or read[:2] in _IMAGES
    return read[0] != "hydra" and not any(read == one[: len(read)] or read[: len(one)] == one for one in _ADDRESSES)


def _is_path(variable: str) -> bool:
    """Return whether an environment variable is not set or is the path of a file or folder, unlike a secret."""
    value = os.environ.get(variable)
    try:
        return value is None or (bool(value) and Path(value).exists())
    except (OSError, ValueError):
        return False


def _absolute(key: str) -> Keys:
    """Return the key that an override sets: `block@arch.stem.block=x` sets `arch.stem.block`."""
    group, _, package = key.partition("@")
    return tuple(re.split(r"[./]", package or group))


def _is_hydras(where: str) -> SpecError:
    return SpecError(where, "sets Hydra's own options, which can run any program", _ON_COMMAND_LINE)


def _names_code(where: str) -> SpecError:
    return SpecError(where, "'_target_' names code to call, and a file cannot", "Remove it.")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."
