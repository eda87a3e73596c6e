"""Overrides as text: `KEY=VALUE` in Hydra's grammar, written and parsed; imports the standard library only."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping

RUN = "python -m archsearch.run"

SEARCH_GROUPS = ("space", "sampler", "pruner", "study", "hydra")
"""Groups that configure the search as a whole; a trial cannot have different values there."""

_UNQUOTED = re.compile(r"[A-Za-z_/][\w./@:+-]*", re.ASCII)  # text that Hydra's grammar reads without quotes
_NOT_TEXT = frozenset({"true", "false", "null", "inf", "nan"})


def key_of(override: str) -> str:
    """Return the key of an override, without the prefix that adds or removes it: `arch.width` of `++arch.width=1`."""
    return override.lstrip("+~").partition("=")[0]


def group_of(override: str) -> str:
    """Return the first part of an override's key: `arch` of `arch.width=1`, `block` of `block@arch.stem=normal`."""
    return re.split(r"[@./]", key_of(override), maxsplit=1)[0]


def text_of(override: str) -> str:
    """Return the value of an override as text, without the quotes around it."""
    return override.partition("=")[2].strip("'\"")


def assign(key: str, value: object) -> str:
    """Return the override that gives `key` the plain `value`."""
    return f"{key}={literal(value)}"


def literal(value: object) -> str:
    """Return a plain value in the syntax of overrides; text is quoted if Hydra would not read it as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and (not _UNQUOTED.fullmatch(value) or value.lower() in _NOT_TEXT):
        return quoted(value)
    return "null" if value is None else repr(value) if isinstance(value, float) else str(value)


def quoted(text: str) -> str:
    """Return `text` in single quotes, in which backslashes are special only before a quote."""
    return "'{}'".format(re.sub(r"(\\*)('|$)", r"\1\1\2", text).replace("'", "\\'"))


def absent_from(given: Iterable[str], overrides: Iterable[str]) -> list[str]:
    """Return those of `overrides` whose keys `given` does not set."""
    keys = {key_of(one) for one in given}
    return [one for one in overrides if key_of(one) not in keys]


def with_assignments(base: Iterable[str], assignments: Mapping[str, object]) -> list[str]:
    """Return the overrides `base` without the keys in `assignments`, followed by an override for each assignment."""
    return [
        *(one for one in base if key_of(one) not in assignments),
        *(assign(key, value) for key, value in assignments.items()),
    ]


def run_command(overrides: Iterable[str], flags: Iterable[str] = ()) -> str:
    """Return the shell command that runs `overrides`."""
    return shlex.join([*RUN.split(), *flags, *overrides])
