"""A single run recorded as a trial of the study database, so that all results are in one place."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.analysis.check import Checked
from archsearch.analysis.limits import Limits
from archsearch.errors import DivergedError, StorageError
from archsearch.formatting import one_line
from archsearch.masking import mask
from archsearch.runs.record import design_yaml
from archsearch.settings.data import DataSettings
from archsearch.settings.experiment import Experiment
from archsearch.training.storage import read_metrics

if TYPE_CHECKING:
    from archsearch.search.storage.rows import RunRecord
    from archsearch.search.storage.study import Study

LONGEST_TRACE = 20_000  # characters of a traceback that are kept
FINISHED = ("complete", "pruned")  # states of a trial whose run has a result
NO_VALUE = "no validation images (data.validation=0), so there is no accuracy to compare"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The configuration of a run: the name of its `limits`, the dotted keys that the user set, and the whole `tree`."""

    limits: str = "none"
    assignments: Mapping[str, Any] = field(default_factory=dict)
    tree: Mapping[str, Any] = field(default_factory=dict)


def prepare_study(experiment: Experiment, data: Mapping[str, Any], origin: Origin) -> None:
    """Open the study that a run on `data` (its name and fingerprint) belongs to, and create it if it does not exist.

    Call this before the training, so that errors are raised then and not hours later: `StorageError` if the database
    does not answer, `SpecError` if the study has other data or limits.
    """
    with _opened(experiment, data, origin):
        pass


@contextmanager
def _opened(experiment: Experiment, data: Mapping[str, Any], origin: Origin) -> Iterator[Study]:
    from archsearch.search.faults import is_of_database
    from archsearch.search.storage.database import open_store
    from archsearch.search.storage.study import open_study
    from archsearch.search.storage.url import cause_of

    store = open_store(experiment.study.storage)
    try:
        yield open_study(
            store,
            experiment.study.name,
            data=data["data"],
            fingerprint=data["data_fingerprint"],
            limits=origin.limits,
            limits_text=limits_record(experiment.limits),
            data_settings=data_record(experiment.data),
        )
    except Exception as error:
        if not is_of_database(error):
            raise
        cause = cause_of(error.__cause__ or error, store.address)
        raise StorageError(f"{store.address}: the study database does not answer: {cause}.") from None
    finally:
        store.close()


def record_trial(
    experiment: Experiment, checked: Checked, record: Mapping[str, Any], run_dir: Path, origin: Origin
) -> str:
    """Write the finished run in `run_dir` to its study unless it is there; return the trial's place as text.

    `record` is the content of `result.json`.
    """
    accuracy = record["accuracy"]["validation"]
    history = {
        one.epoch: one.validation_accuracy
        for one in read_metrics(run_dir / "metrics.jsonl")
        if one.validation_accuracy is not None
    }
    run = _run_record(
        checked,
        record,
        run_dir,
        origin,
        state="complete" if accuracy is not None else "pruned",
        values=None if accuracy is None else [accuracy],
        history=history,
        reason=None if accuracy is not None else NO_VALUE,
        more={"test_accuracy": record["accuracy"]["test"]},
    )
    return _written(experiment, record, origin, run, once=True)


def record_failure(
    experiment: Experiment,
    checked: Checked,
    data: Mapping[str, Any],
    run_dir: Path,
    origin: Origin,
    error: BaseException,
) -> str:
    """Write a run that failed with `error` to its study; return the trial's place as text.

    `data` holds the name and the fingerprint of the data set.
    """
    run = _run_record(
        checked,
        data,
        run_dir,
        origin,
        state="diverged" if isinstance(error, DivergedError) else "failed",
        values=None,
        reason=mask(str(error)),
        more={"traceback": mask("".join(traceback.format_exception(error)))[-LONGEST_TRACE:]},
    )
    return _written(experiment, data, origin, run, once=False)


def _run_record(checked: Checked, record: Mapping[str, Any], run_dir: Path, origin: Origin, **more: Any) -> RunRecord:
    from archsearch.search.storage.rows import RunRecord
    from archsearch.search.task import trial_key

    return RunRecord(
        params=origin.assignments,
        key=trial_key(checked.design_id, origin.tree, record["data_fingerprint"], record.get("precision")),
        design_id=checked.design_id,
        design_yaml=design_yaml(checked),
        margins=checked.margins,
        parameters=checked.footprint.parameters,
        macs=checked.footprint.macs,
        receptive_field=checked.footprint.receptive_field,
        run_dir=str(run_dir),
        seconds=record.get("seconds"),
        versions=record.get("versions", {}),
        **more,
    )


def _written(experiment: Experiment, data: Mapping[str, Any], origin: Origin, run: RunRecord, *, once: bool) -> str:
    """Write the trial of `run`, or with `once` use an existing one; return study, trial and database as text."""
    from archsearch.search.storage.dashboard import attach_files
    from archsearch.search.storage.rows import run_row

    with _opened(experiment, data, origin) as study, study.store.lock():
        number = _number_of(study, run.run_dir) if once else None
        if number is None:
            pictures, stored = attach_files(Path(run.run_dir), study.store.address, experiment.study.artifacts)
            whole = replace(run, artifacts=pictures, more={**run.more, **stored})
            ((_, number),) = study.write_locked([run_row(whole)])
        return f"{one_line(study.name)}, trial {number}, in {study.store.address}"


def _number_of(study: Study, run_dir: str) -> int | None:
    """Return the number of the trial of the finished run in `run_dir`; None if the study has none."""
    for trial in study.trials():
        if trial.user_attrs.get("run_dir") == run_dir and trial.user_attrs.get("state_reason") in FINISHED:
            return trial.number
    return None


def limits_record(limits: Limits) -> dict[str, Any]:
    """Return the limits that are set, as plain values."""

    def set_items(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in items if value is not None}

    return asdict(limits, dict_factory=set_items)


def data_record(settings: DataSettings) -> dict[str, Any]:
    """Return the settings that determine the images, as plain values by key below `data`."""
    plain = {key: value for key, value in asdict(settings).items() if key not in ("cache", "download")}
    shapes = plain.pop("shapes")
    return plain | ({f"shapes.{key}": value for key, value in shapes.items()} if settings.name == "shapes" else {})
