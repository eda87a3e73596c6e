"""The parts of the GPU's benchmark in order: each on disk as it ends; what does not fit is skipped, and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

Trained = list[dict[str, str]]


@pytest.fixture
def gpu(benchmark: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = benchmark("gpu_all")

    def train_all(trainings: Sequence[Any], **more: Any) -> list[dict[str, Any]]:
        return [training.run() for training in trainings]

    monkeypatch.setattr(module, "train_all", train_all)
    return module


def tiny(gpu: ModuleType, images: Path, *more: str) -> tuple[int, str, dict[str, Any]]:
    code = gpu.main(["--root", str(images), "--tiny", *more])
    return code, Path("outputs/gpu_all/gpu_all.md").read_text(), json.loads(
        Path("outputs/gpu_all/gpu_all.json").read_text()
    )  # fmt: skip


def test_all_parts_are_in_both_files(
    gpu: ModuleType, trained: Trained, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gpu.PARTS, "workers", lambda session: session.say("workers", "| 1 | 20 |"))
    monkeypatch.setitem(gpu.PARTS, "tests", lambda session: session.say("tests", "Exit code 5"))
    code, text, found = tiny(gpu, images)
    assert code == 0
    order = [text.index(f"\n## {part}\n") for part in ("speed", "long", "ladder", "workers", "tests")]
    assert order == sorted(order)
    assert found["speed"] == {"1": 100.0, "2": 200.0}
    assert [(one["arch"], one["recipe"]) for one in found["trainings"].values()] == (
        [("tiniest", "author's"), ("found", "author's"), ("brisk", "brisk")]
    )
    assert "sharpness, saturation and hue, and mixup" in text
    assert "| tiniest | 2 | 1 | 75.00 | 75.00 | 1000 | 2.5 |" in text
    assert "- 90 %: no training reached it." in text
    long = [one for one in trained if one["train.epochs"] == "2"]
    assert [one["arch"] for one in long] == ["tiniest", "found"]
    assert all(one["optimizer"] == "adamw" and one["train.ema"] == "0.999" for one in long)
    _, again, _ = tiny(gpu, images, "--only", "tests")
    assert again.partition("\n## ")[2] == text.partition("\n## ")[2], "what is left out stays"


def test_what_fails_or_does_not_fit_stops_nothing_else(
    gpu: ModuleType, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(session: Any) -> None:
        raise gpu.TrainingError("out of luck")

    def end(session: Any) -> None:
        session.say("ladder", "- 90 %: 7.0 s")
        session.deadline = 0.0

    monkeypatch.setitem(gpu.PARTS, "speed", fail)
    monkeypatch.setitem(gpu.PARTS, "ladder", end)
    code, text, _ = tiny(gpu, images, "--only", "workers", "speed", "ladder")
    assert code == 1
    assert "## speed\n\n**Failed**:\n\n```\nout of luck\n```\n" in text
    assert "## ladder\n\n- 90 %: 7.0 s\n" in text
    assert " s were left, and it takes at least 0 s." in text.partition("## workers\n")[2]


def test_as_many_seeds_are_trained_as_fit(gpu: ModuleType, trained: Trained, images: Path) -> None:
    session = gpu.Session(
        sizes=gpu.FULL, root=images, out=Path("out"), design="brisk", deadline=gpu.time.monotonic() + 540,
        parts=list(gpu.PARTS), found={"speed": {"1": 60_000.0, "4": 100_000.0}},
    )  # fmt: skip
    gpu.long(session)
    # 200 epochs at 100 000 images/s are 110 s with what is spare; 540 s less 100 for later parts and 25 to start.
    assert [(one["arch"], one["seed"]) for one in trained] == [("tiniest", "0"), ("brisk", "0"), ("tiniest", "1")]
    assert "4 at once, 3 of 6 trainings." in "\n".join(session.sections["long"])
    session.found = {"speed": {"1": 60_000.0, "4": 60_000.0}}
    session.deadline = gpu.time.monotonic() + 150
    gpu.long(session)
    assert len(trained) == 3
    assert "Skipped: 200 epochs take about 183 s, and 150 s were left." in session.sections["long"]


def test_the_least_time_to_a_target(gpu: ModuleType) -> None:
    found = [
        {"arch": arch, "epochs": 10, "seconds": seconds, "accuracy": {"test": test, "test_flip": test}}
        for arch, seconds, test in (("a", 9.0, 0.92), ("b", 4.0, 0.91), ("c", 1.0, 0.89))
    ]
    assert gpu.fastest(found, 0.9) == "4.0 s: `b`, 91.00 % (91.00 with mirrored images), 10 epochs in 4.0 s, n=1."
    assert gpu.fastest(found, 0.94) == "no training reached it."


def test_two_halves_are_one_folder(gpu: ModuleType, images: Path, tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / "half" / split).mkdir(parents=True)
        shutil.move(images / split / "dog", tmp_path / "half" / split / "dog")
    for _ in range(2):
        with gpu.images(None, [images, tmp_path / "half"], tmp_path / "out") as root:
            assert [one.name for one in sorted((root / "train").iterdir())] == ["cat", "dog"]
            assert len(list(root.glob("*/*/*.png"))) == 32
    shutil.copytree(images / "train" / "cat", tmp_path / "half" / "train" / "cat")
    with pytest.raises(SystemExit, match="the class cat is in both folders"):
        gpu.images(None, [images, tmp_path / "half"], tmp_path / "out").__enter__()


def test_without_images_or_a_gpu_it_is_skipped(
    gpu: ModuleType, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gpu, "has_gpu", lambda: False)
    assert gpu.main(["--root", str(images)]) == 0
    assert capsys.readouterr().out == "skipped: torch sees no CUDA device\n"
    monkeypatch.delenv("ARCHSEARCH_CIFAR10", raising=False)
    assert gpu.main([]) == 0
    assert capsys.readouterr().out.startswith("skipped: no images; give --root DIR")


@pytest.mark.slow
def test_the_whole_of_it_with_tiny_numbers(benchmark: Callable[[str], ModuleType], images: Path) -> None:
    code, text, found = tiny(benchmark("gpu_all"), images)
    assert code == 0
    assert list(found["trainings"]) == ["long-tiniest-0", "long-found-0", "ladder-brisk-1"]
    assert found["workers"].keys() == {"1"}
    assert found["tests"]["exit_code"] == 5, "no test has the name that the tiny form asks for"
    assert "**Failed**" not in text
