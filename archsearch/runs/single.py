"""A single run as a user starts it: training, record in the study database, and report on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from archsearch.analysis.check import Checked
from archsearch.analysis.limits import margins_text
from archsearch.errors import ArchsearchError, DataError, InterruptedRun, SpecError, StorageError, UsageError
from archsearch.formatting import duration, number, one_line, percent, pluralize, printable
from archsearch.report.terminal.text import relative_path
from archsearch.runs.execute import RunOutcome, execute
from archsearch.runs.finish import finish
from archsearch.runs.fit import batch_notice, require_fit
from archsearch.runs.log import log
from archsearch.runs.record import RESULT, read_result
from archsearch.runs.seconds import learn, training_times
from archsearch.runs.trial import Origin, prepare_study, record_failure, record_trial
from archsearch.settings.experiment import Experiment
from archsearch.training.storage import set_aside, write_whole


def run_single(
    experiment: Experiment,
    checked: Checked,
    run_dir: Path,
    origin: Origin,
    files: Mapping[str, str] = MappingProxyType({}),
) -> RunOutcome:
    """Train the checked design in `run_dir`, record it as a trial of the study database, and return the outcome.

    `files` maps names relative to `run_dir` to texts, which are written after all checks have passed.
    A failed run is recorded too, with its cause, before its error is raised.
    """
    from archsearch.search.storage.url import parse_address

    parse_address(experiment.study.storage)
    lines: list[str] = []

    def opening(text: str) -> None:  # logged after all checks have passed: a rejected run leaves no folder
        print(text, file=sys.stderr, flush=True)  # noqa: T201  (a command prints)
        lines.append(text)

    footprint = checked.footprint
    opening(
        f"{checked.design.name}: {number(footprint.parameters)} parameters, {number(footprint.macs)} MACs, "
        f"receptive field {footprint.receptive_field} px; {margins_text(checked.margins)}"
    )
    from archsearch.data.load import load_dataset

    dataset = load_dataset(experiment.data)
    if dataset.notice:
        rule = "=" * 72
        opening(f"{rule}\n{dataset.notice}\n{rule}")
    opening(
        f"data: {one_line(dataset.name)}, {number(len(dataset.train))} training images, "
        f"{number(len(dataset.validation))} validation, {number(len(dataset.test))} test"
    )
    require_fit(checked, dataset, experiment.train)
    if notice := batch_notice(experiment.train, dataset):
        _note(f"note: {notice}")
    data = {"data": dataset.name, "data_fingerprint": dataset.fingerprint}
    prepare_study(experiment, data, origin)
    for name, text in files.items():
        write_whole(run_dir / name, text.encode())
    log("\n".join(lines))
    if experiment.resume is not None and not (run_dir / "checkpoint.pt").exists():
        _note(f"resume: no checkpoint in {experiment.resume}: the run starts from the beginning")
    from archsearch.training.progress import make_progress

    progress = make_progress()
    try:
        outcome = execute(
            experiment,
            checked,
            run_dir,
            dataset=dataset,
            progress=progress,
            on_result=_report,
            resume=experiment.resume is not None,
        )
    except (InterruptedRun, UsageError, StorageError):  # not caused by the design
        raise
    except Exception as error:
        progress.close()
        try:
            record_failure(experiment, checked, data, run_dir, origin, error)
        except ArchsearchError as second:  # the first error is the cause, and is raised
            _note(f"the failure cannot be recorded in the study database: {second}")
        raise
    finally:
        progress.close()
    if checked.training is not None:
        learn(training_times(), experiment, checked.training, outcome.record)
    _print(f"files: {relative_path(run_dir)}")
    _print(f"study: {_recorded(experiment, checked, outcome.record, run_dir, origin)}")
    return outcome


def complete(experiment: Experiment, checked: Checked, run_dir: Path, origin: Origin) -> str | None:
    """Finish the run in `run_dir` if its result is written, and return its summary; None if there is more to train.

    Its trial is written to the study if it is missing there, and missing pictures are drawn. Raises `SpecError` if the
    command would train otherwise, or on other images: a finished run does not change.
    """
    from archsearch.data.load import load_dataset
    from archsearch.runs.folder import require_same_settings

    record = read_result(run_dir)
    if record is None:
        if (run_dir / RESULT).exists():
            _note(f"{run_dir / RESULT}: is damaged, and is kept as {set_aside(run_dir / RESULT).name}")
        return None
    checkpoint = (run_dir / "checkpoint.pt").exists()
    if checkpoint and (record["epochs"] < experiment.train.epochs or not _weights_are_whole(run_dir)):
        return None
    require_same_settings(run_dir, origin.tree)
    try:
        dataset = load_dataset(experiment.data)
        if dataset.fingerprint != record["data_fingerprint"]:
            what = f"{run_dir} is complete, and was trained on other images than {one_line(dataset.name)} has now"
            raise SpecError("resume", what, "Name its images by data.*, or start a new run without resume.")
        for notice in finish(experiment, checked, dataset, run_dir):
            _note(f"note: {notice}")
    except DataError as error:
        _note(f"note: the report card needs the images: {error}")
    _recorded(experiment, checked, record, run_dir, origin)
    return summary(record)


def _recorded(
    experiment: Experiment, checked: Checked, record: Mapping[str, Any], run_dir: Path, origin: Origin
) -> str:
    """Write the run's trial to its study unless it is there; return the names of study, trial and database."""
    try:
        return record_trial(experiment, checked, record, run_dir, origin)
    except StorageError as error:
        raise StorageError(f"{error} The result is in {run_dir}: resume={run_dir} records it.") from error


def _weights_are_whole(run_dir: Path) -> bool:
    from archsearch.network.weights import read_weights

    try:
        read_weights(run_dir / "model.safetensors")
    except DataError:
        return False
    return True


def _report(record: Mapping[str, Any]) -> None:
    for notice in record["notices"]:
        _note(f"note: {notice}")
    _print(summary(record))


def summary(record: Mapping[str, Any]) -> str:
    """Return the result in `record`, the content of `result.json`, and its conditions in one line."""
    accuracy = record["accuracy"]
    parts = [f"test accuracy {_percent(accuracy['test'])} on {one_line(record['data'])}"]
    if accuracy["test_flip"] is not None:
        parts.append(f"with flip test-time augmentation {_percent(accuracy['test_flip'])}")
    if accuracy["validation"] is not None:
        parts.append(f"validation {_percent(accuracy['validation'])}")
    parts += [
        f"n=1 seed ({record['seed']})",
        f"{number(record['parameters'])} parameters",
        f"RF {record['receptive_field']} px",
        pluralize(record["epochs"], "epoch"),
        f"{duration(record['seconds'])} on {record['device']}",
        f"torch {record['versions'].get('torch', '?')}",
    ]
    return ", ".join(parts)


def _percent(accuracy: float | None) -> str:
    return "-" if accuracy is None else percent(accuracy)


def _print(text: str, stream: TextIO | None = None) -> None:
    print(printable(text), file=stream, flush=True)
    log(text)


def _note(text: str) -> None:
    _print(text, sys.stderr)
