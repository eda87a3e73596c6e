"""`run` with input that cannot be used: one message that says where, what and the fix, and exit code 2."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from archsearch.run import main

SMALL = ["arch.width=0.25", "train.epochs=1", "train.batch_size=4", "train.compile=false", "train.device=cpu"]
SHAPES = [*SMALL, "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20"]
FOLDER = [*SMALL, "data=folder", "data.root=images", "data.validation=0.25"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Make two classes of four training and four test images each."""
    generator = np.random.default_rng(0)
    for place in ("train/cat", "train/dog", "test/cat", "test/dog"):
        (tmp_path / "images" / place).mkdir(parents=True)
        for index in range(4):
            pixels = generator.integers(0, 255, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / place / f"{index}.png")
    return tmp_path / "images"


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """Return the last line that `run` prints while it refuses `arguments`."""
    assert main(list(arguments)) == code
    caught = capsys.readouterr()
    assert "Traceback" not in caught.err
    assert caught.out == ""
    assert not list(Path("outputs").rglob("model.safetensors"))
    return caught.err.splitlines()[-1]


def test_a_folder_of_images_trains(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(FOLDER) == 0
    caught = capsys.readouterr()
    assert "on images, validation" in caught.out
    assert "6 training images, 2 validation, 8 test" in caught.err


def test_nothing_held_out_is_a_run_without_a_validation(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*FOLDER[:-1], "data.validation=0"]) == 0
    caught = capsys.readouterr()
    assert "validation" not in caught.out
    assert "8 training images, 0 validation" in caught.err


def test_a_folder_without_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "images").mkdir()
    message = refused(capsys, *FOLDER)
    assert f"{tmp_path}/images/train: no such folder" in message
    assert "Expected: train/CLASS/*" in message


def test_a_class_that_is_missing_from_the_test_images(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (images / "test" / "dog").iterdir():
        file.unlink()
    assert f"{images}/test/dog: contains no images. Add some" in refused(capsys, *FOLDER)
    (images / "test" / "dog").rmdir()
    message = refused(capsys, *FOLDER)
    assert "class dog is in train/ but missing from test/" in message
    assert "add " in message


def test_a_corrupt_image_is_named(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (images / "train" / "dog" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    message = refused(capsys, *FOLDER)
    assert f"1 of 8 files cannot be read as images: {images}/train/dog/2.png" in message
    assert message.endswith("Fix or remove it.")


def test_images_of_other_sizes_are_refused_and_resized_on_request(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (40, 24)).save(images / "test" / "cat" / "3.png")
    message = refused(capsys, *FOLDER)
    assert f"1 of 8 images is not 32x32 px: {images}/test/cat/3.png (40x24)" in message
    assert "data.resize=true" in message
    assert main([*FOLDER, "data.resize=true"]) == 0


def test_a_design_file_of_a_user_reads_the_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "name: mine\nstages: {a: {block: '${block}', width: 8}}\nhead: {classes: '${data.classes}'}\n"
    (tmp_path / "my net.yaml").write_text(text)
    changed = ["arch='my net.yaml'", "block=dilated", "arch.stages.a.kernel=5", "constraints=none"]
    assert main([*SHAPES[1:], *changed]) == 0
    assert "mine: 706 parameters" in capsys.readouterr().err  # 3 x 8 x 25, the norm's 16, 8 x 10 + 10, dilated: 9 px
    assert main([*SHAPES[1:], *changed, "arch.stages.a.kernl=5"]) == 2
    assert "arch.stages.a.kernl: unknown key for a stage. Did you mean 'kernel'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "net.yaml: no such file"),
        ("- a\n- b\n", "net.yaml: must contain a mapping"),
        ("", "net.yaml: must contain a mapping"),
        ("stages: [", "net.yaml, line 1, column 10: is not valid YAML"),
        ("stages: {}\nstagess: 1\n", "arch.stagess: unknown key for a network. Did you mean 'stages'?"),
        ("stages: 3\nhead: {classes: 10}\n", "arch.stages: must be a mapping of at least one stage, got 3"),
    ],
)
def test_files_that_hold_no_design(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "net.yaml").write_text(text)
    assert message in refused(capsys, *SHAPES[1:], "arch=net.yaml")


def test_the_folder_of_a_run_is_a_design(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SHAPES, "hydra.run.dir=first"]) == 0
    assert main([*SHAPES[1:], "arch=./first", "hydra.run.dir=second"]) == 0
    designs = [yaml.safe_load(Path(f"{name}/design.yaml").read_text()) for name in ("first", "second")]
    assert designs[0] == designs[1]
    assert main([*SHAPES[1:], "arch=./first/.hydra"]) == 2
    assert ".hydra/design.yaml: no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("arch=null", "a group must be set to the name of one of its options. Write GROUP=OPTION"),
        ("seed", "seed: is not an override. Write KEY=VALUE"),
        ("train.epochs=[1", "train.epochs: Hydra cannot parse the value [1"),
        ("+seed=3", "++seed=3"),
        ("study.storage=elsewhere", "study.storage: 'elsewhere' is not the address of a study database. Use sqlite://"),
        ("study.name=''", "study.name: must not be empty"),
        ("train.device=cuda:99", "train.device"),
        ("data.root=${oc.env:NOT_SET_AT_ALL}", "the environment variable 'NOT_SET_AT_ALL' is not set. Set it: export"),
        ("--frobnicate", "unrecognized arguments: --frobnicate"),
        ("--config-dir=nowhere", "/nowhere' not found"),
        ("resume=nowhere", "resume: 'nowhere' is not a run folder: it has no .hydra/overrides.yaml. Use a"),
    ],
)
def test_overrides_that_cannot_be_used(capsys: pytest.CaptureFixture[str], override: str, message: str) -> None:
    assert main([*SHAPES, override]) == 2
    caught = capsys.readouterr()
    assert message in caught.err
    assert "Traceback" not in caught.err
    assert not list(Path("outputs").rglob("result.json"))


def test_overrides_in_unusual_forms_mean_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    forms = ["++seed=3", "~arch.divisor", "+arch.stages.c1.dilation=2", "arch.name='a: b'", "train.short=1"]
    assert main([*forms[:2], "--config-dir", ".", *SHAPES, *forms[2:4], "hydra.run.dir='it is here'"]) == 0
    composed = yaml.safe_load(Path("it is here/.hydra/config.yaml").read_text())
    assert (composed["seed"], composed["arch"]["name"]) == (3, "a: b")
    assert "divisor" not in composed["arch"]
    assert composed["arch"]["stages"]["c1"]["dilation"] == 2
    capsys.readouterr()


def test_the_full_error_is_a_traceback_with_the_same_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    for argument in ("block=nromal", "train.epochs=0", "arch=resnet20"):
        assert main([argument]) == 2
        assert "Traceback" in capsys.readouterr().err
    assert os.environ["HYDRA_FULL_ERROR"] == "1"


def test_an_output_folder_that_cannot_be_made(capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").write_text("a file")
    message = refused(capsys, *SHAPES, "hydra.run.dir=taken/run")
    assert "taken/run: cannot be used: Not a directory. Choose another location: hydra.run.dir=FOLDER" in message


@pytest.mark.parametrize("target", ["checkpoint.pt", "design.yaml", "result.json", "metrics.jsonl"])
def test_a_full_disk_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """Writing fails where it does on a full disk: at the fsync of the file's part.

    No function of ours is replaced: a module that is imported meanwhile would keep the replacement.
    """
    sync = os.fsync

    def full(handle: int) -> None:
        if os.fstat(handle).st_ino in {part.stat().st_ino for part in Path("run").glob(f".{target}.*.part")}:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    assert main([*SHAPES, "hydra.run.dir=run"]) == 2
    caught = capsys.readouterr()
    assert "Traceback" not in caught.err
    assert f"{target}: cannot be written: the disk is full. Free some space and continue with resume=" in caught.err
    assert not list(Path("run").glob(".*.part"))


@pytest.mark.pictures
def test_a_picture_that_cannot_be_written_leaves_a_run_to_go_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from archsearch.report.figures import study

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(study, "draw_training", full)
        assert main([*SHAPES, "hydra.run.dir=run"]) == 0
    assert "the picture of the curves cannot be written (OSError: " in capsys.readouterr().err
    assert not Path("run/curves.png").exists()
    assert main(["resume=run"]) == 0
    assert Path("run/curves.png").is_file()


def test_a_study_of_other_images_is_refused_before_the_training(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SHAPES, "study.name=one", "hydra.run.dir=first"]) == 0
    capsys.readouterr()
    assert main([*SHAPES, "study.name=one", "data.shapes.seed=1", "hydra.run.dir=second"]) == 2
    caught = capsys.readouterr()
    assert "study.name: the study 'one' has other images" in caught.err
    assert "epoch 1/1" not in caught.err
    assert not Path("second/design.yaml").exists()
