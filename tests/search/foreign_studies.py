"""Studies as other programs make them with plain Optuna: none of our attributes, and everything odd."""

from __future__ import annotations

from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from archsearch.search.storage.database import Store

HOSTILE = "[red]<b>x</b>[/] $1"


def make_foreign(store: Store, name: str = HOSTILE) -> None:
    study = optuna.create_study(storage=store.storage, study_name=name, directions=["minimize", "maximize"])
    distributions = {
        "units": IntDistribution(1, 64, log=True),
        "rate": FloatDistribution(0.0, 1.0),
        "kind": CategoricalDistribution(("a", None, 3)),
    }
    params = {"units": 16, "rate": 0.5, "kind": None}
    made: dict[str, Any] = {"params": params, "distributions": distributions}
    study.add_trial(create_trial(values=[1.0, 2.0], **made))
    study.add_trial(create_trial(values=[float("inf"), 3.0], **made, intermediate_values={0: float("nan"), 2: 0.25}))
    study.add_trial(create_trial(state=TrialState.FAIL, **made, user_attrs={"margins": "no JSON", "seconds": "long"}))
    study.add_trial(create_trial(state=TrialState.WAITING))
    study.add_trial(create_trial(state=TrialState.RUNNING, system_attrs={"constraints": [0.5, -1.0]}))


def make_empty(store: Store, name: str = "empty") -> None:
    optuna.create_study(storage=store.storage, study_name=name)
