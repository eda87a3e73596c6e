"""A cache of trials that stays small: distributions and names are shared, and long texts are left in the database.

Imports optuna inside functions only.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from archsearch.search.dashboard import MARGIN, OLDER

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.storages import BaseStorage, RDBStorage
    from optuna.trial import FrozenTrial

    Whole = dict[tuple[tuple[str, int], ...], dict[str, BaseDistribution]]

LONG = ("design", "margins", "versions", "traceback", "notices", "base")
"""Attributes that a search does not read; nor does it those of single margins."""


def lean_cache(backend: RDBStorage) -> BaseStorage:
    """Return Optuna's cache over `backend`, remembering less of every trial."""
    from optuna.storages._cached_storage import _CachedStorage

    class LeanCache(_CachedStorage):
        def __init__(self, backend: RDBStorage) -> None:
            super().__init__(backend)
            self._shared: dict[str, BaseDistribution] = {}
            self._whole: Whole = {}

        def _add_trials_to_cache(self, study_id: int, trials: Sequence[FrozenTrial]) -> None:
            for trial in trials:
                slim(trial, self._shared, self._whole)
            super()._add_trials_to_cache(study_id, list(trials))

    return LeanCache(backend)


def slim(trial: FrozenTrial, shared: dict[str, BaseDistribution], whole: Whole) -> None:
    """Take the long texts out of `trial`, and give it those of its distributions and names that are there already.

    `shared` are single distributions by what they say, `whole` those of a trial by the single ones.
    """
    each_once = {sys.intern(name): shared.setdefault(repr(each), each) for name, each in trial.distributions.items()}
    trial.distributions = whole.setdefault(tuple((name, id(each)) for name, each in each_once.items()), each_once)
    trial.user_attrs = {
        name: value for name, value in trial.user_attrs.items() if name not in LONG and not name.startswith(MARGIN)
    }
    trial.system_attrs.pop(OLDER, None)
    trial.params, trial.user_attrs = _interned(trial.params), _interned(trial.user_attrs)
    trial.system_attrs = _interned(trial.system_attrs)


def _interned(value: Any) -> Any:
    """Return plain values whose texts are shared with all equal ones."""
    if isinstance(value, dict):
        return {sys.intern(str(name)): _interned(each) for name, each in value.items()}
    return sys.intern(value) if type(value) is str else value
