"""`run` beside other runs, over many designs, and as a program of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from archsearch.analysis.check import Checked
from archsearch.run import main
from archsearch.settings.experiment import Experiment

TINY = [
    "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "arch.width=0.25",
    "train.epochs=1", "train.batch_size=16", "train.compile=false", "train.device=cpu",
]  # fmt: skip


def test_listed_designs_that_cannot_be_trained_are_told_and_the_others_are_trained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["-m", *TINY, "block=normal,nromal,inverted", "constraints.receptive_field={above: 48}"]) == 2
    caught = capsys.readouterr()
    assert "complete" in caught.out
    assert "1 of 3 designs cannot be trained:" in caught.err
    assert "  block=nromal  block: there is no 'nromal'. Did you mean 'normal'?" in caught.err
    assert "Traceback" not in caught.err
    assert len(list(Path("outputs/sweeps").rglob("result.json"))) == 2
    assert not Path("multirun").exists()


def test_a_listed_design_that_breaks_a_limit_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", *TINY, "arch.stages.c4.dilation=1,2", "constraints.contains=[dilated]"]) == 2
    caught = capsys.readouterr()
    assert "1 of 2 designs cannot be trained:\n  arch.stages.c4.dilation=1  " in caught.err
    assert "contains" in caught.err
    assert len(list(Path("outputs/sweeps").rglob("result.json"))) == 1


def test_listed_trainings_that_fail_are_told_and_the_others_are_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from archsearch.runs import execute

    def fail(experiment: Experiment, *arguments: Any, **named: Any) -> execute.RunOutcome:
        if experiment.seed == 2:
            raise ValueError("no luck")
        return trained(experiment, *arguments, **named)

    trained = execute.execute
    monkeypatch.setattr(execute, "execute", fail)
    assert main(["-m", *TINY, "seed=1,2"]) == 1
    caught = capsys.readouterr()
    assert "1 complete, 1 failed" in caught.out
    assert "1 of 2 trainings failed:\n  seed=2  ValueError: no luck\n" in caught.err
    assert "Traceback" not in caught.err
    assert main(["-m", *TINY, "seed=1,2"]) == 1
    assert "study.retry_failed=true" in capsys.readouterr().err
    monkeypatch.setattr(execute, "execute", trained)
    assert main(["-m", *TINY, "seed=1,2", "study.retry_failed=true"]) == 0


def test_a_search_that_has_all_it_asked_for_ends_well_and_says_what_failed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from archsearch.runs import execute

    def fail(experiment: Experiment, checked: Checked, run_dir: Path, **named: Any) -> execute.RunOutcome:
        if run_dir.name == "0000":
            raise ValueError("no luck")
        return trained(experiment, checked, run_dir, **named)

    trained = execute.execute
    monkeypatch.setattr(execute, "execute", fail)
    search = ["-m", *TINY, "seed=choice(1,2,3)", "sampler=random", "study.trials=1"]
    assert main(search) == 0
    assert "failed: trial 0: ValueError: no luck" in capsys.readouterr().out
    monkeypatch.setattr(execute, "execute", lambda *arguments, **named: 1 / 0)
    assert main([*search[:-1], "study.trials=2", "study.max_failures=1"]) == 1
    caught = capsys.readouterr()
    assert "1 complete" in caught.out
    assert "ZeroDivisionError" in caught.err


def test_what_is_wrong_with_all_of_them_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", *TINY, "block=normal,dilated", "arch.stages.c2.blok=1"]) == 2
    assert capsys.readouterr().err.startswith("arch.stages.c2.blok: unknown key for a stage. Did you mean 'block'?")


def test_a_password_of_many_runs_is_neither_printed_nor_stored(capsys: pytest.CaptureFixture[str]) -> None:
    given = "study.storage='postgresql://me:hunter22@localhost:1/db'"
    assert main(["-m", *TINY, "block=normal,dilated", given]) == 2
    caught = capsys.readouterr()
    assert "hunter22" not in caught.out + caught.err
    assert "localhost:1" in caught.err
    for file in Path().rglob("*"):
        assert file.is_dir() or b"hunter22" not in file.read_bytes(), file
    assert "ARCHSEARCH_PASSWORD" not in os.environ


def test_runs_of_one_second_have_folders_of_their_own() -> None:
    for _ in range(2):
        assert main(["arch=resnet20"]) == 2
    folders = sorted(Path("outputs/runs").iterdir())
    assert len(folders) == 2
    assert all((folder / ".hydra" / "overrides.yaml").is_file() for folder in folders)


def test_a_users_own_folder_is_enough(tmp_path: Path) -> None:
    """As from an installed wheel: from a folder of the user's, with blocks, networks and limits of their own."""
    for name, text in {
        "mine/block/own.yaml": "defaults_of: {kernel: 5}\nlayers:\n  - conv: {kernel: kernel}\n  - norm: batch\n",
        "mine/arch/net.yaml": "name: net\nstages: {a: {block: own, width: 8}}\nhead: {classes: '${data.classes}'}\n",
        "mine/constraints/small.yaml": "parameters: {below: 1000}\n",
        "work/here": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    chosen = ["--config-dir", "../mine", "arch=net", "constraints=small"]
    shown = program("show", *chosen, "--json", cwd=tmp_path / "work")
    assert shown.returncode == 0, shown.stderr
    record = json.loads(shown.stdout)
    assert (record["receptive_field"], record["parameters"]) == (5, 3 * 8 * 25 + 16 + 90)
    settings = [one for one in TINY if not one.startswith("arch.")]
    done = program("run", *settings, *chosen, "arch.stages.a.kernel=3", "hydra.run.dir=done", cwd=tmp_path / "work")
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "work" / "done" / "result.json").read_text())
    assert (result["receptive_field"], result["parameters"]) == (3, 3 * 8 * 9 + 16 + 90)
    assert sorted(file.name for file in (tmp_path / "work").iterdir()) == ["done", "here", "outputs"]


def test_help_starts_neither_torch_nor_optuna() -> None:
    code = (
        "import sys\nfrom archsearch.run import main\n"
        "codes = [main(['--help']), main(['--cfg', 'job']), main(['block=nromal'])]\n"
        "print(codes, sorted({'torch', 'numpy', 'optuna', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[0, 0, 2] []"


def program(command: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m archsearch.COMMAND` in the folder `cwd`."""
    words = [sys.executable, "-m", f"archsearch.{command}", *arguments]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
