"""Every launcher of Hydra that is installed carries a small search out with two workers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from archsearch.search.heartbeat import worker_name
from archsearch.search.space import Choice, Space
from archsearch.search.storage.database import open_store
from archsearch.search.storage.study import Study, load_study, open_study, study_names
from archsearch.search.storage.write import Row, finish_row
from archsearch.search.sweep import Sweep
from archsearch.settings.study import SamplerSettings, StudySettings
from hydra_plugins.archsearch_sweeper import _launching

TINY = [
    "data=shapes", "data.shapes.train_images=60", "data.shapes.test_images=20", "arch.width=0.25",
    "train.epochs=1", "train.batch_size=20", "train.compile=false", "train.threads=1", "train.device=cpu",
]  # fmt: skip


def launched(launcher: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    plugin = f"hydra_plugins.hydra_{launcher.partition('_')[0]}_launcher"
    if find_spec(plugin) is None:
        extra = "ray" if launcher == "ray" else "launchers"
        pytest.skip(f"hydra/launcher={launcher}: pip install 'archsearch[{extra}]' to run it")
    command = [sys.executable, "-m", "archsearch.run", "-m", f"hydra/launcher={launcher}", "study.workers=2"]
    return subprocess.run(
        [*command, *TINY, *arguments], capture_output=True, text=True, check=False, timeout=500, env=dict(os.environ)
    )


def reasons() -> Counter[str]:
    store = open_store()
    trials = load_study(store, study_names(store)[0]).trials()
    store.close()
    return Counter(trial.user_attrs.get("state_reason", trial.state.name) for trial in trials)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "ray"])
def test_two_jobs_share_a_search(launcher: str) -> None:
    found = launched(launcher, "block=choice(normal,dilated)", "constraints=none", "study.trials=2")
    assert found.returncode == 0, found.stderr
    assert "2 complete" in found.stdout
    assert reasons() == {"complete": 2}
    folders = [one for one in Path("outputs/sweeps").rglob("*") if one.is_dir()]
    assert [one for one in folders if not any(one.iterdir())] == [], "nothing empty is left"


def test_only_empty_folders_of_jobs_are_taken_away() -> None:
    for name in ("0/log", "1", "2/.submitit"):
        Path("sweep", name).mkdir(parents=True)
    _launching._remove_empty(Path("sweep"), 2)
    assert sorted(one.name for one in Path("sweep").iterdir()) == ["0", "2"]
    Path("empty/0").mkdir(parents=True)
    _launching._remove_empty(Path("empty"), 3)
    assert not Path("empty").exists()


SWEEP = Sweep(
    space=Space(parameters={"a": Choice(options=(1, 2))}),
    fixed={},
    folder=Path("outputs/sweep"),
    settings=StudySettings(trials=1, heartbeat=0.1, grace=1.0),
)


@pytest.fixture
def others() -> Iterator[Study]:
    """Give a study of one trial, which this very process has: another job, as far as a launcher can tell."""
    store = open_store()
    study = open_study(
        store, "s", data="shapes", fingerprint="f", limits="none", limits_text={}, objectives=("accuracy",)
    )
    attrs = {"sweep": SWEEP.name, "key": "k", "worker": worker_name(), "run_dir": "outputs/x", "assignments": {"a": 1}}
    study.write([Row(state="running", params={"a": 1}, attrs=attrs)], SWEEP.declarations)
    yield study
    store.close()


@pytest.mark.parametrize(("given", "used"), [(7, 7 + 5 + 3), (None, None)])
def test_each_job_has_a_seed_of_its_own(
    others: Study, monkeypatch: pytest.MonkeyPatch, given: int | None, used: int | None
) -> None:
    heard: list[Mapping[str, object]] = []
    monkeypatch.setattr(_launching, "work", lambda *of, **given: heard.append(given))
    monkeypatch.setattr("hydra.core.hydra_config.HydraConfig.get", lambda: SimpleNamespace(job=SimpleNamespace(num=3)))
    settings = replace(SWEEP.settings, sampler=SamplerSettings(seed=given))
    sweep = replace(SWEEP, settings=settings)
    tasks: Any = object
    worker = _launching.LaunchedWorker(study=others.name, sweep=sweep, tasks=tasks, first=5, total=1)
    worker(SimpleNamespace(study=SimpleNamespace(storage=SWEEP.settings.storage)))
    assert [one["seed"] for one in heard] == [used]


def test_a_lost_job_does_not_end_a_search_that_others_finish(others: Study) -> None:
    done = threading.Event()
    trial = others.trials()[0]

    def train() -> None:
        store = open_store()
        for beat in range(10):
            store.storage.set_trial_user_attr(trial._trial_id, "heartbeat", beat)
            time.sleep(0.1)
        finish_row(store, trial._trial_id, "complete", {"state_reason": "complete"}, (0.5,))
        store.close()
        done.set()

    training = threading.Thread(target=train)
    training.start()
    found = _launching._others_finish(others, SWEEP)
    assert done.is_set(), "it was waited for"
    training.join()
    assert found


def test_a_search_that_nobody_works_on_is_not_waited_for(others: Study) -> None:
    trial = others.trials()[0]
    others.store.storage.set_trial_user_attr(trial._trial_id, "worker", worker_name().rpartition(":")[0] + ":0")
    assert not _launching._others_finish(others, SWEEP)


def test_one_that_is_left_while_it_is_waited_for_is_given_up_after_the_grace(others: Study) -> None:
    trial = others.trials()[0]
    elsewhere = "another-host:abcdef:1:1"  # only its heartbeats show whether it lives, and they do not change
    others.store.storage.set_trial_user_attr(trial._trial_id, "worker", elsewhere)
    assert not _launching._others_finish(others, SWEEP)


def test_a_cluster_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))  # a machine that has SLURM's programs lacks them so
    found = launched("submitit_slurm", "block=normal,dilated", "constraints=none", "hydra.launcher.partition=gpu")
    assert found.returncode == 1
    last = found.stderr.splitlines()[-1]
    assert last.startswith("hydra/launcher: the jobs failed: RuntimeError: Could not detect")
    assert "Traceback" not in found.stderr
    assert reasons() == {"WAITING": 2}
