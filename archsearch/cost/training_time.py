"""Predictors of training times: the machine's step model, measured if it is missing, and the length of a training.

Torch is imported only if the model has to be measured.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from archsearch.cost import store
from archsearch.cost.model import Correction, Length, StepModel, TrainingTime, correction
from archsearch.settings.data import DataSettings, image_counts
from archsearch.settings.training import OptimizerSettings, TrainSettings

Measure = Callable[[TrainSettings, OptimizerSettings], StepModel]


class TrainingTimes:
    """Creates the predictors of a process; a model is read once, finished trainings again after each `learn`."""

    def __init__(self, note: Callable[[str], None] = lambda _: None, measure: Measure | None = None) -> None:
        """Take the receiver of notices, and the function that measures a missing model (None: `calibrate`)."""
        self._note, self._measure = note, measure or _measured
        self._models: dict[Path, tuple[StepModel, dict[object, float]]] = {}
        self._corrections: dict[Path, Correction] = {}
        self._files: dict[tuple[object, ...], Path] = {}

    def predictor(
        self,
        train: TrainSettings,
        optimizer: OptimizerSettings,
        data: DataSettings,
        images: tuple[int, int] | None = None,
    ) -> TrainingTime:
        """Return the predictor for a training with these settings.

        `images` are the numbers of training and validation images, if known. Raises what loading the data raises if
        they have to be counted, and what a training raises if the model has to be measured.
        """
        file = self._file(train, optimizer, data)
        model, pieces = self._model(file, train, optimizer)
        if file not in self._corrections:
            self._corrections[file] = correction(store.observed(file), model.error)
        length = length_of(train, *(images or counted(data)))
        return TrainingTime(model=model, length=length, correction=self._corrections[file], pieces=pieces)

    def learn(
        self, train: TrainSettings, optimizer: OptimizerSettings, data: DataSettings, predicted: float, seconds: float
    ) -> None:
        """Add a finished training: its predicted seconds, uncorrected, and its measured seconds."""
        file = self._file(train, optimizer, data)
        store.observe(file, predicted, seconds)
        self._corrections.pop(file, None)

    def _file(self, train: TrainSettings, optimizer: OptimizerSettings, data: DataSettings) -> Path:
        """Return the file of the model, cached because thousands of candidates share their settings."""
        key = (data.cache, optimizer.name, *(getattr(train, name) for name in store.SETTINGS))
        if key not in self._files:
            self._files[key] = store.model_file(data.cache, store.conditions_of(train, optimizer))
        return self._files[key]

    def _model(
        self, file: Path, train: TrainSettings, optimizer: OptimizerSettings
    ) -> tuple[StepModel, dict[object, float]]:
        if file not in self._models:
            model = store.read_model(file)
            if model is None:
                self._note("measuring how long training steps take on this machine, once: about a minute")
                with store.measuring(file):
                    model = store.read_model(file)  # another process may have measured meanwhile
                    if model is None:
                        model = self._measure(train, optimizer)
                        store.write_model(file, model, store.conditions_of(train, optimizer))
            self._models[file] = model, {}
        return self._models[file]


def length_of(train: TrainSettings, training_images: int, validation_images: int) -> Length:
    """Return the length of a training with these numbers of images."""
    batch = min(train.batch_size, training_images)
    evaluations = -(-train.epochs // train.eval_every)
    statistics = 0 if train.recalibrate is None else min(train.recalibrate, training_images)
    return Length(
        batch=batch,
        steps=train.epochs * (training_images // batch),
        evaluated=evaluations * validation_images + statistics,
    )


def counted(data: DataSettings) -> tuple[int, int]:
    """Return the numbers of training and validation images of `data`, which is loaded only if they are unknown."""
    known = image_counts(data)
    if known is not None:
        return known
    from archsearch.data.load import load_dataset

    dataset = load_dataset(data)
    return len(dataset.train), len(dataset.validation)


def _measured(train: TrainSettings, optimizer: OptimizerSettings) -> StepModel:
    from archsearch.cost.calibrate import calibrate

    return calibrate(train, optimizer)
