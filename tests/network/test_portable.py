"""Networks as files of other programs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from archsearch.errors import SpecError
from archsearch.library import build
from archsearch.network import portable
from archsearch.network.portable import (
    RECORD,
    Preprocessed,
    as_function,
    compare,
    describe_input,
    example_of,
    read_onnx,
    read_torch_export,
    write_onnx,
    write_torch_export,
)

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
DESIGN = {
    "input": [3, 8, 8],
    "stages": {"c1": {"block": "normal", "width": 4}, "c2": {"block": "squeeze_excite", "width": 8, "stride": 2}},
    "head": {"pool": "global_average", "classes": 3},
}


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (9, 3, 8, 8), np.uint8)


@pytest.fixture(params=["none", "flip"])
def network(request: pytest.FixtureRequest) -> torch.nn.Module:
    return build({**DESIGN, "symmetry": request.param}, seed=1).eval()


def test_the_same_image_gives_the_same_logits_however_it_comes(network: torch.nn.Module, images: np.ndarray) -> None:
    plain = as_function(network)(example_of(images, "normalised", MEAN, STD))
    for takes in ("uint8", "unit", "normalised"):
        logits = as_function(Preprocessed(network, MEAN, STD, takes))(example_of(images, takes, MEAN, STD))
        assert logits.shape == (9, 3)
        if takes != "normalised":
            assert np.allclose(logits, plain, atol=1e-5), takes
    assert network.state_dict().keys() == {
        name.removeprefix("network.") for name in Preprocessed(network, MEAN, STD, "uint8").state_dict()
    }


def test_a_torch_export_is_the_network_for_any_batch(
    network: torch.nn.Module, images: np.ndarray, tmp_path: Path
) -> None:
    whole, file = Preprocessed(network, MEAN, STD, "uint8").eval(), tmp_path / "net.pt2"
    write_torch_export(whole, images[:2], file, json.dumps({"input": "bytes"}))
    read = read_torch_export(file)
    found = compare(as_function(whole), read, images, batch_size=4)  # 4, 4 and 1
    assert (found.same, found.images) == (9, 9)
    assert found.relative < 1e-5
    extra = {RECORD: ""}
    torch.export.load(str(file), extra_files=extra)
    assert json.loads(extra[RECORD]) == {"input": "bytes"}


def test_an_onnx_file_is_the_network_for_any_batch(
    network: torch.nn.Module, images: np.ndarray, tmp_path: Path
) -> None:
    onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    whole, file = Preprocessed(network, MEAN, STD, "uint8").eval(), tmp_path / "net.onnx"
    write_onnx(whole, images[:2], file, {"input": "bytes"})
    found = compare(as_function(whole), read_onnx(file), images, batch_size=4)
    assert (found.same, found.images) == (9, 9)
    assert found.relative < 1e-5
    assert {one.key: one.value for one in onnx.load(str(file)).metadata_props}["input"] == "bytes"


def test_agreement_counts_what_differs() -> None:
    one = np.array([[1.0, 2.0], [4.0, 3.0]], np.float32)
    found = compare(lambda batch: one[batch], lambda batch: one[batch] + [[0.5, 0.0]], np.arange(2), batch_size=2)
    assert (found.difference, found.scale, found.relative, found.same) == (0.5, 4.0, 0.125, 2)
    found = compare(lambda batch: one[batch], lambda batch: one[batch][:, ::-1], np.arange(2), batch_size=1)
    assert found.same == 0


def test_the_input_is_described_exactly() -> None:
    texts = [describe_input(takes, (3, 8, 9), MEAN, STD) for takes in ("uint8", "unit", "normalised")]
    assert texts[0] == "images (B, 3, 8, 9), channels red, green, blue: uint8, 0..255"
    assert texts[1].endswith("float32, 0..1 (bytes divided by 255)")
    grey = describe_input("uint8", (1, 8, 9), MEAN[:1], STD[:1])
    assert grey == "images (B, 1, 8, 9), grey: uint8, 0..255"
    assert texts[2].endswith("(bytes / 255 - mean) / std with mean (0.4, 0.5, 0.6) and std (0.2, 0.25, 0.3)")


def test_a_missing_extra_is_named(
    network: torch.nn.Module, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(portable.importlib, "import_module", absent)
    with pytest.raises(SpecError, match=r"the package onnx, which is not installed. Install it: pip install 'archs"):
        write_onnx(network, images, tmp_path / "net.onnx", {})
    with pytest.raises(SpecError, match="the package onnxruntime"):
        read_onnx(tmp_path / "net.onnx")
