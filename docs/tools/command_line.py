"""The reference of the commands: what each prints for `--help`."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Iterator
from unittest.mock import patch

from tables import GENERATED

WIDTH = "100"
"""Columns of the terminal that the texts are laid out for."""
_TWICE = re.compile(r"(--[\w-]+) ([A-Z_]+), (-[\w-]+) \2")


def page() -> str:
    """Return the page of the commands."""
    parts = [
        "# Command line",
        "",
        f"{GENERATED} It contains the `--help` of every command.",
        "",
        "`archsearch COMMAND` and `python -m archsearch.COMMAND` are the same.",
        '`eval "$(archsearch run -sc install=bash)"` enables completion in bash; `zsh` and `fish` work as well.',
        "[Exit codes](exit-codes.md) explains the exit codes.",
        "",
    ]
    for title, arguments in (
        ("archsearch", ()),
        ("archsearch run", ("run",)),
        ("archsearch show", ("show",)),
        ("archsearch study", ("study",)),
        *((f"archsearch study {name}", ("study", name)) for name in _study_commands()),
        ("archsearch init", ("init",)),
    ):
        parts += [f"## {title}", "", "```text", help_of(*arguments), "```", ""]
    return "\n".join(parts)


def help_of(*arguments: str) -> str:
    """Return what `archsearch ARGUMENTS --help` prints, the same with every version of Python."""
    from archsearch.cli.main import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit), patch.dict(os.environ, COLUMNS=WIDTH):
        main([*arguments, "--help"])
    lines = [line.rstrip() for line in printed.getvalue().strip().splitlines()]
    return _TWICE.sub(r"\1, \3 \2", "\n".join(lines))  # Python 3.13 writes the value of an option once


def _study_commands() -> Iterator[str]:
    from archsearch.cli.study import commands

    yield from commands.commands
