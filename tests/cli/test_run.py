"""`run`: exit codes, messages, files; the trainings are tiny."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from archsearch.run import main

TINY = [
    "data=shapes",
    "data.shapes.train_images=60",
    "data.shapes.test_images=20",
    "arch.width=0.25",
    "train.epochs=1",
    "train.batch_size=16",
    "train.compile=false",
    "train.device=cpu",
]


def the_run() -> Path:
    (run_dir,) = Path("outputs/runs").iterdir()
    return run_dir


@pytest.mark.pictures
def test_one_command_trains_and_records(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TINY, "block=dilated"]) == 0
    caught = capsys.readouterr()
    assert "keeps all 6 limits" in caught.err
    assert "test accuracy" in caught.out
    run_dir = the_run()
    for name in (
        "result.json",
        "design.yaml",
        "metrics.jsonl",
        "model.safetensors",
        "curves.png",
        ".hydra/config.yaml",
    ):
        assert (run_dir / name).is_file(), name
    assert (Path("outputs") / "studies.db").is_file()
    assert not Path("multirun").exists()
    first = json.loads((run_dir / "result.json").read_text())
    assert main([*TINY, f"arch={run_dir / 'design.yaml'}", "arch.width=0.25", "hydra.run.dir=again"]) == 0
    assert json.loads(Path("again/result.json").read_text())["design_id"] == first["design_id"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["arch=resnet20", "arch.width=1.0"], "arch 'resnet20' breaks 3 of 6 limits"),
        (["block=nromal"], "block: unknown option 'nromal'. Did you mean 'normal'?"),
        (["train.epochs='3'"], "train.epochs: must be an integer, got the string '3'. Write it without quotes."),
        (["arch.stages.c2.blok=x"], "arch.stages.c2.blok: unknown key for a stage. Did you mean 'block'?"),
        (["sed=1"], "sed: unknown key. Did you mean 'seed'?"),
        (["data=folder"], "data.root"),
        (["data=folder", "data.root=nowhere"], "nowhere"),
        (["arch=missing.yaml"], "no such file"),
        (["resume=nowhere"], "resume: 'nowhere' is not a run folder"),
        (["train.device=tpu"], "train.device"),
    ],
)
def test_what_cannot_be_used_ends_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([*TINY, *arguments]) == 2
    caught = capsys.readouterr()
    assert message in caught.err
    assert "Traceback" not in caught.err


BROKEN_ARCHS = {
    "a kernel larger than its padded input": (
        "stages: {c1: {block: {layers: [{conv: {kernel: 40, padding: valid}}]}, width: 8}}", "kernel",
    ),
    "groups that do not divide": (
        "stages: {c1: {block: {layers: [{conv: {groups: 2}}]}, width: 8}}", "groups",
    ),
    "a stage that shrinks the image to nothing": (
        "stages: {c1: {block: {layers: [{pool: {kind: max, kernel: 33, padding: valid}}]}, width: 8}}", "stages.c1.0",
    ),
    "branches that differ": (
        "stages: {c1: {block: {layers: [{parallel: {combine: add, branches: [[{conv: {out: 4}}], []]}}]}, width: 8}}",
        "stages.c1.0.parallel",
    ),
    "an unknown parameter": (
        "stages: {c1: {block: {layers: [{conv: {out: in * wide}}]}, width: 8}}", "unknown parameter 'wide'",
    ),
    "a call": (
        "stages: {c1: {block: {layers: [{conv: {out: exit(3)}}]}, width: 8}}", "unknown function 'exit'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_ARCHS)
def test_designs_that_are_no_network_end_with_2(capsys: pytest.CaptureFixture[str], tmp_path: Path, case: str) -> None:
    text, message = BROKEN_ARCHS[case]
    (tmp_path / "bad.yaml").write_text(f"name: bad\n{text}\nhead: {{classes: 10}}\n")
    assert main([*TINY, "arch=bad.yaml", "arch.width=1.0", "constraints=none"]) == 2
    caught = capsys.readouterr()
    assert message in caught.err
    assert "Traceback" not in caught.err
    assert not list(Path("outputs").rglob("result.json"))


def test_a_broken_limit_touches_neither_torch_nor_data(printed_apart: Callable[[str], list[str]]) -> None:
    code = (
        "import sys\nfrom archsearch.run import main\n"
        "code = main(['arch=resnet20'])\n"
        "print(code, sorted({'torch', 'numpy', 'albumentations'} & set(sys.modules)))"
    )
    assert printed_apart(code)[-1] == "2 []"


def test_help_and_the_composed_job_are_printed() -> None:
    for flag, message in ((["--help"], "Groups (choose one of each"), (["--cfg", "job"], "constraints:")):
        done = subprocess.run(
            [sys.executable, "-m", "archsearch.run", *flag], capture_output=True, text=True, check=True
        )
        assert message in done.stdout


def test_a_stopped_run_goes_on_where_it_stood() -> None:
    quick = ["arch=quick", "constraints=none", "train.kernels=torch", "train.eval_every=150"]
    settings = [*quick, "train.epochs=150", "train.checkpoint_every=1000", "hydra.run.dir=stopped"]
    command = [sys.executable, "-m", "archsearch.run", *TINY, *settings]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    metrics = Path("stopped/metrics.jsonl")
    until = time.monotonic() + 300
    while time.monotonic() < until and not (metrics.is_file() and metrics.read_text().count("\n") >= 2):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=180)
    assert process.returncode == 130, message
    assert "Traceback" not in message
    assert Path("stopped/checkpoint.pt").is_file()
    assert len(metrics.read_text().splitlines()) < 150
    assert main(["resume=stopped"]) == 0
    epochs = [json.loads(line)["epoch"] for line in metrics.read_text().splitlines()]
    assert epochs == list(range(1, 151))
    assert Path("stopped/result.json").is_file()
    assert not Path("stopped/checkpoint.pt").exists()
