"""Runs the code cells of a notebook in one process, and writes their outputs into it.

    python examples/execute.py examples/tour.ipynb

No Jupyter is needed; in Jupyter the cells give the same.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_REPRS = {"image/svg+xml": "_repr_svg_", "text/html": "_repr_html_"}
"""What a value may offer besides its text, by media type, as in Jupyter."""


def execute(notebook: dict[str, Any], edit: Callable[[str], str] = str) -> dict[str, Any]:
    """Return `notebook` with the outputs of its code cells, each run in order after `edit`."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    cells: list[dict[str, Any]] = []
    count = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell = {**cell, "execution_count": count, "outputs": _outputs(edit("".join(cell["source"])), scope, count)}
        cells.append(cell)
    return {**notebook, "cells": cells}


def _outputs(source: str, scope: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Return what a cell prints, and the value of its last line; a value of None is not shown."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            exec(compile(tree, "<cell>", "exec"), scope)  # noqa: S102  (a notebook is code)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), scope)  # noqa: S307
    except Exception:
        sys.stderr.write(printed.getvalue())  # what the cell printed before it failed
        raise
    found: list[dict[str, Any]] = []
    if text := printed.getvalue():
        found.append({"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)})
    if value is not None:
        data = {kind: getattr(value, name)() for kind, name in _REPRS.items() if hasattr(value, name)}
        shown = {kind: text.splitlines(keepends=True) for kind, text in {**data, "text/plain": _plain(value)}.items()}
        found.append({"output_type": "execute_result", "execution_count": count, "data": shown, "metadata": {}})
    return found


def _plain(value: object) -> str:
    text = repr(value)
    return text if len(text) < 400 else f"{text[:400]}..."


def main() -> None:
    """Run the notebook that the command names."""
    file = Path(sys.argv[1]).resolve()
    done = execute(json.loads(file.read_text(encoding="utf-8")))
    file.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
