"""A cache of trials that stays small: distributions are shared, and long texts are left in the database.

Imports optuna inside functions only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage, RDBStorage
    from optuna.trial import FrozenTrial

LONG = ("design", "margins", "versions", "traceback", "notices")
"""Attributes that a search does not read."""


def lean_cache(backend: RDBStorage) -> BaseStorage:
    """Return Optuna's cache over `backend`, remembering less of every trial."""
    from optuna.storages._cached_storage import _CachedStorage

    class LeanCache(_CachedStorage):
        def __init__(self, backend: RDBStorage) -> None:
            super().__init__(backend)
            self._shared: dict[str, BaseDistribution] = {}

        def _add_trials_to_cache(self, study_id: int, trials: Sequence[FrozenTrial]) -> None:
            for trial in trials:
                slim(trial, self._shared)
            super()._add_trials_to_cache(study_id, list(trials))

    return LeanCache(backend)


def slim(trial: FrozenTrial, shared: dict[str, BaseDistribution]) -> None:
    """Take the long texts out of `trial`, and give it those of its distributions that `shared` has already."""
    trial.distributions = {name: shared.setdefault(repr(each), each) for name, each in trial.distributions.items()}
    for name in LONG:
        trial.user_attrs.pop(name, None)
