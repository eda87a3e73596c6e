from __future__ import annotations

import json
import re
from collections.abc import Callable

from archsearch.analysis.check import Checked
from archsearch.report.figures.design import totals
from archsearch.report.terminal.design import design_record, design_text, margins_text

Find = Callable[[str], Checked]
CONTRACT = {"design_id", "parameters", "macs", "receptive_field", "output_shape", "width", "margins", "layers"}
MORE = {"name", "symmetry", "activations", "activation_bytes", "peak_bytes", "kept"}
MARGIN = {"limit", "bound", "found", "kept", "fixes"}
LAYER = {"name", "kind", "output_shape", "receptive_field", "jump", "parameters", "macs"}


def test_the_record_has_the_keys_that_users_rely_on(shipped: Find) -> None:
    record = json.loads(json.dumps(design_record(shipped("vgg16"))))
    assert record.keys() == CONTRACT | MORE
    assert all(margin.keys() == MARGIN | {"slack"} for margin in record["margins"])
    assert all(layer.keys() == LAYER | {"start", "activations", "receptive_fields"} for layer in record["layers"])


def test_the_record_holds_the_footprint(shipped: Find) -> None:
    checked = shipped("assignment")
    record = design_record(checked)
    assert (record["parameters"], record["receptive_field"], record["output_shape"]) == (159552, 101, [10, 1, 1])
    assert record["design_id"] == checked.design_id
    assert record["kept"] is True
    assert sum(layer["parameters"] for layer in record["layers"]) == 159552
    assert sum(layer["macs"] for layer in record["layers"]) == record["macs"]
    assert record["layers"][0] == {
        "name": "stages.conv1a.0.conv", "kind": "conv", "output_shape": [128, 32, 32], "receptive_field": 5,
        "jump": 1, "start": -2, "parameters": 9600, "macs": 9830400, "activations": 131072,
        "receptive_fields": [5, 5],
    }  # fmt: skip


def test_margins_are_printed_with_their_fixes(shipped: Find) -> None:
    lines = margins_text(shipped("mobilenet_v2")).splitlines()
    assert lines[0] == "kept   receptive_field  491 px, must be above 44"
    assert lines[1] == "BROKEN parameters       2 236 682, must be below 200 000"
    assert lines[2].strip().startswith("fix: arch.width=")
    assert sum(line.startswith("kept") for line in lines) == 4
    assert "BROKEN contains         lacks dilated" in lines


def test_without_limits_it_says_so(designed: Callable[..., Checked]) -> None:
    checked = designed({"stages": {"a": {"block": "normal", "width": 8}}, "head": {"classes": 3}})
    assert margins_text(checked).strip() == "no limits are set"


def test_the_tables_hold_layers_growth_and_totals(shipped: Find) -> None:
    checked = shipped("assignment")
    text = design_text(checked)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "stages.conv2a.0.conv conv 32x16x16 13 2 9 216 2 359 296" in lines
    assert any(line.startswith("conv4b 4x4 85 ###") for line in lines)
    assert "parameters 159 552   MACs 109 910 016   receptive field 101 px" in text
    assert text.count("kept ") == len(checked.margins)
    assert text.index("layer") < text.index("receptive field") < text.index("kept")


def test_names_are_no_markup(designed: Callable[..., Checked]) -> None:
    design = {"name": "a [bold]b[/bold]", "stages": {"a": {"block": "normal", "width": 8}}, "head": {"classes": 3}}
    assert "a [bold]b[/bold]" in design_text(designed(design))


def test_columns_are_aligned_with_their_headings(shipped: Find) -> None:
    lines = design_text(shipped("assignment")).splitlines()
    heading, layers = lines[1], lines[2 : lines.index("")]
    assert not any(line.endswith(" ") for line in lines)
    for name in ("output", "RF px", "jump"):
        end = heading.index(name) + len(name)
        assert all(line[end - 1] != " " and line[end : end + 2] in ("  ", "") for line in layers)
    assert heading.startswith("layer ")
    assert all(line.index(" ") < heading.index("kind") for line in layers)


def test_a_terminal_sees_the_same_words_in_colour(shipped: Find) -> None:
    checked = shipped("mobilenet_v2")
    styled = design_text(checked, styled=True)
    assert "\x1b[1;31mBROKEN\x1b[0m" in styled
    assert "\x1b[32mkept  \x1b[0m" in styled
    assert re.sub(r"\x1b\[[\d;]*m", "", styled) == design_text(checked)


def test_tied_weights_are_named(designed: Callable[..., Checked]) -> None:
    arch = {"stages": {"a": {"block": "normal", "width": 8}}, "head": {"classes": 3}}
    for symmetry, named in (("none", False), ("flip", True)):
        checked = designed({**arch, "symmetry": symmetry})
        assert ("symmetry flip" in design_text(checked)) is named
        assert ("symmetry flip" in totals(checked)) is named
        assert design_record(checked)["symmetry"] == symmetry
