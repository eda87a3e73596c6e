"""The commands that the pages of docs/ hold, as they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
GENERATED = ("command-line.md", "configuration.md", "python.md", "networks.md", "trial-attributes.md", "files.md")
_PROGRAM = "python -m archsearch."
_BLOCK = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"^`([\w/]+\.\w+)` [^\n]*(?:\n[^\n`][^\n]*)*\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(python -m archsearch\.[^`]*)`")


def commands() -> dict[str, str]:
    """Return every command with the first page that it is on."""
    found: dict[str, str] = {}
    for page in sorted((CHECKOUT / "docs").rglob("*.md")):
        if page.name not in GENERATED:
            for command in commands_in(page.read_text(encoding="utf-8")):
                found.setdefault(command, page.relative_to(CHECKOUT).as_posix())
    return found


def opening_commands() -> dict[str, str]:
    """Return the first command in the comment that opens each file of conf/, by the file's path."""
    found: dict[str, str] = {}
    for file in sorted((CHECKOUT / "conf").rglob("*.yaml")):
        lines = (line.removeprefix("# ") for line in file.read_text(encoding="utf-8").splitlines())
        first = next(line for line in lines if line.startswith(_PROGRAM))
        found[file.relative_to(CHECKOUT).as_posix()] = next(iter(_single(first)))
    return found


def commands_in(text: str) -> Iterator[str]:
    """Yield the commands of a page: in blocks, also behind `$` and in comments of YAML, and within a line."""
    for block in _BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            line = line.strip().removeprefix("$ ").removeprefix("# ")
            if line.startswith(_PROGRAM):
                yield from _single(line)
    for inline in _INLINE.findall(_BLOCK.sub("", text)):
        yield from _single(" ".join(inline.split()))


def _single(line: str) -> Iterator[str]:
    """Yield the commands of a line, without what follows them."""
    for part in re.split(r"\s(?:&&|\|)\s", line):
        command = re.split(r"\s+#\s", part)[0].strip()
        if command.startswith(_PROGRAM):
            yield " ".join(command.split())


def files_of(page: Path) -> dict[str, str]:
    """Return the files that a page shows whole, by the path that the text before each names first."""
    return dict(_FILE.findall(page.read_text(encoding="utf-8")))
