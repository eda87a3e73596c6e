"""Limits on overrides and on the values of a configuration (docs/language.md, "Sizes").

Imports `decode` and `errors` only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from archsearch.decode import MAX_INTEGER, describe, join, shortened
from archsearch.errors import SpecError

MAX_VALUES = 5_000
"""Keys and values of a configuration, repeated ones (anchors, interpolations) as often as used."""
INTERPOLATION = 25
"""Values that an interpolation counts for: it takes as long to read."""
MAX_DEPTH = 32
"""Lists and mappings inside each other."""
MAX_OVERRIDE = 10_000
"""Characters of an override."""
MAX_DIGITS = 100
"""Characters of a number."""
_LONG_NUMBER = re.compile(rf"[0-9_]{{{MAX_DIGITS + 1}}}")


def check_override(override: str) -> None:
    """Raise `SpecError` for an override that is too long, or nested too deep, for the parser of the grammar."""
    key, _, value = override.partition("=")
    where = shortened(key)
    if len(override) > MAX_OVERRIDE:
        raise SpecError(where, f"has {len(override)} characters, at most {MAX_OVERRIDE} are allowed")
    if key.count(".") >= MAX_DEPTH:
        raise SpecError(where, f"has more than {MAX_DEPTH} parts")
    if value.count("${") > MAX_VALUES // INTERPOLATION:
        raise SpecError(where, f"contains more than {MAX_VALUES // INTERPOLATION} interpolations")
    if _LONG_NUMBER.search(value):
        raise SpecError(where, f"contains a number of more than {MAX_DIGITS} digits")
    depth = 0
    for character in value:
        depth += (character in "([{") - (character in ")]}")
        if depth > MAX_DEPTH:
            raise SpecError(where, f"is nested more than {MAX_DEPTH} levels deep")


def check_values(raw: object, where: str = "") -> None:
    """Raise `SpecError` for values that are too many or too deep, or integers that are too large, below `where`."""
    _check_below(raw, where, 0, [0])


def _check_below(raw: object, where: str, depth: int, count: list[int]) -> None:
    count[0] += weight(raw)
    require_size(where, depth, count[0])
    if isinstance(raw, Mapping):
        for key, value in raw.items():
            _check_below(value, join(where, key), depth + 1, count)
    elif isinstance(raw, list | tuple):
        for index, value in enumerate(raw):
            _check_below(value, f"{where}[{index}]", depth + 1, count)
    else:
        check_scalar(raw, where)


def weight(raw: object) -> int:
    """Return how many values a value counts for: more than one if it contains interpolations."""
    return 1 + INTERPOLATION * raw.count("${") if isinstance(raw, str) else 1


def require_size(where: str, depth: int, count: int) -> None:
    """Raise `SpecError` at `where` for more levels, or more values, than a configuration may have."""
    if depth > MAX_DEPTH:
        raise SpecError(shortened(where), f"is nested more than {MAX_DEPTH} levels deep")
    if count > MAX_VALUES:
        raise SpecError(
            shortened(where), f"more than {MAX_VALUES} values", "An interpolation counts wherever it is used."
        )


def check_scalar(value: object, where: str) -> None:
    """Raise `SpecError` for an integer of more than 64 bits."""
    if type(value) is int and abs(value) > MAX_INTEGER:
        raise SpecError(where, f"must be at most {MAX_INTEGER}, got {describe(value)}")
