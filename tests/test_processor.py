"""The processor's name: Linux tells the model, other systems what Python knows."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from archsearch import processor
from archsearch.processor import processor_name


@pytest.mark.parametrize(
    ("info", "name"),
    [
        ("processor\t: 0\nmodel name\t: Brand X: 3 GHz\nmodel name\t: Brand Y\n", "Brand X: 3 GHz"),
        ("processor\t: 0\nBogoMIPS\t: 50.00\n", "an architecture"),
        (None, "an architecture"),
    ],
)
def test_the_model_or_what_python_knows(monkeypatch: pytest.MonkeyPatch, info: str | None, name: str) -> None:
    if info is not None:
        Path("cpuinfo").write_text(info)
    monkeypatch.setattr(processor, "INFO", Path("cpuinfo"))
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.setattr(platform, "machine", lambda: "an architecture")
    assert processor_name() == name
