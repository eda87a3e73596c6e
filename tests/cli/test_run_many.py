"""`run` beside other runs, over many designs, and as a program of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from archsearch.analysis.check import Checked
from archsearch.errors import DeviceMemoryError
from archsearch.run import main
from archsearch.search.storage.database import open_store
from archsearch.search.storage.study import load_study, study_names
from archsearch.settings.experiment import Experiment

TINY = [
    "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "arch.width=0.25",
    "train.epochs=1", "train.batch_size=16", "train.compile=false", "train.device=cpu",
]  # fmt: skip


def test_listed_designs_that_cannot_be_trained_are_reported_and_the_others_are_trained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["-m", *TINY, "block=normal,nromal,inverted", "constraints.receptive_field={above: 48}"]) == 2
    caught = capsys.readouterr()
    assert "complete" in caught.out
    assert "1 of 3 designs cannot be trained:" in caught.err
    assert "  block=nromal  block: unknown option 'nromal'. Did you mean 'normal'?" in caught.err
    assert "Traceback" not in caught.err
    assert len(list(Path("outputs/sweeps").rglob("result.json"))) == 2
    assert not Path("multirun").exists()


def test_a_listed_design_that_breaks_a_limit_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", *TINY, "arch.stages.c4.dilation=1,2", "constraints.contains=[dilated]"]) == 2
    caught = capsys.readouterr()
    assert "1 of 2 designs cannot be trained:\n  arch.stages.c4.dilation=1  " in caught.err
    assert "contains" in caught.err
    assert len(list(Path("outputs/sweeps").rglob("result.json"))) == 1


def test_listed_trainings_that_fail_are_reported_and_the_others_are_done(
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


def test_a_search_that_has_all_it_asked_for_ends_well_and_reports_what_failed(
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


@pytest.mark.parametrize(("most", "code", "reason"), [(8, 0, "complete"), (4, 1, "failed")])
def test_out_of_memory_is_tried_once_at_half_the_batch(
    most: int, code: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archsearch.runs import execute

    def fail(experiment: Experiment, *arguments: Any, **named: Any) -> execute.RunOutcome:
        tried.append(experiment.train.batch_size)
        if experiment.train.batch_size > most:
            raise DeviceMemoryError("not enough for a batch")
        return trained(experiment, *arguments, **named)

    tried: list[int] = []
    trained = execute.execute
    monkeypatch.setattr(execute, "execute", fail)
    assert main(["-m", *TINY, "block=choice(normal)", "study.trials=1", "study.max_failures=1"]) == code
    assert tried == [16, 8]
    store = open_store()
    attrs = load_study(store, study_names(store)[0]).trials()[0].user_attrs
    store.close()
    assert attrs["state_reason"] == reason
    assert ("batch" in attrs, "traceback" in attrs) == (code == 0, code == 1)


def test_a_missing_tracker_is_reported_before_anything_is_recorded(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert main(["-m", *TINY, "block=normal,dilated", "tracking=mlflow"]) == 2
    assert "pip install 'archsearch[tracking]'" in capsys.readouterr().err
    assert not Path("outputs/studies.db").exists()


def test_a_search_that_can_train_nothing_reports_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", *TINY, "arch.stages.c2.kernel=choice(0,-1)"]) == 2
    caught = capsys.readouterr()
    assert "cannot be built: arch.stages.c2, block 'strided'.layers[0].conv.kernel: 'kernel' gives " in caught.out
    assert "nothing was trained: no design of the space is feasible (arch.stages.c2, block 'strided'" in caught.err


def test_a_key_that_no_design_has_is_refused_before_the_first_proposal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", *TINY, "optimizer.lr=choice(0.1,0.2)"]) == 2
    message = "optimizer.lr: unknown key for optimizer. Did you mean 'learning_rate'?\n"
    assert capsys.readouterr().err == message
    assert not Path("outputs").exists()


def test_the_folders_of_trials_have_their_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    for swept in ("block=normal,dilated", "block=choice(normal, dilated)"):
        assert main(["-m", *TINY, swept, "hydra.sweep.subdir=mine"]) == 2
        assert capsys.readouterr().err.startswith("hydra.sweep.subdir: cannot be set: the folder of a trial has its")
    assert not Path("outputs").exists()


def test_the_best_is_run_again_from_its_file() -> None:
    search = ["hydra.sweep.dir='my sweeps, all'", "constraints.receptive_field={above: 60}", "study.trials=1"]
    options = ["arch.stages.c4.dilation=choice(1)", "block=choice(inverted)", "arch.width=fit"]
    assert main(["-m", *TINY, *search, *options]) == 0
    found = yaml.safe_load(Path("my sweeps, all/best.yaml").read_text())
    assert any(one.endswith(("dilation=2", "dilation=3")) for one in found["overrides"]), "repaired"
    assert main(["my sweeps, all/best.yaml"]) == 0
    again = next(Path("outputs/runs").iterdir()) / "design.yaml"
    assert again.read_text() == Path("my sweeps, all/0000/design.yaml").read_text()


def test_what_is_wrong_with_all_of_them_is_reported_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", *TINY, "block=normal,dilated", "arch.stages.c2.blok=1"]) == 2
    assert capsys.readouterr().err.startswith("arch.stages.c2.blok: unknown key for a stage. Did you mean 'block'?")


def test_runs_of_one_second_have_folders_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    from archsearch.runs import single

    folders: list[Path] = []
    monkeypatch.setattr(single, "run_single", lambda experiment, checked, run_dir, *more: folders.append(run_dir))
    for _ in range(2):
        assert main(TINY) == 0
    assert len(set(folders)) == 2


def test_a_users_own_folder_is_enough(tmp_path: Path, write_files: Callable[[Mapping[str, str]], None]) -> None:
    """As from an installed wheel: from a folder of the user's, with blocks, networks and limits of their own."""
    texts = {
        "mine/block/own.yaml": "options: {kernel: 5}\nlayers:\n  - conv: {kernel: kernel}\n  - norm: batch\n",
        "mine/arch/net.yaml": "name: net\nstages: {a: {block: own, width: 8}}\nhead: {classes: '${data.classes}'}\n",
        "mine/constraints/small.yaml": "parameters: {below: 1000}\n",
        "work/here": "",
    }
    write_files(texts)
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


def test_help_starts_neither_torch_nor_optuna(printed_apart: Callable[[str], list[str]]) -> None:
    code = (
        "import sys\nfrom archsearch.run import main\n"
        "codes = [main(['--help']), main(['--cfg', 'job']), main(['block=nromal'])]\n"
        "print(codes, sorted({'torch', 'numpy', 'optuna', 'matplotlib'} & set(sys.modules)))"
    )
    assert printed_apart(code)[-1] == "[0, 0, 2] []"


def program(command: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m archsearch.COMMAND` in the folder `cwd`."""
    words = [sys.executable, "-m", f"archsearch.{command}", *arguments]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
