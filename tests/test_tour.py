"""The notebook `examples/tour.ipynb`: every cell runs, and it is stored with its outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
TOUR = CHECKOUT / "examples" / "tour.ipynb"
LARGE, SMALL = "IMAGES, EPOCHS = 300, 3", "IMAGES, EPOCHS = 100, 1"


def text_of(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


@pytest.fixture(scope="module")
def tour() -> dict[str, Any]:
    return json.loads(TOUR.read_text(encoding="utf-8"))


def outputs(notebook: dict[str, Any], media_type: str) -> list[str]:
    shown = [one for cell in notebook["cells"] for one in cell.get("outputs", [])]
    if media_type == "stream":
        return ["".join(one["text"]) for one in shown if one["output_type"] == "stream"]
    return ["".join(one["data"][media_type]) for one in shown if media_type in one.get("data", {})]


def require_results(notebook: dict[str, Any]) -> None:
    """Fail where the outputs are not those of the tour."""
    tables = outputs(notebook, "text/html")
    assert "first: breaks 3 of 6 limits" in tables[0]
    assert "first: keeps all 6 limits" in tables[1]
    assert "squeezenet1_1: breaks" in tables[2]
    design, front, curves = outputs(notebook, "image/svg+xml")
    assert "keeps all 6 limits" in design
    assert "Pareto front" in front
    assert "Learning curves" in curves
    printed = "\n".join(outputs(notebook, "stream"))
    assert "equal to the module's" in printed
    assert "0 of 6 trials trained; the time of a trial is unknown until the first one ends" in printed
    assert "[6/6 done" in printed
    assert "6 complete" in printed


def test_every_cell_runs_and_shows_what_the_tour_promises(tour: dict[str, Any], tmp_path: Path) -> None:
    search = [cell for cell in tour["cells"] if LARGE in text_of(cell)]
    assert len(search) == 1
    search[0]["source"] = [text_of(search[0]).replace(LARGE, SMALL)]
    for cell in tour["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    file = tmp_path / "tour.ipynb"
    file.write_text(json.dumps(tour), encoding="utf-8")
    command = [sys.executable, str(CHECKOUT / "examples" / "execute.py"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1500)
    assert done.returncode == 0, done.stderr
    require_results(json.loads(file.read_text(encoding="utf-8")))


def test_it_is_stored_with_its_outputs_and_small() -> None:
    stored = json.loads(TOUR.read_text(encoding="utf-8"))
    assert (stored["nbformat"], stored["metadata"]["kernelspec"]["name"]) == (4, "python3")
    code = [cell for cell in stored["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    require_results(stored)
    assert TOUR.stat().st_size < 150_000
    assert "/tmp" not in TOUR.read_text(encoding="utf-8")
