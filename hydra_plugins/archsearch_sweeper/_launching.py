"""A search through Hydra's launchers (joblib, submitit, ray): each job is one worker of the same study."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from archsearch.errors import ArchsearchError, InterruptedRun, RunError
from archsearch.formatting import printable
from archsearch.masking import mask
from archsearch.process import protect_output
from archsearch.search.faults import Patience
from archsearch.search.loop import POLL, is_done, work
from archsearch.search.progress import ProgressView
from archsearch.search.queue import TrialQueue
from archsearch.search.storage.database import open_store
from archsearch.search.storage.study import Study, load_study
from archsearch.search.sweep import Sweep
from archsearch.search.task import TaskFactory
from hydra_plugins.archsearch_sweeper._stopping import stopping_in_time


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchedWorker:
    """The function that a launcher calls in each of its jobs; it is pickled, so it holds no database address.

    The address is read from the job's own configuration, where `${oc.env:...}` stays unresolved until it is used.
    """

    study: str
    sweep: Sweep
    tasks: TaskFactory
    first: int
    total: int | None

    def __call__(self, config: Any) -> None:
        """Run one worker until the search is done or the budget, counted from the start of this job, is spent."""
        from hydra.core.hydra_config import HydraConfig

        began = time.monotonic()
        protect_output()
        settings = replace(self.sweep.settings, storage=str(config.study.storage))
        patience = Patience(settings.patience, lambda text: print(text, file=sys.stderr))  # noqa: T201
        store = patience.call(lambda: open_store(settings.storage, slim=True))
        try:
            study = patience.call(lambda: load_study(store, self.study))
            until = None if settings.seconds is None else began + settings.seconds
            view = ProgressView(self.total, study.objectives, study.directions, until=until)
            seed = settings.sampler.seed
            if seed is not None:  # each job its own, and other ones when the search is continued
                seed += self.first + HydraConfig.get().job.num
            with stopping_in_time():
                sweep = replace(self.sweep, settings=settings)
                work(study, sweep, self.tasks(), listen=view, seed=seed, first=self.first, until=until)
        finally:
            store.close()


def launch(context: Any, config: Any, overrides: list[str], worker: LaunchedWorker, study: Study) -> None:
    """Start `study.workers` jobs through the launcher that the command line selects, and wait for all of them.

    The trial of a killed job is resumed by the other jobs, or when the same command runs again. Raises what a job
    raised, except that an interrupted job counts as lost; `RunError` if the launcher failed or lost jobs and the other
    jobs do not finish the search; and `InterruptedRun` after Ctrl-C.
    """
    from hydra.core.plugins import Plugins

    settings = replace(worker.sweep.settings, storage="-", warm_start=None)  # no addresses; `earlier` has what was read
    travelling = replace(worker, sweep=replace(worker.sweep, settings=settings))
    launcher = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=travelling, config=config)
    # A worker has no output of its own: the files of a training are in its run directory.
    jobs = [
        [*overrides, "hydra.output_subdir=null", "hydra.job.chdir=false"] for _ in range(worker.sweep.settings.workers)
    ]
    lost: Exception | None = None
    try:
        launched = launcher.launch(jobs, initial_job_idx=0)
    except ArchsearchError:
        raise
    except (KeyboardInterrupt, SystemExit):
        text = "stopped waiting for the jobs: the cluster goes on with them, and the same command joins them"
        raise InterruptedRun(text) from None
    except Exception as error:  # noqa: BLE001  (every launcher has errors of its own)
        lost, launched = error, ()
    finally:
        _remove_empty(Path(str(config.hydra.sweep.dir)), len(jobs))
    for returned in launched:
        try:
            _ = returned.return_value  # raises if the job did
        except InterruptedRun as error:
            lost = error
    if lost is None:
        return
    text = f"hydra/launcher: the jobs failed: {_in_short(lost)}"
    if not _others_finish(study, worker.sweep):
        raise RunError(text) from lost
    print(printable(mask(f"{text}\nOther jobs trained the remaining designs.")), file=sys.stderr)  # noqa: T201


def _remove_empty(folder: Path, jobs: int) -> None:
    """Remove the empty folders that the launcher created for its jobs."""
    for one in (*(folder / str(job) for job in range(jobs)), folder):
        with contextlib.suppress(OSError):  # missing, or not empty
            one.rmdir()


def _others_finish(study: Study, sweep: Sweep) -> bool:
    """Wait while other jobs train, and return whether the sweep is done."""
    queue, seen = TrialQueue(study, sweep, ""), None
    while not is_done(snapshot := queue.snapshot(), sweep):
        if any(not queue.is_dead(trial) for trial in snapshot.running):
            seen = time.monotonic()
        elif seen is None or time.monotonic() - seen > sweep.settings.grace:
            return False
        time.sleep(POLL)
    return True


def _in_short(error: Exception) -> str:
    """Return a launcher's error without the log that submitit appends: its head, and the last error of a traceback."""
    text = str(error)
    lines = [line for line in text.splitlines() if line.strip("- ")]
    head = list(takewhile(lambda line: not line.startswith(("Traceback", "Error stream", "No error stream")), lines))
    raised = re.findall(r"^[\w.]+(?:Error|Exception): .+$", text, re.MULTILINE)
    return "\n".join([f"{type(error).__name__}: {head[0] if head else ''}", *head[1:], *raised[-1:]])
