"""Writes the generated pages of docs/reference: `python docs/tools`; `--check` names those that are not current.

`make docs` runs it before it builds the site.
"""

from __future__ import annotations

import argparse
import runpy
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
REFERENCE = CHECKOUT / "docs" / "reference"


def main() -> int:
    """Write the pages that have changed, or with `--check` name them; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the generated pages of docs/reference.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is not current")
    check = parser.parse_args().check
    old = [name for name, page in pages().items() if write(REFERENCE / name, page(), check=check)]
    for name in old:
        sys.stdout.write(f"docs/reference/{name} {'is not current: python docs/tools' if check else 'written'}\n")
    return 1 if check and old else 0


def pages() -> Mapping[str, Callable[[], str]]:
    """Return the function that makes each page, by its name in docs/reference."""
    import command_line
    import configuration
    import python_api
    import records

    return {
        "configuration.md": configuration.page,
        "command-line.md": command_line.page,
        "python.md": python_api.page,
        "trial-attributes.md": records.attributes_page,
        "exit-codes.md": records.exit_codes_page,
        "files.md": records.files_page,
        "networks.md": runpy.run_path(str(CHECKOUT / "benchmarks" / "network_table.py"))["page"],
    }


def write(file: Path, page: str, *, check: bool) -> bool:
    """Return whether `file` differs from `page`; write it unless `check`."""
    text = page.rstrip("\n") + "\n"
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return False
    if not check:
        file.write_text(text, encoding="utf-8")
    return True


if __name__ == "__main__":
    sys.exit(main())
