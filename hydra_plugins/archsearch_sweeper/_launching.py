"""A search through Hydra's launchers (joblib, submitit, ray): every job they start is one worker of the same study."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from archsearch.errors import ArchsearchError, RunError
from archsearch.search.engine import work
from archsearch.search.job import TaskFactory
from archsearch.search.store import open_store
from archsearch.search.studies import load_study
from archsearch.search.sweep import Sweep
from archsearch.search.view import View


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchedWorker:
    """What a launcher calls in each of its jobs; travels as a pickle, so it holds no database address.

    The address is read from the job's own configuration, where `${oc.env:...}` stays unresolved until it is used.
    """

    study: str
    sweep: Sweep
    tasks: TaskFactory
    first: int
    total: int

    def __call__(self, config: Any) -> None:
        """Be one worker until the search is done."""
        store = open_store(str(config.study.storage), lean=True)
        try:
            study = load_study(store, self.study)
            settings = replace(self.sweep.settings, storage=str(config.study.storage))
            view = View(self.total, study.objectives, study.directions)
            work(study, replace(self.sweep, settings=settings), self.tasks(), listen=view, first=self.first)
        finally:
            store.close()


def launch(context: Any, config: Any, overrides: list[str], worker: LaunchedWorker) -> None:
    """Start `study.workers` jobs through the launcher that the command line chose, and wait for all of them.

    Raises what a job raised, and `RunError` where the launcher itself failed. A job that was killed leaves its trial
    to the others, or to the same command run again.
    """
    from hydra.core.plugins import Plugins

    travelling = replace(worker, sweep=replace(worker.sweep, settings=replace(worker.sweep.settings, storage="-")))
    launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=travelling, config=config)
    # A worker has no output of its own: what it trains lies in the folders of the trials.
    jobs = [[*overrides, "hydra.output_subdir=null"] for _ in range(worker.sweep.settings.workers)]
    try:
        launched = launcher.launch(jobs, initial_job_idx=0)
    except ArchsearchError:
        raise
    except Exception as error:
        raise RunError(f"hydra/launcher: the jobs could not be carried out: {type(error).__name__}: {error}") from error
    finally:
        _remove_empty(Path(str(config.hydra.sweep.dir)), len(jobs))
    for returned in launched:
        _ = returned.return_value  # raises where the job did


def _remove_empty(folder: Path, jobs: int) -> None:
    """Take away the folders that the launcher has made for its jobs and where nothing lies."""
    for one in (*(folder / str(job) for job in range(jobs)), folder):
        with contextlib.suppress(OSError):  # not there, or not empty
            one.rmdir()
