"""Exports: a table, all of it, and a design that runs again."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from trial_fakes import bare, checked, empty, mixed, odd, study

from archsearch.errors import SpecError, StorageError
from archsearch.library import analyse
from archsearch.report.export import csv_text, export_study, folder_files, json_text
from archsearch.search.storage.read import StudyRead

STUDIES = [mixed(), odd(), empty()]


def test_a_table_that_spreadsheets_read() -> None:
    rows = list(csv.DictReader(csv_text(mixed()).splitlines()))
    assert [row["trial"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert (rows[1]["accuracy"], rows[1]["set:block"], rows[1]["state"]) == ("0.75", "inverted", "complete")
    assert (rows[2]["accuracy"], rows[2]["set:block"], rows[2]["cause"]) == ("", "", "parameters")


@pytest.mark.parametrize("one", STUDIES)
def test_every_study_can_be_exported(one: StudyRead) -> None:
    assert len(list(csv.reader(csv_text(one).splitlines()))) == len(one.trials) + 1
    assert len(json.loads(json_text(one))["trials"]) == len(one.trials)
    files = folder_files(one, Path("out"))
    lines = export_study(one, files)
    assert [line.split(" (")[0] for line in lines] == [str(file) for file in files.values()]
    assert all(file.stat().st_size for file in files.values())


def test_the_best_design_runs_again() -> None:
    one = mixed()
    export_study(one, {"design": Path("best.yaml")})
    assert analyse(Path("best.yaml")).parameters == checked("inverted").footprint.parameters
    export_study(one, {"design": Path("other.yaml")}, trial=one.trials[0])
    assert yaml.safe_load(Path("other.yaml").read_text()) != yaml.safe_load(Path("best.yaml").read_text())


def test_without_a_design_nothing_is_written() -> None:
    for one, message in ((empty(), "has no complete trial"), (odd(), "trial 1 of .* has no design")):
        with pytest.raises(SpecError, match=message):
            export_study(one, {"csv": Path("a.csv"), "design": Path("best.yaml")})
    assert not list(Path().iterdir())


def test_a_file_that_cannot_be_written_is_named() -> None:
    Path("file").write_text("")
    with pytest.raises(StorageError, match=r"a.csv: cannot be written: .*Choose another file\.$"):
        export_study(mixed(), {"csv": Path("file/a.csv")})


def test_no_cell_is_a_formula() -> None:
    evil = replace(bare(0, cause="+1", run_dir="-x"), assignments={"a": "=HYPERLINK(1)", "b": "@x", "c": -1.5})
    text = csv_text(study(evil))
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert {"'=HYPERLINK(1)", "'@x", "'+1", "'-x", "-1.5"} <= set(cells)
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "@")]
