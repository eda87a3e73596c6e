"""Write many trials in one transaction: a trial appears with all of its attributes or not at all.

Optuna's own call sends a statement for each parameter, which takes ten times as long. This module and `queries`
access Optuna's tables directly. Imports optuna and sqlalchemy inside functions only.
"""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from archsearch.search.storage.database import Store
from archsearch.search.storage.declarations import Declaration
from archsearch.search.storage.optuna_internals import models
from archsearch.search.storage.rows import NUMBER_PLACE, Row, State


def insert_study(
    store: Store, name: str, directions: Sequence[str], attrs: Mapping[str, Any], system: Mapping[str, Any]
) -> None:
    """Create a study with its attributes, in one transaction; call it inside `store.lock()`.

    A journal has no transactions: its attributes are written one by one.
    """
    from optuna.study import StudyDirection

    ways = [StudyDirection[each.upper()] for each in directions]
    if store.engine is None:
        complete_study(store, store.storage.create_new_study(ways, name), attrs, system)
        return
    studies, of_study, *kinds = (
        getattr(models(), f"Study{kind}Model").__table__
        for kind in ("", "Direction", "UserAttribute", "SystemAttribute")
    )
    with store.engine.begin() as connection:
        study_id = connection.execute(studies.insert().values(study_name=name)).inserted_primary_key[0]
        entries = [{"study_id": study_id, "objective": place, "direction": way} for place, way in enumerate(ways)]
        connection.execute(of_study.insert(), entries)
        for table, given in zip(kinds, (attrs, system), strict=True):
            entries = [{"study_id": study_id, "key": key, "value_json": json.dumps(one)} for key, one in given.items()]
            connection.execute(table.insert(), entries)


def complete_study(store: Store, study_id: int, attrs: Mapping[str, Any], system: Mapping[str, Any]) -> None:
    """Write the attributes of an existing study; call it inside `store.lock()`."""
    for key, value in system.items():
        store.storage.set_study_system_attr(study_id, key, value)
    for key, value in attrs.items():
        store.storage.set_study_user_attr(study_id, key, value)


def insert_rows(
    store: Store, study_id: int, rows: Sequence[Row], declarations: Mapping[str, Declaration]
) -> list[tuple[int, int]]:
    """Write `rows` and return (trial id, trial number) of each; call it inside `store.lock()`."""
    if not rows:
        return []
    if store.engine is None:
        return [_insert_one(store, study_id, row, declarations) for row in rows]
    import sqlalchemy
    from optuna.distributions import distribution_to_json
    from optuna.trial import TrialState

    tables = {name: getattr(models(), f"{name}Model").__table__ for name in _TABLES}
    texts = {name: distribution_to_json(each.distribution()) for name, each in declarations.items()}
    more: dict[str, list[dict[str, Any]]] = {name: [] for name in _TABLES}
    written: list[tuple[int, int]] = []
    with store.engine.begin() as connection:
        study = models().StudyModel.__table__
        connection.execute(sqlalchemy.select(study.c.study_id).where(study.c.study_id == study_id).with_for_update())
        trials = models().TrialModel.__table__
        count = sqlalchemy.select(sqlalchemy.func.count(trials.c.trial_id)).where(trials.c.study_id == study_id)
        first = connection.execute(count).scalar_one()
        for number, row in enumerate(rows, first):
            now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
            start = row.started.astimezone(datetime.UTC).replace(tzinfo=None) if row.started else now
            inserted = connection.execute(
                trials.insert().values(
                    number=number,
                    study_id=study_id,
                    state=TrialState[row.state.upper()],
                    datetime_start=None if row.state == "waiting" else start,
                    datetime_complete=None if row.state in ("waiting", "running") else now,
                )
            )
            trial_id = inserted.inserted_primary_key[0]
            written.append((trial_id, number))
            for name, entries in _entries(_numbered(row, number), declarations, texts).items():
                more[name] += [{"trial_id": trial_id, **entry} for entry in entries]
        for name, entries in more.items():
            if entries:
                connection.execute(tables[name].insert(), entries)
    return written


def finish_row(
    store: Store, trial_id: int, state: State, attrs: Mapping[str, Any], values: Sequence[float] | None = None
) -> None:
    """End a trial with attributes and values, in one transaction unless in a journal; call it inside `store.lock()`."""
    from optuna.trial import TrialState

    if store.engine is None:
        for key, value in attrs.items():
            store.storage.set_trial_user_attr(trial_id, key, value)
        store.storage.set_trial_state_values(trial_id, TrialState[state.upper()], values)
        return
    trials, attributes, numbers = (
        each.__table__ for each in (models().TrialModel, models().TrialUserAttributeModel, models().TrialValueModel)
    )
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    with store.engine.begin() as connection:
        connection.execute(
            attributes.delete().where(attributes.c.trial_id == trial_id, attributes.c.key.in_(list(attrs)))
        )
        entries = [{"trial_id": trial_id, "key": key, "value_json": json.dumps(each)} for key, each in attrs.items()]
        connection.execute(attributes.insert(), entries)
        if values is not None:
            connection.execute(numbers.delete().where(numbers.c.trial_id == trial_id))
            connection.execute(numbers.insert(), [{"trial_id": trial_id, **each} for each in _values(values)])
        changed = trials.update().where(trials.c.trial_id == trial_id)
        connection.execute(changed.values(state=TrialState[state.upper()], datetime_complete=now))


def release_row(store: Store, trial_id: int, worker: str) -> None:
    """Put the running trial of `worker` back into the queue; call it inside `store.lock()`."""
    from optuna.trial import TrialState

    store.storage.set_trial_user_attr(trial_id, "released", worker)
    store.storage.set_trial_user_attr(trial_id, "worker", "")
    store.storage.set_trial_state_values(trial_id, TrialState.WAITING)


def read_attrs(store: Store, trial_id: int, names: Sequence[str]) -> dict[str, Any]:
    """Return only the attributes `names` of a trial, read from the database."""
    if store.engine is None:
        found = store.storage.get_trial_user_attrs(trial_id)
        return {name: found[name] for name in names if name in found}
    import sqlalchemy

    table = models().TrialUserAttributeModel.__table__
    wanted = sqlalchemy.select(table.c.key, table.c.value_json).where(
        table.c.trial_id == trial_id, table.c.key.in_(names)
    )
    with store.engine.connect() as connection:
        return {key: json.loads(value) for key, value in connection.execute(wanted)}


def widen_declarations(store: Store, study_id: int, changed: Mapping[str, Declaration]) -> None:
    """Store the widened declarations with the parameters of all trials; a journal does not need this."""
    if store.engine is None or not changed:
        return
    import sqlalchemy
    from optuna.distributions import distribution_to_json

    table, trials = models().TrialParamModel.__table__, models().TrialModel.__table__
    of_study = sqlalchemy.select(trials.c.trial_id).where(trials.c.study_id == study_id)
    with store.engine.begin() as connection:
        for name, declaration in changed.items():
            connection.execute(
                table.update()
                .where(table.c.param_name == name, table.c.trial_id.in_(of_study))
                .values(distribution_json=distribution_to_json(declaration.distribution()))
            )


def _numbered(row: Row, number: int) -> Row:
    """Return the row with the trial's number in its `run_dir`."""
    folder = row.attrs.get("run_dir")
    if not isinstance(folder, str) or NUMBER_PLACE not in folder:
        return row
    return replace(row, attrs={**row.attrs, "run_dir": folder.replace(NUMBER_PLACE, f"{number:04d}")})


_TABLES = ("TrialParam", "TrialUserAttribute", "TrialSystemAttribute", "TrialValue", "TrialIntermediateValue")


def _entries(
    row: Row, declarations: Mapping[str, Declaration], texts: Mapping[str, str]
) -> dict[str, list[dict[str, Any]]]:
    steps = models().TrialIntermediateValueModel
    found: dict[str, list[dict[str, Any]]] = {
        "TrialParam": [
            {"param_name": name, "param_value": declarations[name].internal(value), "distribution_json": texts[name]}
            for name, value in row.params.items()
        ],
        "TrialUserAttribute": [{"key": key, "value_json": json.dumps(value)} for key, value in row.attrs.items()],
        "TrialSystemAttribute": [
            {"key": key, "value_json": json.dumps(value)} for key, value in row.all_system().items()
        ],
        "TrialValue": _values(row.values or ()),
        "TrialIntermediateValue": [],
    }
    for step, value in row.history.items():
        stored, kind = steps.intermediate_value_to_stored_repr(value)
        found["TrialIntermediateValue"].append(
            {"step": step, "intermediate_value": stored, "intermediate_value_type": kind}
        )
    return found


def _values(values: Sequence[float]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for objective, value in enumerate(values):
        stored, kind = models().TrialValueModel.value_to_stored_repr(value)
        found.append({"objective": objective, "value": stored, "value_type": kind})
    return found


def _insert_one(store: Store, study_id: int, row: Row, declarations: Mapping[str, Declaration]) -> tuple[int, int]:
    from optuna.trial import FrozenTrial, TrialState

    now = datetime.datetime.now(datetime.UTC).astimezone().replace(tzinfo=None)
    finished = row.state not in ("waiting", "running")
    values = list(row.values) if row.values is not None and not any(math.isnan(v) for v in row.values) else None
    template = FrozenTrial(
        number=-1,
        trial_id=-1,
        state=TrialState[row.state.upper()],
        value=None,
        values=values,
        datetime_start=None if row.state == "waiting" else now,
        datetime_complete=now if finished else None,
        params=dict(row.params),
        distributions={name: declarations[name].distribution() for name in row.params},
        user_attrs=dict(row.attrs),
        system_attrs=row.all_system(),
        intermediate_values=dict(row.history),
    )
    row = _numbered(row, len(store.storage.get_all_trials(study_id, deepcopy=False)))
    template.user_attrs = dict(row.attrs)
    trial_id = store.storage.create_new_trial(study_id, template)
    return trial_id, store.storage.get_trial_number_from_id(trial_id)
