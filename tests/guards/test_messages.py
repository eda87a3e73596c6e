"""Guard: what users read is in the words of the field, not in private ones.

`python tests/guards/message_texts.py` prints all of it.
"""

from __future__ import annotations

import ast
import re

import pytest
from message_texts import Text, _literals, texts

PRIVATE = re.compile(
    r"(?<!\.)\b(tells?|told|telling|said|hears?|heard|mends?|mended|mending|judges?|judged|judging|verdicts?|desks?|boards?|"
    r"twins?|resides?|whoever|nobody|somebody|anew|beside|by heart|in vain|ways out|must lie|"
    r"stands? (where|to)|(is|are) too much|once more|is (no|not) a choice|the folder of a run|nothing is left to do)\b",
    re.IGNORECASE,
)

# Packages whose texts still hold such words. The entry of one that is clean must go.
NOT_YET: frozenset[str] = frozenset()


def offences() -> dict[str, list[Text]]:
    """Return the texts with a private word, by package: `search`, `hydra_plugins`, or the module or script."""
    found: dict[str, list[Text]] = {}
    for one in texts():
        if PRIVATE.search(one.text):
            top, _, rest = one.file.partition("/")
            package = top if top == "hydra_plugins" else rest.partition("/")[0]
            found.setdefault(package, []).append(one)
    return found


def test_no_text_holds_a_private_word() -> None:
    listed = [f"{one.file}:{one.line}: {one.text}" for name, all_ in offences().items()
              if name not in NOT_YET for one in all_]  # fmt: skip
    assert not listed, "\n".join(listed)


@pytest.mark.parametrize("place", ["archsearch/search/", "hydra_plugins/", "benchmarks/"])
def test_each_folder_is_read(place: str) -> None:
    assert any(one.file.startswith(place) for one in texts())


def test_a_package_that_is_clean_is_not_excepted() -> None:
    assert offences().keys() >= NOT_YET


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("raise SpecError('a', f'must be {x}, is {y!r}')", ["must be ..., is ..."]),
        ('def f():\n    """A docstring of words."""\n    return "two words"', ["two words"]),
        ('@commands.command("ls")\ndef f():\n    """List all studies."""', ["List all studies.", "ls"]),
        ("re.compile('two words')", []),
        ("print(f'{a or \"no value\"} here')", ["... here", "no value"]),
    ],
)
def test_texts_are_found(code: str, found: list[str]) -> None:
    assert [text for _, text in _literals(ast.parse(code)) if text != "a"] == found
