"""Guard: the page "Follow one trial" names at most twelve modules, and each is imported by one before it."""

from __future__ import annotations

import re
from pathlib import Path

from test_imports import CHECKOUT, IMPORTS, module_name


def path_of_a_trial() -> list[str]:
    text = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.partition("## Follow one trial")[2].partition("\n## ")[0]
    return [module_name(CHECKOUT / Path(file)) for file in re.findall(r"^\d+\. `([^`]+)`", section, re.MULTILINE)]


def test_a_trial_passes_at_most_twelve_modules() -> None:
    assert 8 <= len(path_of_a_trial()) <= 12


def test_each_module_is_imported_by_one_before_it() -> None:
    first, sweeper, *rest = path_of_a_trial()
    assert first == "archsearch.cli.run"
    assert sweeper.endswith("archsearch_sweeper")  # Hydra finds it by the name in conf/config.yaml
    seen = [first, sweeper]
    for module in rest:
        assert any(module in IMPORTS[earlier] for earlier in seen), f"{module} is imported by none of {seen}"
        seen.append(module)
