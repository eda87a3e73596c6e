"""Limits on the size of YAML files, overrides and values, so that reading one cannot take minutes or gigabytes.

docs/language.md, "Sizes", lists them. Imports `decode` and `errors`, and the YAML parser inside functions.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.decode import MAX_INTEGER, describe, join, shortened
from archsearch.errors import SpecError

if TYPE_CHECKING:
    from yaml import Event

MAX_VALUES = 5_000
"""The most keys and values of a configuration; repeated ones (anchors, interpolations) count at each use."""
INTERPOLATION = 25
"""The number of values that an interpolation counts as, because it takes as long to read."""
MAX_DEPTH = 32
"""The most nested lists and mappings."""
MAX_OVERRIDE = 10_000
"""The most characters of an override."""
MAX_DIGITS = 100
"""The most characters of a number."""
_LONG_NUMBER = re.compile(rf"[0-9_]{{{MAX_DIGITS + 1}}}")


def check_override(override: str) -> None:
    """Raise `SpecError` for an override that is too long or too deeply nested for the parser of Hydra's grammar."""
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
    """Raise `SpecError` below `where` for too many values, too deep nesting, or too large integers."""
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
    """Return how many values `raw` counts as: more than one if it contains interpolations."""
    return 1 + INTERPOLATION * raw.count("${") if isinstance(raw, str) else 1


def require_size(where: str, depth: int, count: int) -> None:
    """Raise `SpecError` at `where` if a configuration has more levels or values than allowed."""
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


MAX_FILE = 1 << 18
"""The most bytes of a YAML file."""
_NUMERIC = re.compile(rf"[-+]?[0-9.][0-9A-Za-z_.:+-]{{{MAX_DIGITS},}}")
_TAGS = frozenset(
    {"!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))}
)


def read_text(file: Path) -> str:
    """Return the text of a YAML `file`, checked by `check_yaml`.

    Raises `SpecError` if it is too large or not UTF-8 text, and `OSError` if it cannot be read.
    """
    with file.open("rb") as opened:
        octets = opened.read(MAX_FILE + 1)
    if len(octets) > MAX_FILE:
        raise SpecError(str(file), f"is larger than {MAX_FILE} bytes", "A configuration is a short text.")
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        what = f"is not UTF-8 text (byte 0x{octets[error.start]:02x} in line {line})"
        raise SpecError(str(file), what, "Save it as UTF-8.") from None
    check_yaml(text, str(file))
    return text


def check_yaml(text: str, file: str) -> None:
    """Raise `SpecError` for YAML with too many, too deeply nested, too long, or not plain values.

    An alias counts as all values of its anchor, so that the size is known before aliases are expanded. Syntax errors
    are left to the parser.
    """
    import yaml

    if (control := re.search(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]", text)) is not None:
        line = text.count("\n", 0, control.start()) + 1
        raise SpecError(f"{file}, line {line}", f"contains the control character 0x{ord(control[0]):02x}")
    for loader in (getattr(yaml, "CSafeLoader", None), yaml.SafeLoader):  # the first one is fast, but stricter
        if loader is not None:
            with contextlib.suppress(yaml.YAMLError):
                return _Counter(file).count(yaml.parse(text, Loader=loader))
    return None


class _Counter:
    """Counts the values of a YAML document from its events, without creating them."""

    def __init__(self, file: str) -> None:
        self.file, self.values = file, 0
        self.anchors: dict[str, int] = {}  # the number of values in each
        self.open: list[tuple[str | None, int, bool, int]] = []  # anchor, values before, is it a mapping, children

    def count(self, events: Any) -> None:
        import yaml

        for event in events:
            match event:
                case yaml.AliasEvent():
                    self.alias(event)
                case yaml.ScalarEvent():
                    self.child(event, is_key_allowed=True)
                    self.scalar(event)
                    self.add(event, weight(event.value))
                    if event.anchor:
                        self.anchors[event.anchor] = weight(event.value)
                case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                    self.child(event, is_key_allowed=False)
                    self.tag(event)
                    self.open.append((event.anchor, self.values, isinstance(event, yaml.MappingStartEvent), 0))
                    if len(self.open) > MAX_DEPTH:
                        raise self.error(event, f"is nested more than {MAX_DEPTH} levels deep")
                    self.add(event, 1)
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    anchor, before, _, _ = self.open.pop()
                    if anchor:
                        self.anchors[anchor] = self.values - before
                case _:
                    pass

    def alias(self, event: Any) -> None:
        """Count the values that the alias refers to; an anchor that is still open would contain itself."""
        self.child(event, is_key_allowed=self.anchors.get(event.anchor, 1) == 1)
        if any(anchor == event.anchor for anchor, *_ in self.open):
            raise self.error(event, f"the anchor '{shortened(event.anchor)}' contains itself")
        self.add(event, self.anchors.get(event.anchor, 1))

    def child(self, event: Event, *, is_key_allowed: bool) -> None:
        """Count one item of the open list or mapping; in a mapping, every other item is a key."""
        if not self.open:
            return
        anchor, before, is_mapping, children = self.open[-1]
        self.open[-1] = anchor, before, is_mapping, children + 1
        if is_mapping and children % 2 == 0 and not is_key_allowed:
            raise self.error(event, "a list or a mapping cannot be a key", "Quote a key that contains brackets.")

    def scalar(self, event: Any) -> None:
        """Check one scalar: its tag, and the digits of a number."""
        self.tag(event)
        if not event.style and _NUMERIC.fullmatch(event.value):
            raise self.error(event, f"a number of {len(event.value)} characters", f"At most {MAX_DIGITS} are allowed.")

    def tag(self, event: Any) -> None:
        if event.tag and event.tag not in _TAGS:
            raise self.error(event, f"the tag '{shortened(event.tag)}' is not allowed", "Write plain values.")

    def add(self, event: Event, count: int) -> None:
        self.values += count
        if self.values > MAX_VALUES:
            raise self.error(event, f"more than {MAX_VALUES} values", "An anchor counts wherever it is used.")

    def error(self, event: Event, what: str, fix: str = "") -> SpecError:
        mark: Any = event.start_mark
        return SpecError(f"{self.file}, line {mark.line + 1}" if mark else self.file, what, fix)
