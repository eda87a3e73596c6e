"""Guard: what `import archsearch` offers is exactly what is promised, and all of it is there."""

from __future__ import annotations

import inspect

import archsearch

PROMISED = ["load_design", "analyse", "check", "build", "load", "from_module"]


def test_the_exported_names_are_the_promised_ones() -> None:
    assert list(archsearch.__all__) == PROMISED
    assert set(PROMISED) <= set(dir(archsearch))


def test_every_exported_name_is_a_documented_function() -> None:
    for name in PROMISED:
        function = getattr(archsearch, name)
        assert inspect.isfunction(function), name
        assert inspect.getdoc(function), f"archsearch.{name} has no docstring"
