"""The page of the shipped networks is what its command makes now."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    return runpy.run_path(str(CHECKOUT / "benchmarks" / "network_table.py"))


def test_the_page_of_networks_is_current(table: dict[str, Any]) -> None:
    page = (CHECKOUT / "docs" / "reference" / "networks.md").read_text(encoding="utf-8")
    assert page == table["page"](), "make it again: python benchmarks/network_table.py --out docs/reference/networks.md"


@pytest.mark.parametrize(
    ("comment", "sentence"),
    [
        (
            "# command\n# A net 1.1 (He et al., 2016) as\n# published. More of it.\nname: a\n",
            "A net 1.1 (He et al., 2016) as published",
        ),
        ("# command\n# A net.\n", "A net"),
        ("# command\nname: a\n", ""),
    ],
)
def test_the_source_of_a_network_is_its_first_sentence(table: dict[str, Any], comment: str, sentence: str) -> None:
    assert table["source"](comment) == sentence
