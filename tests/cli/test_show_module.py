"""`show module=...`: a user's own network as a design, with all that `show` gives, and errors with the user's line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from archsearch.errors import SpecError
from archsearch.run import main as run
from archsearch.show import main

MODEL = """\
import torch.nn as nn
import torch.nn.functional as F
from parts import block

print("a line of the file's own")
number = 3


class Net(nn.Module):
    def __init__(self, classes=10, drop=0.1):
        super().__init__()
        self.block1 = block(3, 16, drop)
        self.block2 = block(16, 16, drop, stride=2)
        self.out = nn.Linear(16, classes)
        self.unused = nn.Linear(4, 4)

    def forward(self, x):
        x = self.block2(self.block1(x))
        return F.log_softmax(self.out(x.mean((2, 3))), 1)


class Needs(nn.Module):
    def __init__(self, width):
        super().__init__()
        raise ValueError("a width of nothing")


class Scaled(Net):
    def forward(self, x):
        x = self.block1(x)
        return self.out((x + 0.5).mean((2, 3)))


def make(classes):
    return Net(classes)


def numbers():
    return [1, 2]


built = Net(4)
"""
PARTS = """\
import torch.nn as nn


def block(inputs, outputs, drop, **more):
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False, **more)
    return nn.Sequential(conv, nn.ReLU(), nn.BatchNorm2d(outputs), nn.Dropout(drop))
"""


@pytest.fixture(autouse=True)
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("code").mkdir()
    Path("code/model.py").write_text(MODEL)
    Path("code/parts.py").write_text(PARTS)
    return Path("code/model.py")


def test_a_file_of_ones_own_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["module=code/model.py:Net"]) == 2  # it breaks limits
    shown = capsys.readouterr()
    first, second, third = shown.out.splitlines()[:3]
    assert first.startswith(
        "imported code/model.py:Net: 2 970 parameters and 1 032 352 MACs, equal to the module's; with"
    )
    assert second == "note: the output is that before log_softmax: a design gives logits"
    assert third == "note: 20 parameters are not used in inference and left out: unused"
    assert "stages.block1.0.conv" in shown.out
    assert "BROKEN receptive_field  5 px, must be above 44" in shown.out
    assert "a line of the file's own" in shown.err


@pytest.mark.pictures
def test_json_has_the_import_and_other_keys_of_show_work(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["module=code/model.py:make", "module_args={classes: 7}", "plot=net.png", "constraints=none", "--json"]
    assert main([*command, "arch.stages.block2.dilation=4", "arch.input=[3, 16, 16]"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["import"]["module"] == "code/model.py:make"
    assert record["import"]["parameters"] == record["parameters"] == 2970 - 3 * 17
    assert record["import"]["logits_difference"] < 1e-4
    assert len(record["import"]["notes"]) == 2
    assert record["receptive_field"] == 3 + 2 * 4
    assert record["output_shape"] == [7, 1, 1]
    assert Path("net.png").read_bytes().startswith(b"\x89PNG")


def test_the_design_is_written_and_trains(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["module=code/model.py:Net", "constraints=none", "design=mine/net.yaml", "arch.width=0.5"]) == 0
    text = Path("mine/net.yaml").read_text()
    assert text.startswith("# python -m archsearch.run arch=FILE.yaml\n# The design of code/model.py:Net.\n")
    assert list(yaml.safe_load(text)["stages"]) == ["block1", "block2"]
    capsys.readouterr()
    assert main(["arch=mine/net.yaml", "constraints=none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 3 * 8 * 9 + 8 * 8 * 9 + 2 * 16 + 9 * 10
    small = ["data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "train.epochs=1"]
    backend = ["train.device=cpu", "train.kernels=torch", "train.compile=false", "train.batch_size=16"]
    assert run(["arch=mine/net.yaml", "constraints=none", "hydra.run.dir=out", *small, *backend]) == 0


def test_a_file_that_exists_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("net.yaml").write_text("mine")
    assert main(["module=code/model.py:Net", "design=net.yaml"]) == 2
    assert "design: net.yaml exists. Name another file, or remove it." in capsys.readouterr().err
    assert Path("net.yaml").read_text() == "mine"


def test_a_network_of_a_package_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["module=torchvision.models:squeezenet1_1", "module_args={num_classes: 10}", "constraints=none", "--json"]
    assert main([*command, "arch.input=[3,64,64]"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 727626


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["module=code/none.py:Net"], "module: no file code/none.py. Give its path, from the current folder."),
        (["module=code/model.py"], "module: expected a file or package and a name in it, got 'code/model.py'"),
        (["module=code/model.py:Nett"], "module: code/model.py has no 'Nett'. Did you mean 'Net'?"),
        (["module=code/model.py:number"], "module: number: expected a torch.nn.Module, got int"),
        (["module=code/model.py:numbers"], "module: numbers: must return a torch.nn.Module, got list"),
        (["module=code/model.py:Needs"], "module_args: Needs cannot be called: missing a required argument: 'width'"),
        (["module=code/model.py:Net", "module_args={clases: 3}"], "got an unexpected keyword argument 'clases'"),
        (["module=code/model.py:built", "module_args={a: 1}"], "module_args: built is already a network"),
        (
            ["module=code/model.py:Needs", "module_args={width: 2}"],
            'module: Needs(width=2) raises ValueError: a width of nothing (model.py, line 25: raise ValueError("a wid',
        ),
        (["module=code/model.py:Net", "module_args=[1]"], "module_args: must be a mapping, got [1]"),
        (["module=code/model.py:Net", "arch.input=[4, 8, 8]"], "Net: on 4 x 8 x 8 images its forward raises Runtime"),
        (["module=code/model.py:Net", "arch=quick"], "arch: module= gives the design already. Leave out arch=quick"),
        (
            ["module=code/model.py:Scaled"],
            "Scaled: aten.add.Tensor: a design cannot express arithmetic with a constant (model.py, line 31: return",
        ),
        (["module=no_such_package.models:Net"], "module: no package no_such_package is installed. Install it, or"),
        (["module_args={a: 1}"], "module_args: needs a module. Write module=FILE.py:CLASS."),
        (["module="], "module: needs a file or package, and a name. Write module=FILE.py:CLASS."),
        (["modul=code/model.py:Net"], "modul: unknown key. Did you mean 'module'?"),
    ],
)
def test_what_cannot_be_imported_ends_with_2_and_one_message(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main(arguments) == 2
    caught = capsys.readouterr()
    assert message in caught.err
    assert "Traceback" not in caught.err
    assert caught.out == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import torch\n1 / 0\n", "raises ZeroDivisionError: division by zero (broken.py, line 2: 1 / 0)"),
        (
            "import no_such_package\n",
            "raises ModuleNotFoundError: No module named 'no_such_package' (broken.py, line 1",
        ),
        ("def f(:\n", "raises SyntaxError: invalid syntax (broken.py, line 1)"),
        ("import sys\nsys.exit(3)\n", "raises SystemExit: 3 (broken.py, line 2: sys.exit(3))"),
    ],
)
def test_a_file_that_cannot_be_imported_has_its_line(
    text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.py").write_text(text)
    assert main(["module=broken.py:Net"]) == 2
    assert f"module: importing broken.py {message}" in capsys.readouterr().err


def test_only_the_command_line_names_code(capsys: pytest.CaptureFixture[str]) -> None:
    Path("code/model.py").write_text("open('PWNED', 'w').close()\n")
    Path("best.yaml").write_text(yaml.safe_dump({"overrides": ["module=code/model.py:Net"]}))
    Path("mine/experiment").mkdir(parents=True)
    Path("mine/experiment/it.yaml").write_text("# @package _global_\nmodule: code/model.py:Net\n")
    Path("design.yaml").write_text(yaml.safe_dump({"module": "code/model.py:Net", "stages": {}, "head": {}}))
    for command in (main, run):
        assert command(["best.yaml"]) == 2
        assert "best.yaml: module: names code to import, and a file cannot" in capsys.readouterr().err
        assert command(["experiment=it", "--config-dir=mine"]) == 2
        assert "module: unknown key" in capsys.readouterr().err
        assert command(["arch=design.yaml"]) == 2
        assert "unknown key" in capsys.readouterr().err
    assert run(["module=code/model.py:Net"]) == 2
    assert "It is one of archsearch.show: python -m archsearch.show module=..." in capsys.readouterr().err
    assert not Path("PWNED").exists()


def test_an_import_is_trained_from_its_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    from archsearch.network.weights import read_weights
    from archsearch.settings.training import TrainSettings

    weight = torch.arange(160.0).reshape(10, 16)
    torch.save({"conv.weight": torch.ones(16, 3, 3, 3), "out.weight": weight, "out.bias": torch.ones(10)}, "w.pth")
    Path("plain.py").write_text(
        "import torch.nn as nn\n\n\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.conv = nn.Conv2d(3, 16, 3, bias=False)\n        self.out = nn.Linear(16, 10)\n\n"
        "    def forward(self, x):\n        return self.out(self.conv(x).mean((2, 3)))\n"
    )
    wider = ["module=plain.py:Net", "weights=w.pth", "design=net.yaml", "constraints=none", "arch.width=2"]
    assert main(wider) == 2
    assert "weights: the weights of the module do not fit the design" in capsys.readouterr().err
    assert not Path("net.yaml").exists()
    assert not Path("net.safetensors").exists()
    main(wider[:-1])
    assert "weights: net.safetensors" in capsys.readouterr().err
    assert torch.equal(read_weights(Path("net.safetensors"))[0]["head.linear.weight"], weight)
    with pytest.raises(SpecError, match=r"train\.whiten: would replace"):
        TrainSettings(weights="net.safetensors", whiten=True)
    assert main(["module=plain.py:Net", "weights=none.pth"])
    assert "none.pth: cannot be read as weights alone" in capsys.readouterr().err
    assert main(["weights=w.pth"])
    assert "needs a module" in capsys.readouterr().err
