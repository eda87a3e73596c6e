"""A single run as a trial of the study database, so that every result is in one place."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archsearch.analysis.check import Checked
from archsearch.analysis.limits import Limits
from archsearch.errors import DivergedError
from archsearch.masking import mask
from archsearch.runs.record import design_yaml
from archsearch.settings.data import DataSettings
from archsearch.settings.experiment import Experiment

if TYPE_CHECKING:
    from archsearch.search.storage.study import Study

LONGEST_TRACE = 20_000  # characters of a traceback that are kept
NO_VALUE = "no validation images (data.validation=0), so there is no accuracy to compare"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a run comes from: the chosen `limits` by name, the keys that the user set, dotted, and the whole `tree`."""

    limits: str = "none"
    assignments: Mapping[str, Any] = field(default_factory=dict)
    tree: Mapping[str, Any] = field(default_factory=dict)


def prepare_study(experiment: Experiment, data: Mapping[str, Any], origin: Origin) -> None:
    """Open the study that a run of `data` (its name and fingerprint) belongs to, made if it is missing.

    Called before the training, so that a database that does not answer, or a study of other data or limits, is an
    error then and not hours later: raises `StorageError` and `SpecError`.
    """
    with _opened(experiment, data, origin):
        pass


@contextmanager
def _opened(experiment: Experiment, data: Mapping[str, Any], origin: Origin) -> Iterator[Study]:
    from archsearch.search.storage.database import open_store
    from archsearch.search.storage.study import open_study

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
    finally:
        store.close()


def record_trial(
    experiment: Experiment,
    checked: Checked,
    record: Mapping[str, Any],
    run_dir: Path,
    origin: Origin,
    *,
    history: Mapping[int, float] | None = None,
    error: BaseException | None = None,
) -> str:
    """Write the run, finished or failed with `error`, into its study; return the study's and the trial's name.

    `record` is the content of `result.json` (of a failed run: the data's name and fingerprint).
    """
    from archsearch.search.storage.dashboard import attach_files
    from archsearch.search.storage.rows import RunRecord, run_row
    from archsearch.search.task import trial_key

    if error is None:
        accuracy = record["accuracy"]["validation"]
        state, reason = ("complete", None) if accuracy is not None else ("pruned", NO_VALUE)
        more = {"test_accuracy": record["accuracy"]["test"]}
    else:
        accuracy, reason = None, mask(str(error))
        state = "diverged" if isinstance(error, DivergedError) else "failed"
        more = {"traceback": mask("".join(traceback.format_exception(error)))[-LONGEST_TRACE:]}
    with _opened(experiment, record, origin) as study:
        pictures, stored = attach_files(run_dir, study.store.address, experiment.study.artifacts)
        run = run_row(
            RunRecord(
                params=origin.assignments,
                state=state,
                values=None if accuracy is None else [accuracy],
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
                history=dict(history or {}),
                reason=reason,
                artifacts=pictures,
                more={**more, **stored},
            )
        )
        [number] = study.write([run])
        return f"{study.name}, trial {number}, in {study.store.address}"


def limits_record(limits: Limits) -> dict[str, Any]:
    """Return the limits that are set, as plain values."""

    def set_items(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        return {key: list(value) if isinstance(value, tuple) else value for key, value in items if value is not None}

    return asdict(limits, dict_factory=set_items)


def data_record(settings: DataSettings) -> dict[str, Any]:
    """Return the settings by which the images are read, as plain values by key below `data`."""
    plain = {key: value for key, value in asdict(settings).items() if key not in ("cache", "download")}
    shapes = plain.pop("shapes")
    return plain | ({f"shapes.{key}": value for key, value in shapes.items()} if settings.name == "shapes" else {})
