"""YAML without OmegaConf: the same values, or the answer that OmegaConf is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from archsearch.config_folder import config_folder
from archsearch.plain_yaml import NotPlain, parse_plain, read_plain, reference, require_plain

FILES = sorted(
    file for file in config_folder().rglob("*.yaml") if "hydra" not in file.parts and file.name != "config.yaml"
)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_every_shipped_file_is_read_as_omegaconf_reads_it(file: Path) -> None:
    assert repr(read_plain(file)) == repr(OmegaConf.to_container(OmegaConf.load(file)))


@pytest.mark.parametrize(
    "scalar",
    ["1e-3", "1e3", "1_000", "0x1f", "0o17", "017", "1:30", "1.", ".5", "-.inf", ".nan", "+12", "2026-11-25", "yes",
     "off", "True", "~", "null", "''", "'1'", "1.2.3", "1e", "a: b", "[1, a, {b: c}]", "'${a.b}'", "|\n  two\n  lines"],
)  # fmt: skip
def test_scalars_are_those_of_omegaconf(scalar: str) -> None:
    text = f"key:\n  inner: {scalar}\n" if "\n" not in scalar else f"key: {scalar}\n"
    try:
        theirs = repr(OmegaConf.to_container(OmegaConf.create(text)))
    except Exception:  # noqa: BLE001  (whatever it says: it is not plain)
        theirs = None
    try:
        ours = repr(parse_plain(text))
    except NotPlain:
        ours = None
    assert ours == theirs


@pytest.mark.parametrize(
    "text",
    ["", "- a", "a: [", "a: 1\na: 2", "a: {b: 1, b: 2}", "a: ${oc.env:X}", "a: x${b}", "a: ${b", "1: 2", "a: !!set {b}",
     "a: !!python/object/apply:pathlib.Path [x]", "a: !!binary aGk="],
)  # fmt: skip
def test_the_rest_is_not_plain(text: str) -> None:
    with pytest.raises(NotPlain):
        parse_plain(text)


def test_a_file_that_cannot_be_read_is_not_plain(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    for file in (tmp_path / "latin.yaml", tmp_path, tmp_path / "nowhere.yaml"):
        with pytest.raises(NotPlain):
            read_plain(file)


def test_references() -> None:
    assert reference("${data.classes}") == "data.classes"
    assert reference("${block}") == "block"
    assert reference("block") is None
    assert reference(3) is None
    for text in ("${.sibling}", "${a[0]}", "a ${b}", "${a:b}", "\\${a}"):
        with pytest.raises(NotPlain):
            reference(text)


def test_one_key_can_be_left_out() -> None:
    assert parse_plain("a: 1\nhydra: {run: '${now:%Y}'}\n", without="hydra") == {"a": 1}


def test_values_of_programs_are_plain_only_where_they_are_yaml() -> None:
    require_plain({"a": [1, None, {"b": True}]})
    for value in ({"a": (1, 2)}, {"a": {1: 2}}, {"a": object()}):
        with pytest.raises(NotPlain):
            require_plain(value)
