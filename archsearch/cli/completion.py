"""Shell completion of `archsearch ...` by Hydra's own script, which `archsearch run -sc install=SHELL` prints.

The script calls `archsearch -sc query=SHELL` with the line typed so far in COMP_LINE.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable, Sequence

from archsearch.cli.passwords import environment
from archsearch.cli.show import SHOWS


def complete(arguments: Sequence[str], commands: Iterable[str]) -> int:
    """Answer `-sc install=SHELL`, `uninstall=SHELL` or `query=SHELL`; return the exit code."""
    shell = next((one.partition("=")[2] for one in arguments if one.startswith("query=")), None)
    if shell is None:
        from archsearch.cli.run import main

        return main(arguments)
    line = os.environ.get("COMP_LINE", "")
    words = line.split()[1:]
    words += [""] if line.endswith(" ") or not words else []
    separator = "\n" if shell == "fish" else " "
    sys.stdout.write(f"{separator.join(candidates(words, shell, commands))}\n")
    return 0


def candidates(words: Sequence[str], shell: str, commands: Iterable[str]) -> list[str]:
    """Return the completions of the last of `words`, the words after the program's name."""
    *before, last = words
    match before:
        case []:
            found = [*commands, "--help", "--version"]
        case ["run" | "show" as command, *given]:
            found = _overrides(given, last, shell)
            found += [f"{key}=" for key in SHOWS] if command == "show" else []
        case ["study", *given]:
            found = _of_study(given)
        case ["init"]:
            found = ["--help", "--version"]
        case _:
            found = []
    return [one for one in found if one.startswith(last)]


def _overrides(given: Sequence[str], last: str, shell: str) -> list[str]:
    """Return Hydra's completions of the override `last`, including the groups of a `--config-dir` in `given`.

    For a flag, return Hydra's flags except those that archsearch rejects.
    """
    from hydra._internal.utils import get_args_parser

    from archsearch.cli.arguments import REFUSED, normalise
    from archsearch.cli.run import main
    from archsearch.errors import ArchsearchError

    parser = get_args_parser()
    if last.startswith("-"):
        names = [name for action in parser._actions for name in action.option_strings if name.startswith("--")]
        return [name for name in names if name.removeprefix("--").replace("-", "_") not in REFUSED]
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            options = parser.parse_intermixed_args(list(given))
            typed = [*(["-m"] if options.multirun else []), *normalise(options.overrides), last]
            asked = ["-sc", f"query={shell}", *(["--config-dir", options.config_dir] if options.config_dir else [])]
            with environment({"COMP_LINE": f"archsearch {' '.join(typed)}"}):
                main(asked)
    except (ArchsearchError, SystemExit):  # the line cannot be parsed yet, so there are no completions
        return []
    return out.getvalue().split()


def _of_study(given: Sequence[str]) -> list[str]:
    from archsearch.cli.study import commands

    named = [commands.commands[one] for one in given if one in commands.commands]
    if not named:
        return [*commands.commands, "--help"]
    return [*(name for one in named[0].params for name in one.opts if name.startswith("--")), "--help"]
