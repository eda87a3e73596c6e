"""Create and open studies by name, one per data set and limits; incomparable results are never mixed.

Imports optuna inside functions only.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archsearch.errors import SpecError
from archsearch.overrides import assign
from archsearch.search.space import Value
from archsearch.search.storage.attributes import objective_names, present_study_attrs, present_trial
from archsearch.search.storage.dashboard import limits_note
from archsearch.search.storage.database import Store, StudyLost, readable_errors
from archsearch.search.storage.declarations import Declaration, of_value, widened
from archsearch.search.storage.rows import Row
from archsearch.search.storage.write import complete_study, insert_rows, insert_study, widen_declarations
from archsearch.search.task import hash_of
from archsearch.settings.objectives import Direction, objective, require_objective

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """An open study; trials are written through it or through Optuna's own API."""

    store: Store
    name: str
    objectives: tuple[str, ...]
    study_id: int
    raw: optuna.Study = field(repr=False)

    @property
    def directions(self) -> tuple[Direction, ...]:
        """`maximize` or `minimize` for each objective."""
        return tuple("maximize" if each.name == "MAXIMIZE" else "minimize" for each in self.raw.directions)

    def trials(self) -> list[FrozenTrial]:
        """Return all trials in order; the cache shares them, so they must not be changed.

        Raises `StudyLost` if the database file is not the one that was opened, or no longer has this study.
        """
        self.store.require_present()
        try:
            found = self.raw.get_trials(deepcopy=False)
        except KeyError:
            raise StudyLost(f"the study '{self.name}' was deleted from {self.store.address}") from None
        if self.store.engine is None:  # a journal; other storages do it once, when they cache a trial
            for trial in found:
                present_trial(trial)
        return found

    def write(self, rows: Sequence[Row], declarations: Mapping[str, Declaration] | None = None) -> list[int]:
        """Acquire the study's lock, write the trials and return their numbers.

        Raises `StorageError` if the database does not answer.
        """
        with readable_errors(self.store.address), self.store.lock():
            return [number for _, number in self.write_locked(rows, declarations)]

    def write_locked(
        self, rows: Sequence[Row], declarations: Mapping[str, Declaration] | None = None
    ) -> list[tuple[int, int]]:
        """Write trials and return (id, number) of each; the caller must hold the study's lock."""
        if not rows:
            return []
        declarations = self._declare(rows, declarations or {})
        kept = [_with_params(row, declarations) for row in rows]
        return insert_rows(self.store, self.study_id, kept, declarations)

    def _declare(self, rows: Iterable[Row], given: Mapping[str, Declaration]) -> dict[str, Declaration]:
        raw = present_study_attrs(self.raw.user_attrs).get("declarations", {})
        old = {name: Declaration.from_json(each) for name, each in raw.items()}
        new = dict(old)
        for row in rows:
            for name, value in row.params.items():
                for wanted in ([given[name]] if name in given else []) + [of_value(value)]:
                    if name not in new or not _covers(new[name], wanted):
                        new[name] = widened(new.get(name), wanted) or new[name]
        changed = {name: each for name, each in new.items() if old.get(name) != each}
        if changed:
            widen_declarations(self.store, self.study_id, {name: each for name, each in changed.items() if name in old})
            self.raw.set_user_attr("declarations", {name: each.as_json() for name, each in new.items()})
        return new


def open_study(
    store: Store,
    name: str | None = None,
    *,
    data: str,
    fingerprint: str,
    limits: str,
    limits_text: object = None,
    objectives: Sequence[str] = ("accuracy",),
    data_settings: Mapping[str, Any] | None = None,
) -> Study:
    """Return the study `name`, created if it is missing; None selects the study of the data, limits and objectives.

    `data` and `limits` are names, `fingerprint` is that of the data, `limits_text` the limits as plain values, and
    `data_settings` the settings that the images were read with. Raises `SpecError` if the study of that name has
    other data, limits or objectives, or belongs to another program, because incomparable results are never mixed;
    `StorageError` if the database does not answer.
    """
    for one in objectives:
        require_objective(one)
    if not objectives or len(set(objectives)) != len(objectives):
        raise SpecError("study.objectives", "must list at least one objective, without repetition")
    attrs = {
        "data": data,
        "limits": limits,
        "limits_text": limits_text,
        "data_settings": dict(data_settings or {}),
        "data_fingerprint": fingerprint,
        "limits_hash": hash_of(limits_text),
        "objectives": list(objectives),
    }
    with readable_errors(store.address), store.lock():
        if name is not None:
            return _load(store, name, attrs) or _create(store, name, attrs)
        plain = "-".join([data, limits, *([] if tuple(objectives) == ("accuracy",) else objectives)])
        detailed = f"{plain}-{hash_of([fingerprint, attrs['limits_hash']])[:6]}"
        found = _id_of(store, plain)
        chosen = plain if found is None or not _difference(store, found, attrs) else detailed
        return _load(store, chosen, attrs) or _create(store, chosen, attrs)


def load_study(store: Store, name: str) -> Study:
    """Return the study `name`; raises `SpecError`, with the names of all studies, if it is missing."""
    import optuna

    if (study_id := _id_of(store, name)) is None:
        names = ", ".join(study_names(store)) or "none"
        raise SpecError("study.name", f"there is no study '{name}' at {store.address}", f"Its studies: {names}.")
    raw = optuna.load_study(storage=store.storage, study_name=name)
    objectives = objective_names(raw.user_attrs, raw.metric_names, len(raw.directions))
    return Study(store=store, name=name, objectives=objectives, study_id=study_id, raw=raw)


def study_names(store: Store) -> list[str]:
    """Return the names of all studies in the database."""
    return [study.study_name for study in store.storage.get_all_studies()]


def _id_of(store: Store, name: str) -> int | None:
    try:
        return store.storage.get_study_id_from_name(name)
    except KeyError:
        return None


def _load(store: Store, name: str, attrs: Mapping[str, Any]) -> Study | None:
    """Return the study `name`, completed if its creation was interrupted; None if it does not exist."""
    if (study_id := _id_of(store, name)) is None:
        return None
    if difference := _difference(store, study_id, attrs):
        raise SpecError(
            "study.name",
            f"the study '{name}' has {difference}, which cannot be compared",
            "Choose another name: study.name=...",
        )
    if _is_blank(store, study_id):
        complete_study(store, study_id, *_all_attrs(attrs))
    return load_study(store, name)


def _create(store: Store, name: str, attrs: Mapping[str, Any]) -> Study:
    insert_study(store, name, _directions(attrs), *_all_attrs(attrs))
    return load_study(store, name)


def _all_attrs(attrs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the user attributes of a new study, and the system attributes for Optuna and its dashboard.

    The token keeps the folders of studies of the same name in two databases apart.
    """
    system = {"study:metric_names": attrs["objectives"], **limits_note(attrs["limits"], attrs["limits_text"])}
    return {**attrs, "token": secrets.token_hex(4)}, system


def _directions(attrs: Mapping[str, Any]) -> list[Direction]:
    return [objective(one).direction for one in attrs["objectives"]]


_COMPARED = ("data_fingerprint", "limits_hash", "objectives")
"""Results are comparable only if these attributes of their studies are equal."""


def _is_blank(store: Store, study_id: int) -> bool:
    """Return whether a study was created, by any program, but not used: it lacks compared attributes and trials."""
    attrs = store.storage.get_study_user_attrs(study_id)
    return not all(name in attrs for name in _COMPARED) and store.storage.get_n_trials(study_id) == 0


def _difference(store: Store, study_id: int, new: Mapping[str, Any]) -> str:
    """Return in words why results of `new` cannot be compared with the study's; empty if they can."""
    old = store.storage.get_study_user_attrs(study_id)
    directions = [each.name.lower() for each in store.storage.get_study_directions(study_id)]
    if directions != _directions(new):
        return f"other objectives ({', '.join(map(str, old.get('objectives') or directions))})"
    if _is_blank(store, study_id):
        return ""
    if "data_fingerprint" not in old:
        return "trials of unknown data (another program's, or recorded while it was not completely created)"
    images = _differing(old.get("data_settings"), new["data_settings"]) or old["data_fingerprint"]
    texts = {
        "data_fingerprint": f"other images ({old.get('data')}, {images})",
        "limits_hash": f"other limits ({old.get('limits')})",
        "objectives": f"other objectives ({', '.join(map(str, old.get('objectives') or []))})",
    }
    return " and ".join(text for key, text in texts.items() if key in old and old[key] != new[key])


def _differing(old: object, new: Mapping[str, Any]) -> str:
    """Return the `old` data settings whose values differ in `new`; empty if they are not recorded."""
    pairs = old.items() if isinstance(old, dict) else ()
    return " ".join(assign(f"data.{name}", value) for name, value in pairs if new.get(name, value) != value)


def _covers(old: Declaration, new: Declaration) -> bool:
    if new.kind == "choice":
        return all(old.admits(option) for option in new.options)
    return widened(old, new) == old


def _with_params(row: Row, declarations: Mapping[str, Declaration]) -> Row:
    from dataclasses import replace

    params: dict[str, Value] = {name: value for name, value in row.params.items() if declarations[name].admits(value)}
    return replace(row, params=params, attrs={"assignments": dict(row.params), **row.attrs})
