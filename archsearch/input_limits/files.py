"""Limits on YAML files: what is larger than any design needs is refused before it is expanded.

docs/language.md, "Sizes", lists them.
Imports `decode`, `errors` and this package; the reader of YAML inside functions.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.decode import shortened
from archsearch.errors import SpecError
from archsearch.input_limits.values import MAX_DEPTH, MAX_DIGITS, MAX_VALUES, weight

if TYPE_CHECKING:
    from yaml import Event

MAX_FILE = 1 << 18
"""Bytes of a YAML file."""
_NUMERIC = re.compile(rf"[-+]?[0-9.][0-9A-Za-z_.:+-]{{{MAX_DIGITS},}}")
_TAGS = frozenset(
    {"!", *(f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq"))}
)


def read_text(file: Path) -> str:
    """Return the text of a YAML `file`, checked by `check_yaml`; raises `SpecError` for one that is no UTF-8 text.

    Raises `OSError` if it cannot be read.
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
    """Raise `SpecError` for YAML whose values are too many, too deep, too long, or no plain values.

    An alias counts as all that its anchor holds, so that it is known before it is expanded. Errors of syntax are left
    to the reader.
    """
    import yaml

    if (control := re.search(r"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]", text)) is not None:
        line = text.count("\n", 0, control.start()) + 1
        raise SpecError(f"{file}, line {line}", f"contains the control character 0x{ord(control[0]):02x}")
    for loader in (getattr(yaml, "CSafeLoader", None), yaml.SafeLoader):  # the former is fast, and stricter
        if loader is not None:
            with contextlib.suppress(yaml.YAMLError):
                return _Counter(file).count(yaml.parse(text, Loader=loader))
    return None


class _Counter:
    """Counts the values of one YAML document from its events, without making them."""

    def __init__(self, file: str) -> None:
        self.file, self.values = file, 0
        self.anchors: dict[str, int] = {}  # the number of values below each
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
        """Count what the alias stands for; an anchor that is still open would hold itself."""
        self.child(event, is_key_allowed=self.anchors.get(event.anchor, 1) == 1)
        if any(anchor == event.anchor for anchor, *_ in self.open):
            raise self.error(event, f"the anchor '{shortened(event.anchor)}' contains itself")
        self.add(event, self.anchors.get(event.anchor, 1))

    def child(self, event: Event, *, is_key_allowed: bool) -> None:
        """Count one item of the list or mapping that is open; every other one of a mapping is a key."""
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
