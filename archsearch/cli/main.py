"""The command `archsearch`: prints the list of commands and the version, and starts a command.

Only the selected command is imported.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import NoReturn

from archsearch.cli.help import version_text
from archsearch.cli.messages import report_error
from archsearch.config_files import config_folder
from archsearch.config_files.summaries import GROUPS, option_files
from archsearch.errors import SpecError
from archsearch.process import run_as_process

COMMANDS = {
    "run": "check, train and evaluate one design; with -m, several designs or a search",
    "show": "show the layers, costs, receptive fields and limits of a design, without training",
    "study": "list, explain, compare, plot and export the studies in a database",
    "init": "write a folder with examples: a block, a network, limits and a space",
}
_USAGE = """\
Usage: archsearch COMMAND ...

Design, check, train and search small convolutional networks under hard limits.

Commands (python -m archsearch.COMMAND is the same):
{commands}
First steps:
  archsearch show block=dilated              show the layers, costs and limits of a design
  archsearch show block=dilated plot=a.png   draw it
  archsearch show module=model.py:Net        the same for a network in PyTorch
  archsearch run experiment=quick            check and train a design
  archsearch run -m space=cifar              search; repeat the command to continue
  archsearch study show                      show the best designs of the search
  archsearch init                            start with your own block, network, limits and space

Groups of options, with their number (archsearch run --help describes each option):
{groups}
archsearch COMMAND --help shows the options of a command, archsearch --version the version.
Completion in bash (or zsh, fish): eval "$(archsearch run -sc install=bash)"
"""


def start() -> NoReturn:
    """Run the command line of this process, and end the process."""
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
    files = option_files([config_folder()])
    return _USAGE.format(
        commands="".join(f"  {name:<7}{text}\n" for name, text in COMMANDS.items()),
        groups="".join(f"  {group:<13}{len(options):>2}  {GROUPS[group]}\n" for group, options in files.items()),
    )
