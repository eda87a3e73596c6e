"""Facts from elsewhere: NAS-Bench-Macro's table, and receptive fields of known networks."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archsearch.analysis.measure import measure, rows
from archsearch.design.lower import lower
from archsearch.design.plan import design_id
from archsearch.design.spec import DesignSpec
from archsearch.library import load_design


def reference(name: str) -> Path:
    """Return the reference file `name`, from ARCHSEARCH_REFERENCE or beside the checkout; skip where it is not."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "reference"
    file = Path(os.environ.get("ARCHSEARCH_REFERENCE", beside)) / name
    if not file.is_file():
        pytest.skip(f"set ARCHSEARCH_REFERENCE to the folder of {name}")
    return file


def with_choices(design: DesignSpec, key: str) -> DesignSpec:
    """Return NAS-Bench-Macro's design of `key`, a digit a layer."""
    stages = tuple(
        replace(stage, use=replace(stage.use, options={**stage.use.options, "choice": int(digit)}))
        for stage, digit in zip(design.stages, key, strict=True)
    )
    return replace(design, stages=stages)


def test_all_networks_of_nas_bench_macro() -> None:
    table: Mapping[str, Any] = json.loads(reference("nas-bench-macro_cifar10.json").read_text())
    design = load_design("nas_bench_macro")
    wrong: list[str] = []
    ids: set[str] = set()
    for key, row in table.items():
        plan = lower(with_choices(design, key))
        footprint = measure(plan)
        ids.add(design_id(plan))
        if (footprint.parameters, footprint.macs) != (row["params"], row["flops"]):
            wrong.append(key)
    assert len(table) == 6561
    assert wrong == []
    assert len(ids) == 3969


def fields() -> dict[tuple[str, str], int]:
    """Return the known receptive fields by network and endpoint."""
    with reference("receptive_fields.csv").open() as file:
        return {(row["network"], row["endpoint"]): int(row["receptive_field"]) for row in csv.DictReader(file)}


def test_receptive_fields_of_vgg16() -> None:
    known = fields()
    layers = {row.name: row for row in rows(lower(load_design("vgg16", image_size=224)))}
    pools = [row for row in layers.values() if row.kind == "pool"]
    assert len(pools) == 5
    for index in (1, 2, 3, 4):
        assert pools[index - 1].receptive_field == known["vgg_16", f"pool{index}"]
    assert pools[4].receptive_field == known["vgg_16", ""]
    assert pools[4].jump == 32


def test_receptive_field_of_vgg_a() -> None:
    """Described here, as a user would: two or one convolutions a stage, each stage ended by its pool."""
    stages: dict[str, Any] = {
        f"c{index}": {"block": "max_pooled" if index > 1 else "normal", "width": 8, "repeats": 1}
        for index in range(1, 6)
    }
    for name in ("c3", "c4", "c5"):
        stages[name] = {"block": "normal", "width": 8, "repeats": 2, "entry": {"block": "max_pooled"}}
    layers = [{"pool": {"kind": "max", "kernel": 2}, "name": "last_pool"}]
    plan = lower(load_design({"input": [3, 224, 224], "stages": stages, "head": {"layers": layers, "classes": 10}}))
    (pool,) = [row for row in rows(plan) if row.name == "head.last_pool"]
    assert pool.receptive_field == fields()["vgg_a", "pool5"]


def test_receptive_field_of_mobilenet_v1() -> None:
    footprint = measure(lower(load_design("mobilenet_v1", image_size=224)))
    assert footprint.receptive_field == fields()["mobilenet_v1", ""]
    assert footprint.jump == 32


def test_the_assignments_own_network() -> None:
    design = load_design("assignment")
    footprint = measure(lower(design))
    assert (footprint.parameters, footprint.receptive_field) == (159552, 101)
    assert rows(lower(design))[-1].receptive_field == 117
