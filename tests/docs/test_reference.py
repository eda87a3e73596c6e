"""The generated pages of docs/reference are current, and leave no option, key, attribute or file out."""

from __future__ import annotations

import json
import re
import runpy
import sqlite3
from pathlib import Path

import configuration
import pytest
import python_api
import records

import archsearch
from archsearch.analysis.limits import LIMITS
from archsearch.config_files import config_folder, read_yaml
from archsearch.design import spec
from archsearch.runs import record
from archsearch.search.storage import attributes
from archsearch.search.storage.dashboard import FILES, MARGIN

CHECKOUT = Path(__file__).parents[2]
REFERENCE = CHECKOUT / "docs" / "reference"
EXAMPLES = CHECKOUT / "outputs" / "examples"
PAGES = runpy.run_path(str(CHECKOUT / "docs" / "tools" / "__main__.py"))["pages"]()
GROUPS = sorted({file.parent.relative_to(config_folder()).as_posix() for file in config_folder().glob("*/**/*.yaml")})


def section(group: str) -> str:
    """Return the section of a group in the page of the configuration."""
    page = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    return page.partition(f"\n## {group}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", sorted(set(PAGES) - {"networks.md"}))  # its own test: tests/benchmarks
def test_a_generated_page_is_current(name: str) -> None:
    text = (REFERENCE / name).read_text(encoding="utf-8")
    assert text == PAGES[name]().rstrip("\n") + "\n", "make it again: python docs/tools"


@pytest.mark.parametrize("group", GROUPS)
def test_every_option_has_its_line(group: str) -> None:
    found = dict(re.findall(r"^\| \[`([\w/]+)`\]\(\.\./\.\./conf/\S+\) \| ([^|]*) \|", section(group), re.MULTILINE))
    assert set(found) == {file.stem for file in (config_folder() / group).glob("*.yaml")}
    assert all(text.strip().endswith(".") for text in found.values()), found


@pytest.mark.parametrize("group", [group for group in configuration.GROUPS if group.prefix], ids=lambda one: one.name)
def test_every_key_has_its_line_with_its_meaning(group: configuration.Group) -> None:
    lines = re.findall(r"^\| `([\w.]+)` \| (.*?) \| (.+?) \| (.+?) \|$", section(group.name), re.MULTILINE)
    found = {key: meaning for key, meaning, _, _ in lines}
    for file in configuration.options(group.name):
        raw = {key: value for key, value in read_yaml(file).items() if key != "defaults"}
        if group.name in ("arch", "constraints", "augment"):  # values that are mappings or lists by themselves
            keys = set(raw)
        else:
            keys = {key for key, _ in configuration.flat(raw)}
        assert {f"{group.prefix}.{key}" for key in keys} <= set(found), file
    assert all(found.values()), [key for key, meaning in found.items() if not meaning]


def test_the_keys_of_a_network_are_those_that_are_decoded() -> None:
    text = section("arch")
    network = set(re.findall(r"^\| `arch\.(\w+)` \|", text, re.MULTILINE))
    assert network == {*spec._ARCH_KEYS, "file"}
    _, stage, head = (part.partition("\n\nLayers")[0] for part in re.split(r"\nKeys of ", text))
    assert set(re.findall(r"^\| `(\w+)` \|", stage, re.MULTILINE)) == {*spec.STAGE_KEYS, "OPTION"}
    assert set(re.findall(r"^\| `(\w+)` \|", head, re.MULTILINE)) == set(spec._HEAD_KEYS)


def test_every_limit_and_every_function_has_its_place() -> None:
    assert set(re.findall(r"^\| `constraints\.(\w+)` \|", section("constraints"), re.MULTILINE)) == set(LIMITS)
    python = (REFERENCE / "python.md").read_text(encoding="utf-8")
    assert {f"\n## {name}\n" in python for name in archsearch.__all__} == {True}
    assert {f"\n### {kind.__name__}\n" in python for kind in python_api.RETURNED} == {True}


def test_the_range_of_a_key_is_that_of_its_setting() -> None:
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    lines = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| `")}
    assert lines["| `train.ema`"].endswith(" | number, at least 0 and below 1, or null | `null` |")
    assert lines["| `data.image_size`"].endswith(" | integer, from 1 to 4096, or null | `null` |")
    assert lines["| `optimizer.name`"].endswith(" | `sgd`, `adamw`, `muon` | `sgd` |")


def test_every_attribute_of_a_trial_and_a_study_is_listed() -> None:
    assert set(attributes._OF_TRIAL) <= set(records.OF_TRIAL)
    assert set(attributes._OF_STUDY) <= set(records.OF_STUDY)
    with sqlite3.connect(f"file:{EXAMPLES / 'studies.db'}?mode=ro", uri=True) as database:
        trial = {key for (key,) in database.execute("SELECT DISTINCT key FROM trial_user_attributes")}
        study = {key for (key,) in database.execute("SELECT DISTINCT key FROM study_user_attributes")}
    present = {attributes.OLD_NAMES.get(key, key) for key in trial if not key.startswith(MARGIN)}
    assert present
    assert present <= set(records.OF_TRIAL)
    assert {attributes.OLD_STUDY_NAMES.get(key, key) for key in study} <= set(records.OF_STUDY)


def test_every_file_of_a_run_and_every_key_in_it_is_listed() -> None:
    run = EXAMPLES / "runs" / "0004"
    assert {file.name for file in run.iterdir()} | set(FILES) <= set(records._RUN)
    for name, listed in (("result.json", records._RESULT), ("card.json", records._CARD)):
        assert set(json.loads((run / name).read_text(encoding="utf-8"))) <= set(listed)
    assert set(record._TRAINED) <= set(records._RESULT)
    line = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[0]
    assert set(json.loads(line)) == set(records._METRICS)


@pytest.mark.parametrize(
    ("comment", "key", "text"),
    [
        ("a: 1 # one", "a", "one"),
        ("a:\n  b: 2   # two", "a.b", "two"),
        ("a: {b: 1}  # both\nc: x # y | z: why", "c", "y | z: why"),
    ],
)
def test_the_comment_behind_a_key_is_read(tmp_path: Path, comment: str, key: str, text: str) -> None:
    (tmp_path / "one.yaml").write_text(f"# python -m archsearch.run\n{comment}\n", encoding="utf-8")
    assert configuration.comments(tmp_path / "one.yaml")[key] == text
