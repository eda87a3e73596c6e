"""Guard: pyproject.toml promises what the code keeps, and the wheel carries the configuration."""

from __future__ import annotations

import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hatchling.builders.wheel import WheelBuilder

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_dependency_has_a_lower_and_an_upper_bound(pyproject: dict[str, Any]) -> None:
    project = pyproject["project"]
    lines = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    unbounded = [line for line in lines if "==" not in line and not re.search(r">=[\d.]+,<[\d.]+$", line)]
    assert not unbounded


def test_the_extras_are_the_promised_ones(pyproject: dict[str, Any]) -> None:
    promised = {"dev", "docs", "postgres", "export", "dashboard", "tracking", "launchers", "ray"}
    assert pyproject["project"]["optional-dependencies"].keys() == promised


def test_the_wheel_carries_every_module_and_every_yaml(tmp_path: Path) -> None:
    [wheel] = WheelBuilder(str(CHECKOUT)).build(directory=str(tmp_path), versions=["standard"])
    inside = set(zipfile.ZipFile(wheel).namelist())
    modules = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "archsearch").rglob("*.py")}
    configs = {f"archsearch/{path.relative_to(CHECKOUT).as_posix()}" for path in (CHECKOUT / "conf").rglob("*.yaml")}
    looks = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "archsearch/report/html").glob("page.*s")}
    kernels = {path.relative_to(CHECKOUT).as_posix() for path in (CHECKOUT / "archsearch/kernels").glob("*.[ch]")}
    assert modules | configs | looks | kernels <= inside
    assert len(kernels) == 15, "the C files and their headers"
    assert len(looks) == 2, "the style and the script of the report"
    assert not [name for name in inside if name.startswith(("conf/", "tests/")) or "__pycache__" in name]
