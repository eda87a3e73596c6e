"""Worker processes on this machine: started, watched, restarted if one dies, and stopped together."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from archsearch.errors import ArchsearchError, InterruptedRun, RunError
from archsearch.process import protect_output
from archsearch.search.faults import Patience, fault_of
from archsearch.search.heartbeat import stop_with_parent
from archsearch.search.loop import work
from archsearch.search.progress import Event, Listener
from archsearch.search.storage.database import open_store
from archsearch.search.storage.optuna_internals import id_of
from archsearch.search.storage.study import Study, load_study
from archsearch.search.storage.write import finish_row
from archsearch.search.sweep import Sweep
from archsearch.search.task import TaskFactory
from archsearch.signals import STOP_SIGNALS, StopRequest, blocked, raise_interrupt, repeat_swallowed_interrupts, unblock

MOST_DEATHS = 5  # deaths of workers at the same epoch of a trial, after which it fails
_THREADS = "OMP_NUM_THREADS"  # read by torch and by the kernels
STOPPING = 120.0  # seconds that workers have to write their checkpoints


@dataclass(slots=True)
class _Worker:
    index: int
    process: BaseProcess
    messages: Connection
    trial: int | None = None
    over: bool = False  # it has reported its end
    silent: bool = False  # it sends nothing more
    error: BaseException | None = None


def run_workers(
    study: Study,
    sweep: Sweep,
    factory: TaskFactory,
    *,
    listen: Listener,
    seed: int | None = None,
    devices: Sequence[str] = (),
    first: int = 0,
    until: float | None = None,
) -> None:
    """Search with `study.workers` processes until the sweep is done; they share the cores, and take `devices` in turn.

    Each ends at `until`, see `work`: `time.monotonic` is the same clock in all processes of a machine.
    Raises the error that a worker ended with, `InterruptedRun` after Ctrl-C (the workers have `STOPPING` seconds to
    write their checkpoints), and `RunError` if workers died repeatedly.
    """
    context = multiprocessing.get_context("spawn")
    resource_tracker.ensure_running()  # now: its start unblocks signals, which `blocked` must hold back
    url = study.store.address.url

    def start(index: int) -> _Worker:
        ours, theirs = context.Pipe(duplex=False)
        device = devices[index % len(devices)] if devices else None
        own = None if seed is None else seed + index
        arguments = (theirs, os.getpid(), url, study.name, sweep, factory, own, device, first, until)
        process = context.Process(target=_main, args=arguments, name=f"worker-{index}")
        with _shared_cores(sweep.settings.workers), blocked():
            process.start()
        theirs.close()
        return _Worker(index, process, ours)

    workers: list[_Worker] = []
    restarts = 0
    with StopRequest() as stop:
        try:
            workers.extend(start(index) for index in range(sweep.settings.workers))
            while any(worker.process.is_alive() or not worker.over for worker in workers):
                stop.check()
                _receive(workers, listen)
                for place, worker in enumerate(workers):
                    if worker.process.is_alive() or worker.over or not worker.silent:
                        continue
                    worker.over = True
                    code = worker.process.exitcode
                    listen(Event(kind="note", text=f"worker {worker.index} died ({_end_of(code)})"))
                    try:
                        _count_death(study, worker)
                    except Exception as error:
                        if fault_of(error) is None:
                            raise
                    restarts += 1
                    if restarts > MOST_DEATHS * len(workers):
                        raise RunError(f"workers died repeatedly, the last one by {_end_of(code)}")
                    workers[place] = start(worker.index)
        except KeyboardInterrupt:
            listen(
                Event(kind="note", text="stopping: every worker writes a checkpoint; press Ctrl-C again to end at once")
            )
            _stop(workers, listen)
            raise InterruptedRun("the search was stopped; repeat the command to resume it") from None
        finally:
            _kill(workers)
    study.store.require_present()
    for worker in workers:
        if worker.error is not None:
            raise worker.error


@contextlib.contextmanager
def _shared_cores(workers: int) -> Iterator[None]:
    """Limit the threads of each process started in the block to its share of the cores, unless OMP_NUM_THREADS is set.

    Otherwise every worker would start a thread per core, and more threads than cores in total are slower.
    """
    if _THREADS in os.environ:
        yield
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ[_THREADS] = str(max(1, cores // workers))
    try:
        yield
    finally:
        del os.environ[_THREADS]


def _receive(workers: Sequence[_Worker], listen: Listener) -> None:
    """Forward the messages of the workers to `listen`, or wait a moment."""
    open_ones = {worker.messages: worker for worker in workers if not worker.silent}
    if not open_ones:
        time.sleep(0.05)  # they are ending
    for connection in wait(list(open_ones), timeout=0.5):
        worker = open_ones[connection]  # type: ignore[index]
        try:
            message = worker.messages.recv()
        except (EOFError, OSError):
            worker.silent = True
            continue
        match message:
            case Event():
                if message.kind in ("claimed", "ended"):
                    worker.trial = message.number if message.kind == "claimed" else None
                listen(replace(message, worker=worker.index))
            case ("end", error):
                worker.over, worker.error = True, error


def _count_death(study: Study, worker: _Worker) -> None:
    """Record that a trial's worker died; the trial fails after `MOST_DEATHS` deaths in a row at the same epoch."""
    if worker.trial is None:
        return
    with study.store.lock():  # before that, another worker may have resumed and finished it
        trial = study.raw.get_trials(deepcopy=False)[worker.trial]
        if trial.state.is_finished():
            return
        epoch = max(trial.intermediate_values, default=0)
        earlier = trial.user_attrs.get("deaths")
        deaths = earlier["times"] + 1 if isinstance(earlier, dict) and earlier["epoch"] == epoch else 1
        study.store.storage.set_trial_user_attr(id_of(trial), "deaths", {"epoch": epoch, "times": deaths})
        if deaths >= MOST_DEATHS:
            cause = f"its worker died {deaths} times after epoch {epoch} ({_end_of(worker.process.exitcode)})"
            finish_row(study.store, id_of(trial), "fail", {"cause": cause, "state_reason": "failed"})


def _stop(workers: Sequence[_Worker], listen: Listener) -> None:
    for worker in workers:
        if worker.process.is_alive():
            worker.process.terminate()  # SIGTERM: a training saves and stops
    until = time.monotonic() + STOPPING
    with contextlib.suppress(KeyboardInterrupt):
        while any(worker.process.is_alive() for worker in workers) and time.monotonic() < until:
            _receive(workers, listen)


def _kill(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        if worker.process.is_alive() and not worker.over:
            worker.process.kill()
        worker.process.join(5)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.messages.close()


def _end_of(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _main(
    messages: Connection,
    parent: int,
    url: str,
    name: str,
    sweep: Sweep,
    factory: TaskFactory,
    seed: int | None,
    device: str | None,
    first: int,
    until: float | None,
) -> None:
    """Run one worker; Ctrl-C is left to the parent, whose SIGTERM is blocked until `unblock` in the `try`."""
    protect_output()
    for number in STOP_SIGNALS:
        signal.signal(number, raise_interrupt if number == signal.SIGTERM else signal.SIG_IGN)
    repeat_swallowed_interrupts()
    stop_with_parent(parent)

    def send(message: Any) -> None:
        with contextlib.suppress(OSError):  # the parent has ended; `stop_with_parent` ends this process
            messages.send(message)

    error: BaseException | None = None
    try:
        with StopRequest() as stop:
            patience = Patience(sweep.settings.patience, lambda text: send(Event(kind="note", text=text)))
            unblock()
            with stop.at_once():
                store = patience.call(lambda: open_store(url, slim=True, create=False))
            try:
                with stop.at_once():
                    study, task = patience.call(lambda: load_study(store, name)), patience.call(factory)
                work(study, sweep, task, listen=send, seed=seed, device=device, first=first, until=until)
            finally:
                store.close()
    except (InterruptedRun, KeyboardInterrupt):
        error = InterruptedRun("the search was stopped")
    except ArchsearchError as raised:
        error = raised
    except Exception as raised:  # noqa: BLE001  (it is raised again, in the parent)
        import traceback

        error = RunError("a worker failed:\n" + traceback.format_exc())
        del raised
    send(("end", error))
    sys.exit(0 if error is None else 1)
