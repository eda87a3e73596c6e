"""Hooks of mkdocs: files of the repository outside of docs/ that pages link to become pages of the site.

Links stay as they are read in the repository (`../benchmarks/NAME.md`); here they become those of the site.
"""

from __future__ import annotations

import importlib
import posixpath
import re
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
OUTSIDE = ("benchmarks/*.md", "conf/**/*.yaml", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")
"""What pages link to outside of docs/; each has the same path on the site."""
_LINK = re.compile(r"(\]\()([^)\s:#]+)(#[^)\s]*)?(\))")
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def on_files(files: Any, config: Any) -> Any:
    """Add the files of `OUTSIDE` to the site."""
    make = importlib.import_module("mkdocs.structure.files").File.generated  # mkdocs is an extra: types do not need it
    for pattern in OUTSIDE:
        for path in sorted(CHECKOUT.glob(pattern)):
            files.append(make(config, path.relative_to(CHECKOUT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Return the page with links as they are on the site."""
    source = Path(page.file.abs_src_path or "").resolve().relative_to(CHECKOUT).as_posix()
    return site_links(markdown, source)


def site_links(markdown: str, source: str) -> str:
    """Return the text of the file `source` of the repository with relative links as they are on the site."""

    def moved(link: re.Match[str]) -> str:
        start, path, anchor, end = link.groups()
        target = _on_site(posixpath.normpath(posixpath.join(posixpath.dirname(source), path)))
        return f"{start}{posixpath.relpath(target, posixpath.dirname(_on_site(source)) or '.')}{anchor or ''}{end}"

    parts = _CODE.split(markdown)  # every second part is code
    return "".join(part if place % 2 else _LINK.sub(moved, part) for place, part in enumerate(parts))


def _on_site(path: str) -> str:
    """Return where a file of the repository is on the site."""
    return path.removeprefix("docs/")
