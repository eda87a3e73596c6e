"""Every text in the code that a user may read, with its place, so that all can be read in one go.

    python tests/guards/message_texts.py                      all of them
    python tests/guards/message_texts.py archsearch/report    those below a folder, or in a file

A text is a literal of at least two words: messages of errors, notices, help, headings of tables and pages. Docstrings
count where they are the help of a command or of a script; patterns and SQL do not count. `...` stands for a value.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parents[2]
FOLDERS = ("archsearch", "hydra_plugins", "benchmarks")
_WORDS = re.compile(r"[A-Za-z]{2,}[,.:;)']* +\(?[A-Za-z.]{2,}")
_SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP|PRAGMA|BEGIN|WITH|FROM|WHERE|ON|AND)\b")


class Text(NamedTuple):
    """A text that a user may read, with its place."""

    file: str
    line: int
    text: str


def texts() -> list[Text]:
    """Return every text of the folders, in the order of files and lines."""
    found: set[Text] = set()
    for path in (path for folder in FOLDERS for path in (CHECKOUT / folder).rglob("*.py")):
        file = path.relative_to(CHECKOUT).as_posix()
        tree = ast.parse(path.read_text(encoding="utf-8"))
        literals = [*_literals(tree), *_script_help(tree)]
        found |= {Text(file, line, text) for line, text in literals if _WORDS.search(text)}
    return sorted(one for one in found if not _SQL.match(one.text))


def _literals(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of the literals below `node`, each f-string as one text."""
    match node:
        case ast.Constant(value=str() as text):
            yield node.lineno, " ".join(text.split())
            return
        case ast.JoinedStr(values=values):
            parts = (str(one.value) if isinstance(one, ast.Constant) else "..." for one in values)
            yield node.lineno, " ".join("".join(parts).split())
            for one in values:
                if isinstance(one, ast.FormattedValue):
                    yield from _literals(one.value)
            return
        case ast.Call(func=ast.Attribute(value=ast.Name(id="re"))):
            return
        case ast.FunctionDef(decorator_list=[*decorators]) if any("command" in ast.unparse(one) for one in decorators):
            yield node.lineno, " ".join((ast.get_docstring(node) or "").split())
        case _:
            pass
    for child in ast.iter_child_nodes(node):
        if not _is_docstring(child):
            yield from _literals(child)


def _script_help(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of the module's docstring where the module prints it."""
    if any(isinstance(one, ast.Name) and one.id == "__doc__" for one in ast.walk(module)):
        yield 1, " ".join((ast.get_docstring(module) or "").split())


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def main() -> None:
    """Print the texts of the places that the command line names, or all."""
    for one in texts():
        if not sys.argv[1:] or one.file.startswith(tuple(sys.argv[1:])):
            sys.stdout.write(f"{one.file}:{one.line}: {one.text}\n")


if __name__ == "__main__":
    main()
