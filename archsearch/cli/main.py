"""The command `archsearch`: the list of commands, the version, and the start of a command.

Imports only the selected command.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from archsearch.cli.help import version_text
from archsearch.cli.messages import report_error
from archsearch.errors import SpecError
from archsearch.process import run_as_process

COMMANDS = {
    "run": "check, build, train and evaluate one design; with -m many, or a search",
    "show": "a design's layers, costs, receptive fields and limits, without training",
    "study": "the study database: list, explain, compare, draw, export and fix",
}


def start() -> NoReturn:
    """Run the command that the process was started with, and end the process."""
    run_as_process(main, brief=sys.argv[1:2] != ["run"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `archsearch COMMAND ...`; return the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = (given[0], given[1:]) if given else ("--help", [])
    if name in ("--version", "-V"):
        sys.stdout.write(version_text())
        return 0
    if name in ("--help", "-h", "help"):
        sys.stdout.write(_usage())
        return 0
    if name in ("-sc", "--shell-completion"):
        from archsearch.cli.completion import complete

        return complete(given, COMMANDS)
    if name not in COMMANDS:
        from archsearch.decode import suggest

        return report_error(SpecError("archsearch", f"unknown command '{name}'", suggest(name, COMMANDS)))
    return importlib.import_module(f"archsearch.cli.{name}").main(rest)


def _usage() -> str:
    lines = (f"  {name:<7}{text}\n" for name, text in COMMANDS.items())
    return (
        "Usage: archsearch COMMAND ...\n\n"
        "Design, check, train and search small convolutional networks under hard limits.\n\n"
        f"Commands (python -m archsearch.COMMAND is the same):\n{''.join(lines)}\n"
        "archsearch COMMAND --help: options of a command. archsearch --version: the version.\n"
    )
