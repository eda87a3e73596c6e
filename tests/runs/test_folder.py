"""A folder holds one run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from archsearch.errors import SpecError
from archsearch.runs.folder import design_in, require_own_folder
from archsearch.runs.record import write_design

Make = Callable[..., Any]
GIVEN = ["arch.width=0.1", "++train.epochs=1", "study.name=a"]


def test_another_run_in_the_folder_is_refused(tiny: Make, tmp_path: Path) -> None:
    _, checked, _ = tiny("arch.width=0.1")
    _, other, _ = tiny("arch.width=0.2")
    require_own_folder(tmp_path / "new", checked, GIVEN, resumed=False)
    write_design(tmp_path / "design.yaml", checked)
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(GIVEN))
    assert design_in(tmp_path) == checked.design_id
    again = ["train.epochs=1", "arch.width=0.1", "study.name=b", "hydra.run.dir=x"]
    require_own_folder(tmp_path, checked, again, resumed=False)
    require_own_folder(tmp_path, checked, ["train.epochs=9"], resumed=True)
    with pytest.raises(SpecError, match=r"hydra\.run\.dir: .* holds another run: it differs in seed"):
        require_own_folder(tmp_path, checked, [*again, "seed=5"], resumed=False)
    with pytest.raises(SpecError, match=r"hydra\.run\.dir: .* holds the run of another design"):
        require_own_folder(tmp_path, other, GIVEN, resumed=False)
    with pytest.raises(SpecError, match=r"resume: .* holds the run of another design"):
        require_own_folder(tmp_path, other, GIVEN, resumed=True)


def test_a_command_that_was_refused_has_left_no_run(tiny: Make, tmp_path: Path) -> None:
    _, checked, _ = tiny("arch.width=0.1")
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "overrides.yaml").write_text("[seed=1]")
    require_own_folder(tmp_path, checked, [], resumed=False)
