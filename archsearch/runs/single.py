"""A single run as a user starts it: trained, recorded in the study database, and reported on the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from archsearch.analysis.check import Checked
from archsearch.errors import ArchsearchError, InterruptedRun, UsageError
from archsearch.formatting import duration, number, percent
from archsearch.report.terminal.text import relative_path
from archsearch.runs.execute import RunOutcome, batch_notice, execute, require_fit
from archsearch.runs.trial import Origin, prepare_study, record_trial
from archsearch.settings.experiment import Experiment


def run_single(experiment: Experiment, checked: Checked, run_dir: Path, origin: Origin) -> RunOutcome:
    """Train the checked design in `run_dir`, record it as a trial of the study database, and return the outcome.

    A run that fails is recorded too, with its cause, before its error is raised.
    """
    from archsearch.search.storage.url import parse_address

    parse_address(experiment.study.storage)
    footprint, limits = checked.footprint, len(checked.margins)
    _note(
        f"{checked.design.name}: {number(footprint.parameters)} parameters, {number(footprint.macs)} MACs, "
        f"receptive field {footprint.receptive_field} px; {f'keeps all {limits} limits' if limits else 'no limits'}"
    )
    from archsearch.data.load import load_dataset

    dataset = load_dataset(experiment.data)
    if dataset.notice:
        rule = "=" * 72
        _note(f"{rule}\n{dataset.notice}\n{rule}")
    _note(
        f"data: {dataset.name}, {number(len(dataset.train))} training images, "
        f"{number(len(dataset.validation))} validation, {number(len(dataset.test))} test"
    )
    require_fit(checked, dataset)  # before the study is made
    if notice := batch_notice(experiment, dataset):
        _note(f"note: {notice}")
    data = {"data": dataset.name, "data_fingerprint": dataset.fingerprint}
    prepare_study(experiment, data, origin)
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
    except (InterruptedRun, UsageError):
        raise
    except Exception as error:
        progress.close()
        try:
            record_trial(experiment, checked, data, run_dir, origin, error=error)
        except ArchsearchError as second:  # the first one is the cause, and is raised
            _note(f"the failure cannot be recorded in the study database: {second}")
        raise
    finally:
        progress.close()
    _print(f"files: {relative_path(run_dir)}")
    epochs = outcome.result.history
    history = {one.epoch: one.validation_accuracy for one in epochs if one.validation_accuracy is not None}
    place = record_trial(experiment, checked, outcome.record, run_dir, origin, history=history)
    _print(f"study: {place}")
    return outcome


def finished(run_dir: Path) -> str | None:
    """Return the summary of the finished run in `run_dir`, or None if there is more to do."""
    if (run_dir / "checkpoint.pt").exists():
        return None
    try:
        return summary(json.loads((run_dir / "result.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _report(record: Mapping[str, Any]) -> None:
    """Print the result at once: the pictures that follow take seconds."""
    for notice in record["notices"]:
        _note(f"note: {notice}")
    _print(summary(record))


def summary(record: Mapping[str, Any]) -> str:
    """Return the result in `record`, the content of `result.json`, with its conditions in one line."""
    accuracy = record["accuracy"]
    parts = [f"test accuracy {_percent(accuracy['test'])} on {record['data']}"]
    if accuracy["test_flip"] is not None:
        parts.append(f"with flip test-time augmentation {_percent(accuracy['test_flip'])}")
    if accuracy["validation"] is not None:
        parts.append(f"validation {_percent(accuracy['validation'])}")
    parts += [
        f"n=1 seed ({record['seed']})",
        f"{number(record['parameters'])} parameters",
        f"RF {record['receptive_field']} px",
        f"{record['epochs']} epochs",
        f"{duration(record['seconds'])} on {record['device']}",
        f"torch {record['versions'].get('torch', '?')}",
    ]
    return ", ".join(parts)


def _percent(accuracy: float | None) -> str:
    return "-" if accuracy is None else percent(accuracy)


def _print(text: str, stream: TextIO | None = None) -> None:
    print(text, file=stream, flush=True)


def _note(text: str) -> None:
    _print(text, sys.stderr)
