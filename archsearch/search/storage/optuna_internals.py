"""Every use of a private part of Optuna, with its reason. Imports optuna inside functions only.

| part | reason |
|---|---|
| `FrozenTrial._trial_id` | a storage needs a trial's id; the public API costs a query for each trial |
| `optuna.storages._rdb.models` | a row is written in one transaction; Optuna's own call sends ten statements |
| `_CachedStorage` | no public call adds Optuna's cache to a storage whose engine has our own options |
| `_CachedStorage._add_trials_to_cache` | a search that runs for days must not keep the long texts of every trial |
| `GPSampler._sample_relative_impl` | its cost is cubic in the number of trials, which no option limits |
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import optuna
    from optuna.samplers import BaseSampler
    from optuna.storages import BaseStorage, RDBStorage
    from optuna.trial import FrozenTrial


def id_of(trial: FrozenTrial) -> int:
    """Return the id of a trial in its storage; its number is unique only within the study."""
    return trial._trial_id


def models() -> Any:
    """Return the module with the SQLAlchemy models of Optuna's tables."""
    from optuna.storages._rdb import models

    return models


def cached_storage(backend: RDBStorage, prepare: Callable[[FrozenTrial], None]) -> BaseStorage:
    """Return Optuna's cache over `backend`; `prepare` changes every trial before it is cached."""
    from optuna.storages._cached_storage import _CachedStorage

    class PreparingCache(_CachedStorage):
        def _add_trials_to_cache(self, study_id: int, trials: list[FrozenTrial]) -> None:
            for trial in trials:
                prepare(trial)
            super()._add_trials_to_cache(study_id, trials)

    return PreparingCache(backend)


def gp_sampler(
    startup: int, seed: int | None, choose: Callable[[optuna.Study, list[FrozenTrial]], list[FrozenTrial]]
) -> BaseSampler:
    """Return Optuna's Gaussian process sampler, fitted to those complete trials that `choose` returns."""
    from optuna.samplers import GPSampler

    class BoundedGPSampler(GPSampler):
        def _sample_relative_impl(
            self,
            study: optuna.Study,
            completed_trials: list[FrozenTrial],
            running_trials: list[FrozenTrial],
            search_space: Any,
        ) -> dict[str, Any]:
            chosen = choose(study, completed_trials)
            return super()._sample_relative_impl(study, chosen, running_trials, search_space)

    return BoundedGPSampler(n_startup_trials=startup, seed=seed)
