"""Exports of a run: compared before they are done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from archsearch import load
from archsearch.errors import DataError, RunError, SpecError
from archsearch.network.portable import RECORD
from archsearch.runs import export
from archsearch.runs.execute import execute
from archsearch.runs.export import export_network

SMALL = ("arch.width=0.1", "arch.stages.c2.repeats=1", "arch.stages.c3.repeats=1", "arch.stages.c4.repeats=1")


@pytest.fixture(params=["none", "flip"])
def run_dir(tiny: Callable[..., Any], tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    experiment, checked, dataset = tiny(*SMALL, f"arch.symmetry={request.param}")
    execute(experiment, checked, tmp_path / "run", dataset=dataset)
    return tmp_path / "run"


def test_torch_export_and_safetensors_are_compared_on_the_test_images(run_dir: Path, tmp_path: Path) -> None:
    pt2, weights = tmp_path / "out" / "net.pt2", tmp_path / "out" / "net.safetensors"
    lines = export_network(run_dir, torch_export=pt2, safetensors=weights)
    assert lines[0].startswith(f"{pt2}: torch.export, same class on 20 of 20 images, largest logit difference ")
    assert lines[0].endswith(", test images of shapes")
    assert "(tolerance " in lines[0]
    assert lines[1] == "it takes images (B, 3, 32, 32), channels red, green, blue: uint8, 0..255"
    assert "weights with their design, same class on 20 of 20" in lines[2]
    assert sorted(file.name for file in pt2.parent.iterdir()) == ["net.pt2", "net.safetensors"]
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    extra = {RECORD: ""}
    program = torch.export.load(str(pt2), extra_files=extra).module()
    assert torch.allclose(program(images), load(weights, takes="uint8")(images), atol=1e-5)
    record = json.loads(extra[RECORD])
    assert len(record["classes"].splitlines()) == 10
    assert "stages:" in record["design"]


def test_onnx_is_compared_on_the_test_images(run_dir: Path, tmp_path: Path) -> None:
    for library in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(library, reason="the extra `export` is not installed")
    lines = export_network(run_dir, onnx=tmp_path / "net.onnx", takes="unit")
    assert "ONNX, same class on 20 of 20 images" in lines[0]
    assert lines[1].endswith("float32, 0..1 (bytes divided by 255)")


def test_weights_alone_are_compared_on_drawn_images(run_dir: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((run_dir / "model.safetensors").read_bytes())
    (line,) = export_network(alone, safetensors=tmp_path / "copy.safetensors")
    assert "of 1 000 images" in line
    assert line.endswith("generated images, because those of the run are not available")


def test_what_is_not_the_same_network_is_not_written(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "read_torch_export", lambda file: lambda images: torch.ones(len(images), 10).numpy())
    with pytest.raises(RunError, match=r"net.pt2: not written: its logits differ from the original's by"):
        export_network(run_dir, torch_export=tmp_path / "net.pt2")
    assert not list(tmp_path.glob("*net.pt2"))


def test_wrong_endings_and_unfinished_runs_are_errors(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"onnx: 'net.onx' does not end in .onnx. Write net.onnx"):
        export_network(run_dir, onnx=Path("net.onx"))
    with pytest.raises(DataError, match="no weights"):
        export_network(tmp_path, onnx=Path("net.onnx"))
