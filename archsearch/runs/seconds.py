"""The predicted seconds of a run, if a limit, an objective or the sampler needs them. Does not import torch itself.

A missing model of the machine's step times is measured, which imports torch and takes about a minute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from archsearch.analysis.seconds import Estimate, Predictor
from archsearch.notices import notice_once
from archsearch.settings.experiment import Experiment

if TYPE_CHECKING:
    from archsearch.cost.training_time import TrainingTimes


def training_times() -> TrainingTimes:
    """Return a maker of predictors, which writes a notice before it measures."""
    from archsearch.cost.training_time import TrainingTimes

    return TrainingTimes(notice_once)


def predictor_of(experiment: Experiment) -> Predictor | None:
    """Return the predictor of the experiment's training time; None if the experiment does not need it."""
    if not experiment.asks_for_seconds:
        return None
    return training_times().predictor(experiment.train, experiment.optimizer, experiment.data)


def learn(times: TrainingTimes, experiment: Experiment, training: Estimate, record: Mapping[str, Any]) -> None:
    """Improve later predictions by a finished training: its estimate, and `record`, the content of `result.json`.

    The estimate of a pruned training is scaled by the share of its epochs.
    """
    share = record["epochs"] / experiment.train.epochs
    if share > 0:
        settings = experiment.train, experiment.optimizer, experiment.data
        times.learn(*settings, predicted=share * training.uncorrected, seconds=record["seconds"])
