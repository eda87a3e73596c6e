"""The reference of the library: what `import archsearch` offers, and the classes that it returns."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator
from typing import Any

from tables import GENERATED, code, table

import archsearch
from archsearch import errors
from archsearch.analysis.check import Checked
from archsearch.analysis.limits import Margin
from archsearch.analysis.measure import Footprint, LayerFootprint
from archsearch.design.spec import DesignSpec

RETURNED = (DesignSpec, Footprint, LayerFootprint, Checked, Margin)
"""What the functions return, and what these hold; `Imported` needs torch, and is added by name."""


def page() -> str:
    """Return the page of the library."""
    from archsearch.importer.from_module import Imported

    return "\n".join(
        [
            "# Python",
            "",
            f"{GENERATED} It contains the docstrings of the code.",
            "",
            "```python",
            "from archsearch import load_design, analyse, check, build, load, from_module",
            "```",
            "",
            "You can give a design as the path of a YAML file, as the name of a shipped network, or as a mapping with",
            "the keys of [the design language](../language.md#networks).",
            "",
            *[part for name in archsearch.__all__ for part in _function(name, getattr(archsearch, name))],
            "## Classes",
            "",
            *[part for kind in (*RETURNED, Imported) for part in _class(kind)],
            "## Errors",
            "",
            "All errors are in `archsearch.errors`. [Exit codes](exit-codes.md) lists the exit code of each.",
            "",
            table(("class", "raised for"), _errors()),
        ]
    )


def _function(name: str, function: Any) -> Iterator[str]:
    yield f"## {name}\n"
    yield f"```python\n{_signature(name, function)}\n```\n"
    yield f"{_markdown(function)}\n"


def _signature(name: str, function: Any) -> str:
    found = inspect.signature(function)
    parts = list(_parameters(found))
    line = f"{name}({', '.join(parts)}) -> {found.return_annotation}"
    if len(line) <= 100:
        return line
    return f"{name}(\n" + "".join(f"    {part},\n" for part in parts) + f") -> {found.return_annotation}"


def _parameters(found: inspect.Signature) -> Iterator[str]:
    starred = False
    for one in found.parameters.values():
        if one.kind is inspect.Parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "*"
        yield f"{one.name}: {one.annotation}{'' if one.default is one.empty else f' = {one.default!r}'}"


def _class(kind: type) -> Iterator[str]:
    yield f"### {kind.__name__}\n"
    yield f"{_markdown(kind)}\n"
    notes = _attribute_notes(kind)
    fields = [
        (code(field.name), code(_plain_type(field.type)), notes.get(field.name, ""))
        for field in dataclasses.fields(kind)
    ]
    if notes:
        yield table(("attribute", "type", "what it is"), fields)
    else:
        yield table(("attribute", "type"), [field[:2] for field in fields])
    own = [(name, each) for name, each in vars(kind).items() if isinstance(each, property) and name[0] != "_"]
    if own:
        rows = [(code(name), " ".join((each.__doc__ or "").split())) for name, each in own]
        yield table(("property", "what it is"), rows)


def _attribute_notes(kind: type) -> dict[str, str]:
    """Return the docstrings below the attributes of a class."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef), "the source of a class"
    found: dict[str, str] = {}
    for one, after in itertools.pairwise(tree.body):
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
            match after:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found[one.target.id] = " ".join(text.split())
                case _:
                    pass
    return found


def _plain_type(hint: Any) -> str:
    return str(hint if isinstance(hint, str) else getattr(hint, "__name__", hint))


def _markdown(thing: Any) -> str:
    """Return a docstring as Markdown: as it is, but for lines that would become headings."""
    return re.sub(r"^#", r"\\#", inspect.getdoc(thing) or "", flags=re.MULTILINE)


def _errors() -> Iterator[tuple[str, str]]:
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, Exception):
            yield code(name), " ".join((inspect.getdoc(kind) or "").split())
