"""The command `init`: copies the folder `my_conf`, which is next to this module, to a folder of the user's choice."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from archsearch.cli.help import version_text
from archsearch.cli.messages import exit_code
from archsearch.errors import SpecError
from archsearch.formatting import printable

FOLDER = "my_conf"
STARTER = Path(__file__).parent / FOLDER


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the example files to the folder named in `arguments`; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m archsearch.init",
        description="Write a folder with a block, a network, limits and a space of your own. Each file works as it is, "
        "and its first line is the command that uses it.",
    )
    parser.add_argument("folder", nargs="?", default=FOLDER, help=f"folder to write to (default: {FOLDER})")
    parser.add_argument("--version", "-V", action="version", version=version_text(), help="print the version")
    return exit_code(lambda: _init(parser, list(sys.argv[1:] if arguments is None else arguments)))


def _init(parser: argparse.ArgumentParser, given: Sequence[str]) -> int:
    from archsearch.cli.arguments import parsed

    for file, command in write_starter(parsed(parser, given, "Write archsearch init FOLDER.").folder):
        print(printable(f"{file}\n  {command}"))
    return 0


def write_starter(folder: str) -> list[tuple[Path, str]]:
    """Write the example files below `folder`; return each file with the command that uses it.

    Raises `SpecError`, before anything is written, if one of the files exists.
    """
    files = {Path(folder, one.relative_to(STARTER)): one for one in sorted(STARTER.rglob("*.yaml"))}
    for file in files:
        if file.exists():
            raise SpecError("init", f"{file} exists", "Name another folder: archsearch init FOLDER.")
    found: list[tuple[Path, str]] = []
    for file, source in files.items():
        text = source.read_text(encoding="utf-8").replace(FOLDER, shlex.quote(folder))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        found.append((file, text.partition("\n")[0].removeprefix("# ")))
    return found
