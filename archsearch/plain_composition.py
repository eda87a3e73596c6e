"""Composition without Hydra, for what is plain: options of groups, and keys that are given numbers, words or lists.

Hydra and OmegaConf take three times as long to be loaded and to compose as all the rest of `show`. Where what they
would make of a command line is beyond doubt it is made here; for all else, and for every error, `NotPlain` is raised
and Hydra is asked. `tests/test_plain_composition.py` holds the two against each other.

Knows neither Hydra nor OmegaConf; imports the standard library and `plain_yaml`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archsearch.plain_yaml import NotPlain, parse_plain, reference

_GROUP = re.compile(r"[a-z]\w*")
_OPTION = re.compile(r"[A-Za-z]\w*")
_DOTTED = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)")
_FRACTION = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+(?:[eE][+-]?\d+)?|[eE][+-]?\d+)")
_WORD = re.compile(r"[A-Za-z_/][\w/.-]*")
_QUOTED = re.compile(r"'([^'\\$]*)'|\"([^\"\\$]*)\"")
_LIST = re.compile(r"\[([^\[\]{}()'\"]*)\]")
_NAMED = {"true": True, "false": False, "null": None}
_RESERVED = frozenset({*_NAMED, "inf", "nan"})
_PACKAGE = re.compile(r"#\s*@package\s+(\S+)")

Tree = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one option of a group adds: `content` at the dotted `package` (None: the top), other groups' `choices`."""

    package: str | None
    content: Tree
    choices: Mapping[str, str]


def compose_plainly(overrides: Sequence[str], folders: Sequence[Path]) -> Tree:
    """Return what `overrides`, in Hydra's form, make of `config.yaml` and the groups in `folders`, without `hydra`.

    The first folder has `config.yaml`; an option is taken from the first one that holds it. Interpolations are left as
    they are. Raises `NotPlain` for whatever only Hydra can judge.
    """
    primary = parse_plain((folders[0] / "config.yaml").read_text(encoding="utf-8"), without="hydra")
    defaults = dict(_defaults(primary.pop("defaults")))
    choices: dict[str, str | None] = {}
    keys: dict[str, Any] = {}
    for override in overrides:
        key, value = _split(override)
        if key in choices or key in keys:
            raise NotPlain
        if key in defaults:
            if not _OPTION.fullmatch(value) or value.lower() in _RESERVED:
                raise NotPlain
            choices[key] = value
        elif override.startswith("++") or (key in primary and not isinstance(primary[key], dict | list)):
            keys[key] = _value(value)
        else:
            raise NotPlain
    parts = _parts(defaults, choices, folders)
    tree = primary
    for part in parts:
        around: Any = part.content
        for name in reversed(part.package.split(".") if part.package else ()):
            around = {name: around}
        _merge(tree, around)
    for key, value in keys.items():
        _put(tree, key, value)
    return tree


def resolve_plainly(tree: Tree) -> Tree:
    """Return `tree` with each `${a.b}` replaced by what stands there.

    Raises `NotPlain` for other interpolations, for one that leads nowhere or round, and for a value that is missing.
    """

    def resolved(value: Any, asking: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            return {key: resolved(item, asking) for key, item in value.items()}
        if isinstance(value, list):
            return [resolved(item, asking) for item in value]
        if value == "???":
            raise NotPlain
        key = reference(value)
        if key is None:
            return value
        if key in asking:
            raise NotPlain
        found: Any = tree
        for name in key.split("."):
            if not isinstance(found, dict) or name not in found:
                raise NotPlain
            found = found[name]
        return resolved(found, (*asking, key))

    return resolved(tree, ())


def merge_plainly(below: Mapping[str, Any], above: Mapping[str, Any]) -> Tree:
    """Return `below` changed by `above`, mapping by mapping; raises `NotPlain` where Hydra's rules say more."""
    merged: Tree = {}
    _merge(merged, below)
    _merge(merged, above)
    return merged


def _split(override: str) -> tuple[str, str]:
    key, equals, value = override.removeprefix("++").partition("=")
    if not equals or not _DOTTED.fullmatch(key) or key.partition(".")[0] == "hydra":
        raise NotPlain
    return key, value


def _value(text: str) -> Any:
    if match := _LIST.fullmatch(text):
        return [_value(one.strip(" ")) for one in match[1].split(",")] if match[1].strip(" ") else []
    if match := _QUOTED.fullmatch(text):
        return match[1] if match[2] is None else match[2]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _FRACTION.fullmatch(text):
        return float(text)
    if text in _NAMED:
        return _NAMED[text]
    if _WORD.fullmatch(text) and text.lower() not in _RESERVED:
        return text
    raise NotPlain


def _defaults(listed: Any) -> Iterator[tuple[str, str | None]]:
    """Yield the groups that the `defaults` of `config.yaml` list, with their options; Hydra's own are left out."""
    if not isinstance(listed, list) or listed[:1] != ["_self_"]:
        raise NotPlain
    for entry in listed[1:]:
        if not isinstance(entry, dict) or len(entry) != 1:
            raise NotPlain
        ((group, option),) = entry.items()
        if group.startswith("override hydra/"):
            continue
        if not _GROUP.fullmatch(group) or not (option is None or isinstance(option, str)):
            raise NotPlain
        yield group, option


def _parts(
    defaults: Mapping[str, str | None], choices: Mapping[str, str | None], folders: Sequence[Path]
) -> list[_Part]:
    """Return the parts in the order of `defaults`; `choices` win over what an option chooses of other groups."""
    chosen = {**defaults, **choices}
    parts = {group: _part(group, option, folders) for group, option in chosen.items() if option is not None}
    moved = [part.choices for part in parts.values() if part.choices]
    if len(moved) > 1:
        raise NotPlain
    for group, option in (moved[0] if moved else {}).items():
        if group not in defaults:
            raise NotPlain
        if group not in choices:
            parts[group] = _part(group, option, folders)
            if parts[group].choices:
                raise NotPlain
    return [parts[group] for group in defaults if group in parts]


def _part(group: str, option: str, folders: Sequence[Path]) -> _Part:
    """Return the `option` of a `group`, from the first of `folders` that has it."""
    file = next((file for folder in folders if (file := folder / group / f"{option}.yaml").is_file()), None)
    if file is None:
        raise NotPlain
    text = file.read_text(encoding="utf-8")
    first = text.partition("\n")[0]
    match = _PACKAGE.fullmatch(first.rstrip())
    package = match[1] if match else group
    if text.count("@package") > (match is not None) or not (package == "_global_" or _DOTTED.fullmatch(package)):
        raise NotPlain
    content = parse_plain(text)
    choices: dict[str, str] = {}
    listed = content.pop("defaults", [])
    if len(listed) == 2 and listed[1] == "_self_" and isinstance(listed[0], str) and _OPTION.fullmatch(listed[0]):
        base = dict(_part(group, listed[0], folders).content)  # an option that builds on another of its group
        listed, content = [], {**base, **content}
    for entry in listed:
        if package != "_global_" or not isinstance(entry, dict) or len(entry) != 1:
            raise NotPlain
        ((key, value),) = entry.items()
        if not key.startswith("override /") or not isinstance(value, str) or not _OPTION.fullmatch(value):
            raise NotPlain
        choices[key.removeprefix("override /")] = value
    return _Part(package=None if package == "_global_" else package, content=content, choices=choices)


def _merge(below: Tree, above: Mapping[str, Any]) -> None:
    """Change `below` by `above` in place; what is taken over is copied."""
    for key, value in above.items():
        old = below.get(key)
        if isinstance(value, Mapping):
            if key not in below:
                below[key] = old = {}
            if not isinstance(old, dict):
                raise NotPlain
            _merge(old, value)
        elif isinstance(old, dict) or (value == "???" and key in below):
            raise NotPlain
        else:
            below[key] = list(value) if isinstance(value, list) else value


def _put(tree: Tree, key: str, value: Any) -> None:
    """Set the dotted `key` of `tree`, whose way is made where it is missing."""
    *way, last = key.split(".")
    for name in way:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            raise NotPlain
    if isinstance(tree.get(last), dict) or (isinstance(tree.get(last), list) and not isinstance(value, list)):
        raise NotPlain
    tree[last] = value
