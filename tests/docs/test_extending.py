"""The code of docs/extending.md that no package holds: a predictor of one's own."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]


def test_a_predictor_of_ones_own_checks_a_design(capsys: pytest.CaptureFixture[str]) -> None:
    text = (CHECKOUT / "docs" / "extending.md").read_text(encoding="utf-8")
    (code,) = (
        block
        for block in re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if "predictor=" in block
    )
    Path("predictor.py").write_text(code, encoding="utf-8")
    runpy.run_path("predictor.py")
    assert capsys.readouterr().out.startswith("False Estimate(seconds=71.56")


def test_the_files_that_a_layer_kind_touches_end_in_assert_never() -> None:
    text = (CHECKOUT / "docs" / "extending.md").read_text(encoding="utf-8")
    section = text.partition("\n## A layer kind\n")[2].partition("\n## ")[0]
    listed = set(re.findall(r"^\| `(archsearch/\S+)` \|", section, re.MULTILINE))
    matching = {
        path.relative_to(CHECKOUT).as_posix()
        for path in (CHECKOUT / "archsearch").rglob("*.py")
        if "assert_never(layer)" in path.read_text(encoding="utf-8")
    }
    assert matching == listed - {"archsearch/design/layers.py", "archsearch/design/kinds.py"}
