"""Attributes of studies and trials as they are read: under their present names, with values of the expected type.

Earlier versions wrote other names; one notice per process reports them. A database of a colleague or of another
program may hold anything: a value of an unexpected type gets another name, and the depth of nesting is limited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from archsearch.notices import notice_once

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

OLD_STATES = {"answered": "duplicate", "refused": "infeasible", "withdrawn": "pruned"}
OLD_NAMES = {"answered_by": "duplicate_of", "beat": "heartbeat"}
OLD_STUDY_NAMES = {"declared": "declarations"}
NOTICE = "a study of an earlier version: its attributes are read under their present names (docs/search.md)"


def present_state(reason: Any) -> Any:
    """Return the present name of a `state_reason`."""
    if not isinstance(reason, str) or reason not in OLD_STATES:
        return reason
    notice_once(NOTICE)
    return OLD_STATES[reason]


def is_old(attrs: Mapping[str, Any]) -> bool:
    """Return whether an earlier version wrote these attributes of a trial."""
    reason = attrs.get("state_reason")
    return (isinstance(reason, str) and reason in OLD_STATES) or not OLD_NAMES.keys().isdisjoint(attrs)


def present_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a trial, and its state, under their present names."""
    found = dict(attrs)
    if is_old(attrs):
        notice_once(NOTICE)
        found = _renamed(attrs, OLD_NAMES)
        if "state_reason" in found:
            found["state_reason"] = present_state(found["state_reason"])
    return _usable(found, _OF_TRIAL)


def present_trial(trial: FrozenTrial) -> None:
    """Rename the attributes of an Optuna trial to their present names, in place."""
    if is_old(trial.user_attrs):
        trial.user_attrs = present_attrs(trial.user_attrs)


def present_study_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a study under their present names."""
    return _usable(_renamed(attrs, OLD_STUDY_NAMES), _OF_STUDY)


def _renamed(attrs: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return `attrs` with the old `names` replaced; present names take precedence."""
    return {names[name]: value for name, value in attrs.items() if name in names} | {
        name: value for name, value in attrs.items() if name not in names
    }


def objective_names(attrs: Mapping[str, Any], metric_names: object, count: int) -> tuple[str, ...]:
    """Return one name per objective: ours, those set by `set_metric_names`, or `value`."""
    for names in (attrs.get("objectives"), metric_names):
        if isinstance(names, list | tuple) and len(names) == count:
            return tuple(str(name) for name in names)
    return ("value",) if count == 1 else tuple(f"value_{place}" for place in range(count))


STRANGE = "unexpected value of "
"""Prefix for the name of an attribute whose value does not have the type that archsearch writes."""
DEEPEST = 20  # levels of lists and mappings
_LARGEST = 1e300  # differences of larger numbers overflow


def _usable(attrs: Mapping[str, Any], kinds: Mapping[str, Callable[[Any], bool]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in attrs.items():
        is_kind = kinds.get(name)
        known = is_kind is None or value is None or is_kind(value)
        found[name if known else f"{STRANGE}{name}"] = plain(value)
    return found


def plain(value: Any, depth: int = 0) -> Any:
    """Return a JSON value that every output can write: no lone surrogates, no deep nesting, no huge integers."""
    kind = type(value)  # JSON types have no subclasses, and `match` is slow for thousands of trials
    if kind is str:
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if kind is int:
        return value if abs(value) <= _LARGEST else str(value)
    if kind is not dict and kind is not list:
        return value
    if depth == DEEPEST:
        return "..."
    if kind is dict:
        return {plain(str(key)): plain(each, depth + 1) for key, each in value.items()}
    return [plain(each, depth + 1) for each in value]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_path(value: Any) -> bool:
    """Return whether `value` can be a path: each part has at most 255 bytes, and there is no null byte."""
    return (
        isinstance(value, str)
        and "\0" not in value
        and all(len(one.encode()) <= 255 for one in plain(value).split("/"))
    )


def is_usable_number(value: Any) -> bool:
    """Return whether `value` is a number that can be calculated with, NaN included."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) > _LARGEST


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_scalars(value: Any) -> bool:
    return isinstance(value, dict) and not any(isinstance(each, dict | list) for each in value.values())


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _is_counts(value: Any) -> bool:
    """Return whether `value` is what `InfeasibleCounts.as_json` returns."""
    return (
        isinstance(value, dict)
        and all(_is_count(value.get(name, 0)) for name in ("proposed", "feasible"))
        and isinstance(limits := value.get("by_limit", {}), dict)
        and all(map(_is_count, limits.values()))
    )


def _is_limits(value: Any) -> bool:
    """Return whether `value` maps limits to plain bounds: scalars, lists, or mappings of these."""
    if not isinstance(value, dict):
        return False
    bounds = [each for bound in value.values() for each in (bound.values() if isinstance(bound, dict) else (bound,))]
    return all(is_usable_number(each) or isinstance(each, str | list | bool | None) for each in bounds)


_OF_TRIAL: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("run_dir", "location"), _is_path),
    **dict.fromkeys(("key", "design_id", "design", "sweep", "worker", "state_reason", "traceback", "device"), _is_text),
    **dict.fromkeys(
        ("parameters", "macs", "receptive_field", "seconds", "heartbeat", "duplicate_of"), is_usable_number
    ),
    **dict.fromkeys(("accuracy", "test_accuracy", "seed", "epochs", "rung", "promoted_from"), is_usable_number),
    **dict.fromkeys(("assignments", "repairs", "versions"), _is_scalars),
    **dict.fromkeys(("unused", "base", "notices"), _is_texts),
    "screened": _is_counts,
}
_OF_STUDY: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("data", "data_fingerprint", "limits", "limits_hash", "token"), _is_text),
    "objectives": _is_texts,
    "limits_text": _is_limits,
    **dict.fromkeys(("data_settings", "declarations"), _is_mapping),
}


def present_margin(margin: Mapping[str, Any]) -> dict[str, Any]:
    """Return a margin under its present keys: earlier versions wrote `mends` for `fixes`."""
    return {"fixes" if name == "mends" else name: value for name, value in margin.items()}
