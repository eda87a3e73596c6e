"""The task of a search over experiments: it analyses candidates and trains them with `archsearch.runs`.

Torch is imported at the first feasible candidate, because the precision depends on the device.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from archsearch.analysis.check import begun
from archsearch.analysis.seconds import SECONDS, Predictor
from archsearch.cli.compose import Composer
from archsearch.config_files import ConfigSources
from archsearch.decode import decode
from archsearch.errors import DataError, StorageError
from archsearch.masking import mask
from archsearch.overrides import assign
from archsearch.runs.log import NO_LOGGING, JobLogging
from archsearch.runs.seconds import learn, training_times
from archsearch.search.evaluator import Evaluator
from archsearch.search.task import Assignments, Candidate, Job, Outcome
from archsearch.settings.data import DataSettings
from archsearch.settings.experiment import Experiment, decode_experiment, require_training
from archsearch.settings.objectives import OBJECTIVES
from archsearch.settings.training import OptimizerSettings, TrainSettings
from archsearch.training.storage import read_metrics, write_whole

if TYPE_CHECKING:
    from archsearch.data.dataset import Dataset


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentTasks:
    """Creates the task in any process, from the `base` overrides, the user's config `sources` and study properties.

    `images` are the numbers of training and validation images, set if training times are to be predicted. `epochs` are
    those of a whole training, whose time is predicted at every rung; if None, those of a design's own settings.
    """

    base: tuple[str, ...]
    sources: ConfigSources
    fingerprint: str
    objectives: tuple[str, ...] = ("accuracy",)
    repair: bool = True
    images: tuple[int, int] | None = None
    epochs: int | None = None
    logging: JobLogging = NO_LOGGING

    def __call__(self) -> ExperimentTask:
        return ExperimentTask(self)


class ExperimentTask:
    """Checks and trains experiments; the images are read at the first training."""

    def __init__(self, made_of: ExperimentTasks) -> None:
        self._composer = Composer(made_of.base, made_of.sources)
        self._evaluator = Evaluator(
            self._composer.compose,
            self._composer.blocks,
            fingerprint=made_of.fingerprint,
            repair=made_of.repair,
            precision=self._precision,
            predictor=self._predictor,
        )
        self._preview = Evaluator(
            self._composer.compose,
            self._composer.blocks,
            fingerprint="",
            repair=made_of.repair,
            predictor=self._predictor,
        )
        self._images_counted, self._epochs, self._times = made_of.images, made_of.epochs, training_times()
        self._predicting: tuple[tuple[object, ...], Predictor] | None = None
        self._train: tuple[object, TrainSettings] = ({}, TrainSettings())
        self._chosen: tuple[TrainSettings | None, str] = (None, "")
        self._base, self._sources, self._objectives = made_of.base, made_of.sources, made_of.objectives
        self._fingerprint = made_of.fingerprint
        self._logging = made_of.logging
        self._dataset: Dataset | None = None
        self._read: dict[str, object] = {}

    def check(self, assignments: Assignments) -> Candidate:
        candidate = self._evaluator(assignments)
        if candidate.kept:
            require_training(candidate.experiment[0], self._read)
        return candidate

    def preview(self, assignments: Assignments) -> Candidate | None:
        """Return the candidate of a design, or None if it breaks a limit, without importing torch.

        Its `key` lacks the fingerprint of the data and the precision. Raises `SpecError` if it cannot be built.
        """
        candidate = self._preview(assignments)
        return candidate if candidate.kept else None

    def describe(self, candidate: Candidate) -> Mapping[str, Any]:
        from archsearch.runs.record import design_yaml

        checked = candidate.experiment[1]
        seconds = {} if checked.training is None else {SECONDS: round(checked.training.seconds, 3)}
        return {"design": design_yaml(checked), **seconds}

    def smaller(self, candidate: Candidate) -> Candidate | None:
        tree, checked = candidate.experiment
        batch = self._train_settings(tree).batch_size // 2
        if batch < 1:
            return None
        return replace(candidate, experiment=({**tree, "train": {**tree["train"], "batch_size": batch}}, checked))

    def _train_settings(self, tree: Mapping[str, Any]) -> TrainSettings:
        raw = tree.get("train", {})
        if raw is not self._train[0]:
            self._train = (raw, decode(TrainSettings, raw, "train"))
        return self._train[1]

    def _precision(self, tree: Mapping[str, Any]) -> str:
        from archsearch.training.device import choose_device, choose_precision

        settings = self._train_settings(tree)
        if settings is not self._chosen[0]:  # thousands of candidates share them, and querying devices is slow
            self._chosen = (settings, choose_precision(settings, choose_device(settings.device)))
        return self._chosen[1]

    def _predictor(self, tree: Mapping[str, Any]) -> Predictor | None:
        if self._images_counted is None:
            return None
        raw = tuple(tree.get(name, {}) for name in ("train", "optimizer", "data"))
        kept = self._predicting
        if kept is None or any(one is not other for one, other in zip(raw, kept[0], strict=True)):
            optimizer, data = decode(OptimizerSettings, raw[1], "optimizer"), decode(DataSettings, raw[2], "data")
            train = self._whole(self._train_settings(tree))
            found = self._times.predictor(train, optimizer, data, self._images_counted)
            self._predicting = kept = raw, found
        return kept[1]

    def train(self, job: Job) -> Outcome:
        from archsearch.runs.finish import finish
        from archsearch.runs.folder import design_in
        from archsearch.runs.log import logged
        from archsearch.runs.record import read_result

        job = _as_claimed(job)
        checked = job.candidate.experiment[1]
        experiment = self._experiment(job)
        dataset = self._images(experiment)
        if design_in(job.run_dir) not in (None, checked.design_id):  # not the fault of the design
            raise StorageError(f"{job.run_dir}: holds the run of another design. Move that folder away.")
        with logged(self._logging, job.run_dir):
            record = read_result(job.run_dir) if job.resume else None
            if record is None:
                self._write_overrides(job)
                record = _trained(experiment, job, dataset)
                if checked.training is not None:
                    self._learn(job.candidate, experiment, record)
            else:  # an earlier worker finished the training, but may not have reported its epochs
                _report_epochs(job)
                finish(experiment, checked, dataset, job.run_dir)
        return outcome_of(record)

    def _learn(self, candidate: Candidate, experiment: Experiment, record: Mapping[str, Any]) -> None:
        """Update the predicted times of later candidates with a finished training."""
        tree, checked = candidate.experiment
        given = self._whole(replace(experiment.train, device=self._train_settings(tree).device))  # as when predicted
        learn(self._times, replace(experiment, train=given), checked.training, record)
        self._predicting = None

    def _whole(self, settings: TrainSettings) -> TrainSettings:
        """Return the settings of a design's whole training, from those of its training at a rung."""
        return settings if self._epochs is None else replace(settings, epochs=self._epochs)

    def _experiment(self, job: Job) -> Experiment:
        """Return the settings of the job's training, with the device assigned to the job."""
        experiment = decode_experiment(job.candidate.experiment[0], self._composer.blocks)
        train = experiment.train
        if job.device is not None and train.device in ("auto", "cuda"):
            train = replace(train, device=job.device)
        return replace(experiment, train=train, study=replace(experiment.study, objectives=self._objectives))

    def _images(self, experiment: Experiment) -> Dataset:
        """Return the images, read once; raises `DataError` if they are not those of the study."""
        from archsearch.data.load import load_dataset

        if self._dataset is None:
            self._dataset = _require_same(load_dataset(experiment.data), self._fingerprint)
        return self._dataset

    def _write_overrides(self, job: Job) -> None:
        """Write the overrides and sources that compose the run again to its run directory, in files like Hydra's."""
        import yaml

        candidate = job.candidate
        used = {name: value for name, value in candidate.assignments.items() if name not in candidate.unused}
        assignments = {**used, **candidate.repairs}
        lines = [*self._base, *(assign(name, value) for name, value in assignments.items())]
        text = yaml.safe_dump([mask(line) for line in lines])
        write_whole(job.run_dir / ".hydra" / "overrides.yaml", text.encode())
        hydra = yaml.safe_dump({"hydra": self._sources.hydra_record()})
        write_whole(job.run_dir / ".hydra" / "hydra.yaml", hydra.encode())


def _as_claimed(job: Job) -> Job:
    """Return the job without a broken limit on its training time: it was kept when the trial was claimed."""
    tree, checked = job.candidate.experiment
    return replace(job, candidate=replace(job.candidate, experiment=(tree, begun(checked))))


def _report_epochs(job: Job) -> None:
    """Report the epochs recorded in the job's run directory, each with its validation accuracy."""
    from archsearch.training.loop import METRICS

    for one in read_metrics(job.run_dir / METRICS):
        if one.validation_accuracy is not None:
            job.on_epoch(one.epoch, one.validation_accuracy)


def _trained(experiment: Experiment, job: Job, dataset: Dataset) -> dict[str, Any]:
    """Return the record of the training, which starts from the beginning if its checkpoint is damaged."""
    from archsearch.runs.execute import execute
    from archsearch.training.checkpoint import DamagedCheckpoint, set_checkpoint_aside

    checked = job.candidate.experiment[1]

    def run(*, resume: bool, notices: tuple[str, ...] = ()) -> dict[str, Any]:
        return execute(
            experiment,
            checked,
            job.run_dir,
            dataset=dataset,
            on_epoch=job.on_epoch,
            resume=resume,
            evaluate_test=False,
            notices=notices,
        ).record

    try:
        return run(resume=job.resume)
    except DamagedCheckpoint:
        aside = set_checkpoint_aside(job.run_dir)
    notice = f"the checkpoint was damaged: it is kept as {aside.name}, and the training starts from the beginning"
    return run(resume=False, notices=(notice,))


def outcome_of(record: Mapping[str, Any]) -> Outcome:
    """Return the outcome of a trial from its `result.json`: the recorded value of every objective."""
    values = {name: one.value_in(record) for name, one in OBJECTIVES.items()} | record.get("objectives", {})
    attrs = {name: record[name] for name in ("epochs", "device", "precision", "versions", "seed", "notices")}
    return Outcome(
        measures={name: value for name, value in values.items() if value is not None},
        pruned=bool(record.get("pruned")),
        attrs={**attrs, "seconds": record["seconds"], "data": record["data"]},
    )


def _require_same(dataset: Dataset, fingerprint: str) -> Dataset:
    """Return the data; raises `DataError` if they are not those of the study."""
    if dataset.fingerprint != fingerprint:
        what = (
            f"the images of {dataset.name} here are not those of the study ({dataset.fingerprint}, not {fingerprint})"
        )
        raise DataError(f"{what}. Put the same images on every machine.")
    return dataset
