"""Run a search from a multirun's command line: compose once, open the study, start the workers."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.cli.compose import Composer
from archsearch.cli.modes import require_search
from archsearch.config_files import ConfigSources
from archsearch.errors import RunError, SpecError, UsageError
from archsearch.formatting import folder_name, number, pluralize, printable
from archsearch.overrides import assign, group_of, key_of, run_command
from archsearch.runs.log import FOLDER, JobLogging
from archsearch.search.faults import Patience
from archsearch.search.loop import SearchStopped, enqueue, is_done, work
from archsearch.search.progress import ProgressView
from archsearch.search.queue import INFEASIBLE, StudySnapshot, take_snapshot
from archsearch.search.samplers.observations import Observation
from archsearch.search.space import Params, Space
from archsearch.search.storage.database import open_store
from archsearch.search.storage.study import Study, open_study
from archsearch.search.summary import best_so_far, summarize, summary_text, unbuildable, write_best
from archsearch.search.sweep import EPOCHS, Sweep, require_grid
from archsearch.search.task import hash_of
from archsearch.search.workers import run_workers
from archsearch.settings.experiment import Experiment, decode_experiment
from archsearch.settings.study import StudySettings
from hydra_plugins.archsearch_sweeper._enqueued import enqueued_points, require_feasible
from hydra_plugins.archsearch_sweeper._experiment_task import ExperimentTask, ExperimentTasks
from hydra_plugins.archsearch_sweeper._forecast import draw_sample, forecast_text, listed_text
from hydra_plugins.archsearch_sweeper._grammar import Request, read_request
from hydra_plugins.archsearch_sweeper._preflight import require_usable
from hydra_plugins.archsearch_sweeper._space import require_names

if TYPE_CHECKING:
    from archsearch.data.dataset import Dataset

MOST_LISTED = 10
"""Maximum number of designs without a result that an error lists."""
_SHAPES = ("arch.head", "arch.input")
"""Keys that determine the shapes of a network's input and output."""
LOCAL = (".BasicLauncher", ".JoblibLauncher")
"""Launchers whose jobs run on the machine where the command runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """An opened search: its study, its sweep, and the factory of its tasks."""

    study: Study
    sweep: Sweep
    tasks: ExperimentTasks
    name: str | None  # of the chosen space


def search(context: Any, config: Any, arguments: list[str]) -> dict[int, tuple[float, ...]]:
    """Run a multirun to its end, print its summary, and return the values of the complete trials by number."""
    began = time.monotonic()
    opened, request = _open(context, config, arguments)
    study, sweep = opened.study, opened.sweep
    seconds = sweep.settings.seconds
    until = None if seconds is None else began + seconds
    task = opened.tasks()
    patience = Patience(sweep.settings.patience, lambda text: print(text, file=sys.stderr))  # noqa: T201
    try:
        first = len(patience.call(study.trials))
        if sweep.exhaustive:
            seed = (sweep.settings.sampler.seed or 0) if request.shuffle else None
            total = patience.call(lambda: enqueue(study, sweep, task, shuffle_seed=seed))
        else:
            most = sweep.settings.most_trials
            total = None if most == math.inf else int(most)
        snapshot = take_snapshot(study.trials(), sweep.name)
        view = ProgressView(
            total,
            study.objectives,
            study.directions,
            done=len(snapshot.trained),
            best=best_so_far(study, snapshot),
            epochs=sweep.epochs,
            until=until,
        )
        if not is_done(snapshot, sweep):
            if not snapshot.taken:
                require_feasible(sweep, task)
            text = _forecast(opened, task, snapshot, total)
            print(printable(text), file=sys.stderr, flush=True)  # noqa: T201
            if not str(config.hydra.launcher._target_).endswith(".BasicLauncher"):
                from hydra_plugins.archsearch_sweeper._launching import LaunchedWorker, launch

                worker = LaunchedWorker(study=study.name, sweep=sweep, tasks=opened.tasks, first=first, total=total)
                launch(context, config, _all_plain(arguments, request), worker, study)
            else:
                with contextlib.closing(view):
                    _run(opened, task, view, first, until)
        found = patience.call(lambda: _finish(study, sweep))
        if request.exhaustive:
            _require_all(study, sweep)
        elif not found:
            _require_any(study, sweep)
        return found
    except SearchStopped:
        _finish(study, sweep)
        raise
    finally:
        study.store.close()


def _forecast(opened: Searched, task: ExperimentTask, snapshot: StudySnapshot, total: int | None) -> str:
    sweep = opened.sweep
    if sweep.exhaustive and total is not None:
        return listed_text(total, snapshot.infeasible)
    return forecast_text(opened.name, sweep, draw_sample(sweep, task.preview), snapshot)


def _run(opened: Searched, task: ExperimentTask, view: ProgressView, first: int, until: float | None) -> None:
    settings = opened.sweep.settings
    seed = settings.sampler.seed
    if seed is None:
        seed = int.from_bytes(os.urandom(4), "big")
    if settings.workers == 1:
        work(opened.study, opened.sweep, task, listen=view, seed=seed + first, first=first, until=until)
        return
    from archsearch.training.device import cuda_devices

    devices = cuda_devices()
    run_workers(
        opened.study,
        opened.sweep,
        opened.tasks,
        listen=view,
        seed=seed + first,
        devices=devices,
        first=first,
        until=until,
    )


def _finish(study: Study, sweep: Sweep) -> dict[int, tuple[float, ...]]:
    summary = summarize(study, sweep)
    print(printable(summary_text(study, sweep, summary)), file=sys.stdout, flush=True)  # noqa: T201  (a command prints)
    if best := write_best(study, sweep, summary):
        print(printable(f"the same as a file: {run_command([str(best)])}"), flush=True)  # noqa: T201
    print(printable(f"study database: {study.store.address}"), flush=True)  # noqa: T201
    return {trial.number: tuple(trial.values or ()) for trial in summary.best}


def _require_all(study: Study, sweep: Sweep) -> None:
    """Raise an error if listed designs have no result.

    It is a `UsageError` if one is infeasible, and a `RunError` if only trainings failed.
    """
    own = [trial.user_attrs for trial in study.trials() if trial.user_attrs.get("sweep") == sweep.name]
    infeasible = [attrs for attrs in own if attrs.get("state_reason") == INFEASIBLE]
    done = {attrs.get("key") for attrs in own if attrs.get("state_reason") in ("complete", "pruned")}
    failed = [
        attrs for attrs in own if attrs.get("state_reason") in ("failed", "diverged") and attrs.get("key") not in done
    ]
    lines: list[str] = []
    if infeasible:
        count = f"{number(len(infeasible))} of {pluralize(len(own), 'design')}"
        lines += [f"{count} cannot be trained:", *_causes(infeasible)]
        lines.append("python -m archsearch.show with the same overrides shows the limits and fixes.")
    if failed:
        lines += [f"{number(len(failed))} of {pluralize(len(own), 'training')} failed:", *_causes(failed)]
        if any(attrs["state_reason"] == "failed" for attrs in failed):
            lines.append("The same command with study.retry_failed=true retries them.")
    if lines:
        raise (UsageError if infeasible else RunError)("\n".join(lines))


def _require_any(study: Study, sweep: Sweep) -> None:
    """Raise `UsageError` if the sweep has only infeasible designs: none trained, running, waiting or failed."""
    snapshot = take_snapshot(study.trials(), sweep.name)
    if snapshot.taken or snapshot.failed:
        return
    causes = unbuildable(snapshot, sweep.name)
    why = causes[0] if causes else "python -m archsearch.study why shows which limits they break"
    raise UsageError(f"nothing was trained: no design of the space is feasible ({why})")


def _causes(trials: list[dict[str, Any]]) -> list[str]:
    """Return a line for each of the first trials, with its assignments and why it has no result."""
    lines = []
    for attrs in trials[:MOST_LISTED]:
        named = " ".join(assign(name, value) for name, value in attrs.get("assignments", {}).items())
        lines.append(f"  {named}  {attrs.get('cause')}")
    if len(trials) > MOST_LISTED:
        lines.append(f"  and {number(len(trials) - MOST_LISTED)} more")
    return lines


def _open(context: Any, config: Any, arguments: list[str]) -> tuple[Searched, Request]:
    from omegaconf import OmegaConf

    moved = _given_folder(config)
    space = OmegaConf.to_container(config.space, resolve=True) if config.get("space") is not None else None
    loader = context.config_loader
    sources, chosen = ConfigSources.from_hydra(config.hydra), config.hydra.runtime.choices.get("space")
    request = read_request(arguments, space if isinstance(space, Mapping) else None, loader, name=chosen)
    if not request.space.parameters:
        require_search(arguments, chosen, sources)
    composer = Composer(_all_plain(arguments, request), sources)
    experiment = decode_experiment(composer.compose({}), composer.blocks)
    settings = experiment.study
    exhaustive = request.exhaustive or settings.sampler.name == "grid"
    _no_held_keys(request)
    if exhaustive:
        require_grid(request.space)
    else:  # listed designs are reported one by one
        require_names(request.space, request.fixed, composer)
    here = str(config.hydra.launcher._target_).endswith(LOCAL)
    require_usable(experiment, searched={*request.space.parameters, *request.fixed}, here=here)
    shaped = not any(name == "arch" or name.startswith(_SHAPES) for name in request.space.parameters)
    limits = str(config.hydra.runtime.choices.get("constraints") or "none")
    study, dataset = _open_study(experiment, limits, shaped=shaped)
    sweep = Sweep(
        space=request.space,
        fixed=request.fixed,
        base=request.base,
        sources=sources,
        exhaustive=exhaustive,
        settings=settings,
    )
    token = hash_of([sweep.name, study.raw.user_attrs.get("token")]) if "token" in study.raw.user_attrs else sweep.name
    folder = moved or Path("outputs/sweeps") / f"{folder_name(study.name)}-{token[:8]}"
    epochs = _epochs(experiment, request)
    sweep = replace(
        sweep,
        folder=_own_folder(folder, study, given=moved is not None),
        epochs=epochs,
        rungs=_rungs(settings, epochs, exhaustive=exhaustive),
        enqueued=_enqueued(settings, request, composer, exhaustive=exhaustive),
        earlier=_earlier(settings, study, request.space, epochs, exhaustive=exhaustive),
    )
    tasks = ExperimentTasks(
        base=request.base,
        sources=sources,
        fingerprint=dataset.fingerprint,
        images=(len(dataset.train), len(dataset.validation)) if experiment.asks_for_seconds else None,
        epochs=epochs,
        objectives=study.objectives,
        repair=settings.repair and not exhaustive,  # listed designs are trained as listed
        logging=_job_logging(config),
    )
    return Searched(study=study, sweep=sweep, tasks=tasks, name=chosen), request


def _epochs(experiment: Experiment, request: Request) -> int | None:
    """Return the epochs of a whole training; None if they differ between designs."""
    if not {"train", EPOCHS}.isdisjoint(request.space.parameters):
        return None
    fixed = request.fixed.get(EPOCHS, experiment.train.epochs)
    return fixed if isinstance(fixed, int) else None


def _rungs(settings: StudySettings, epochs: int | None, *, exhaustive: bool) -> tuple[int, ...]:
    """Return the epochs of each rung; empty if every design gets a whole training."""
    if epochs is not None and not exhaustive:
        return settings.rungs_up_to(epochs)
    if isinstance(settings.rungs, tuple):
        what = "a list of designs is trained whole" if exhaustive else "the epochs of the trainings are searched over"
        raise SpecError("study.rungs", what, "Leave it at auto, or set it to null.")
    return ()


def _enqueued(settings: StudySettings, request: Request, composer: Composer, *, exhaustive: bool) -> tuple[Params, ...]:
    """Return the points of the space that are trained first."""
    if settings.enqueue and exhaustive:
        raise SpecError("study.enqueue", "a list of designs is trained in its own order", "Leave it out.")
    return enqueued_points(settings.enqueue, request.space, request.fixed, composer)


def _earlier(
    settings: StudySettings, study: Study, space: Space, epochs: int | None, *, exhaustive: bool
) -> tuple[Observation, ...]:
    """Return the designs of an earlier study from which the sampler learns, and print their number."""
    if settings.warm_start is None:
        return ()
    if exhaustive:
        raise SpecError("study.warm_start", "a list of designs has no sampler that learns", "Leave it out.")
    from archsearch.search.samplers.warm_start import earlier_observations

    found = earlier_observations(settings.warm_start, study, space, epochs)
    text = f"study.warm_start: the sampler learns from {pluralize(len(found), 'design')} of an earlier study"
    print(printable(text), file=sys.stderr)  # noqa: T201
    return found


def _open_study(experiment: Experiment, limits: str, *, shaped: bool) -> tuple[Study, Dataset]:
    """Return the study and its data.

    If all networks have the same input and output shapes (`shaped`), first check that the images fit them.
    """
    from archsearch.data.load import load_dataset
    from archsearch.runs.fit import batch_notice, require_shapes
    from archsearch.runs.trial import data_record, limits_record

    dataset = load_dataset(experiment.data)
    design = experiment.design
    if shaped and design.head.makes_logits:
        require_shapes(design.head.classes, design.input_shape, dataset)
    for notice in (dataset.notice, batch_notice(experiment.train, dataset)):
        if notice:
            print(printable(notice), file=sys.stderr)  # noqa: T201
    study = open_study(
        open_store(experiment.study.storage, slim=True),
        experiment.study.name,
        data=dataset.name,
        fingerprint=dataset.fingerprint,
        limits=limits,
        limits_text=limits_record(experiment.limits),
        objectives=experiment.study.objectives,
        data_settings=data_record(experiment.data),
    )
    return study, dataset


def _all_plain(arguments: list[str], request: Request) -> list[str]:
    """Return all overrides, including `study` and the like, except those searched over and those of Hydra itself."""
    searched = request.space.parameters
    return [one for one in arguments if key_of(one) not in searched and group_of(one) != "hydra"]


def _no_held_keys(request: Request) -> None:
    from hydra_plugins.archsearch_sweeper._grammar import HELD

    for name in (*request.space.parameters, *request.fixed):
        if name.partition(".")[0] in HELD:
            raise SpecError(
                f"space: {name}", "cannot differ between the trials of one study", "Set it on the command line."
            )


def _own_folder(folder: Path, study: Study, *, given: bool) -> Path:
    """Return the folder for the trials of a sweep: `folder`, or a numbered one if it holds another study's trials.

    In that case, raises `SpecError` if `folder` was `given` on the command line.
    """
    count, chosen = 1, folder
    while foreign := _foreign_trial(chosen, study):
        if given:
            what = f"{folder} holds trials of another study, such as {foreign.name}"
            raise SpecError("hydra.sweep.dir", what, "Choose another folder, or leave hydra.sweep.dir out.")
        count += 1
        chosen = folder.with_name(f"{folder.name}-{count}")
    return chosen


def _foreign_trial(folder: Path, study: Study) -> Path | None:
    """Return a folder in `folder` of a trial that does not belong to `study`; None if there is none."""
    found = sorted(one.parent for one in folder.glob("[0-9]*/design.yaml"))
    if not found:
        return None
    own = {Path(str(trial.user_attrs.get("run_dir"))).resolve() for trial in study.trials()}
    return next((one for one in found if one.resolve() not in own), None)


def _job_logging(config: Any) -> JobLogging:
    """Return the settings of `hydra/job_logging` and `hydra.verbose` for trials, which are not jobs of Hydra."""
    from omegaconf import OmegaConf

    of_trial = copy.deepcopy(config)
    OmegaConf.set_readonly(of_trial, False)
    OmegaConf.set_readonly(of_trial.hydra, False)
    OmegaConf.set_struct(of_trial, False)
    OmegaConf.update(of_trial, "hydra.runtime.output_dir", FOLDER)
    settings: Any = OmegaConf.to_container(of_trial.hydra.job_logging, resolve=True)
    verbose = of_trial.hydra.verbose  # a bool, the name of a logger, or a list of names
    names = (
        ([""] if verbose else []) if isinstance(verbose, bool) else [verbose] if isinstance(verbose, str) else verbose
    )
    return JobLogging(settings=settings, verbose=tuple(names))


def _given_folder(config: Any) -> Path | None:
    """Return the folder that the command line sets with `hydra.sweep.dir`, or None.

    Raises `SpecError` for `hydra.sweep.subdir`: `study` commands find a trial's folder by its number.
    """
    if any(one.startswith("hydra.sweep.subdir=") for one in config.hydra.overrides.hydra):
        fix = "Leave it out. hydra.sweep.dir sets the folder of the sweep."
        raise SpecError("hydra.sweep.subdir", "cannot be set: the folder of a trial has its number", fix)
    given = [one for one in config.hydra.overrides.hydra if one.startswith("hydra.sweep.dir=")]
    return Path(str(config.hydra.sweep.dir)) if given else None
