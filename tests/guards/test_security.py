"""Guard: what docs/concepts/security.md promises has a test, and nothing is read in a way that can run code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = CHECKOUT / "docs" / "concepts" / "security.md"
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")][1:]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[2:40])
def test_each_protection_names_tests_that_exist(row: str) -> None:
    named = NAMED.findall(row)
    assert named, "the line names no test"
    for file, name in named:
        tree = ast.parse((CHECKOUT / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f"{file} has no {name}"


def test_the_page_lists_its_protections() -> None:
    assert len(ROWS) >= 25


FORBIDDEN = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
CALLS = {"eval", "exec", "compile", "__import__"}
SAFE = {
    ("torch", "load"): "weights_only=True",
    ("np", "load"): "",
    ("numpy", "load"): "",
    ("yaml", "load"): "Loader=loader",
    ("yaml", "unsafe_load"): "",
    ("yaml", "full_load"): "",
    ("yaml", "load_all"): "",
    ("os", "system"): "",
    ("pd", "read_pickle"): "",
}
"""Calls that can run what they read, with the argument that makes them safe; none where nothing does."""


def sources() -> list[Path]:
    return sorted([*(CHECKOUT / "archsearch").rglob("*.py"), *(CHECKOUT / "hydra_plugins").rglob("*.py")])


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_nothing_is_read_in_a_way_that_runs_code(path: Path) -> None:
    assert unsafe_reads(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    ["import pickle", "from joblib import load", "eval('1')", "torch.load(x)", "yaml.load(x, Loader=yaml.Loader)",
     "np.load(x, allow_pickle=True)", "subprocess.run(x, shell=True)"],
)  # fmt: skip
def test_an_unsafe_read_is_found(text: str) -> None:
    assert unsafe_reads(text)


def unsafe_reads(text: str) -> list[str]:
    """Return the imports and calls in the program `text` that can run what they read."""
    found: list[str] = []
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import(names=names):
                found += [one.name for one in names if one.name.partition(".")[0] in FORBIDDEN]
            case ast.ImportFrom(module=str(module)):
                found += [module] if module.partition(".")[0] in FORBIDDEN else []
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                found.append(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr=name), keywords=keywords):
                given = {ast.unparse(keyword) for keyword in keywords}
                if (owner, name) in SAFE and SAFE[owner, name] not in given:
                    found.append(f"{owner}.{name}")
                if "shell=True" in given:
                    found.append(f"{owner}.{name}: shell=True")
            case _:
                pass
    return found
