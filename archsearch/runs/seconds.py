"""The predicted seconds of a run, where a limit, an objective or the search asks for them; no torch.

The model of the machine's steps is measured where it is missing, which imports torch and takes about a minute.
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
    """Return the maker of this process's predictors; a notice says when it measures."""
    from archsearch.cost.training_time import TrainingTimes

    return TrainingTimes(notice_once)


def predictor_of(experiment: Experiment) -> Predictor | None:
    """Return what predicts the seconds of the experiment's training, None where nothing asks for them."""
    if not experiment.asks_for_seconds:
        return None
    return training_times().predictor(experiment.train, experiment.optimizer, experiment.data)


def learn(times: TrainingTimes, experiment: Experiment, training: Estimate, record: Mapping[str, Any]) -> None:
    """Let the predictions learn from a finished training: its estimate, and its `record`, that of `result.json`.

    One that was pruned counts with the share of its epochs.
    """
    share = record["epochs"] / experiment.train.epochs
    if share > 0:
        settings = experiment.train, experiment.optimizer, experiment.data
        times.learn(*settings, predicted=share * training.uncorrected, seconds=record["seconds"])
