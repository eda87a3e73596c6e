"""Attributes as earlier versions wrote them, read under their present names with one notice per process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archsearch.notices import notice_once

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
    """Return the attributes of a trial under their present names, with the present name of its state."""
    if not is_old(attrs):
        return dict(attrs)
    notice_once(NOTICE)
    found = {OLD_NAMES[name]: value for name, value in attrs.items() if name in OLD_NAMES}
    found |= {name: value for name, value in attrs.items() if name not in OLD_NAMES}  # present names win
    if "state_reason" in found:
        found["state_reason"] = present_state(found["state_reason"])
    return found


def present_study_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a study under their present names."""
    found = {OLD_STUDY_NAMES[name]: value for name, value in attrs.items() if name in OLD_STUDY_NAMES}
    return {**found, **{name: value for name, value in attrs.items() if name not in OLD_STUDY_NAMES}}


def present_margin(margin: Mapping[str, Any]) -> dict[str, Any]:
    """Return a margin as it is stored now: `fixes` were `mends`."""
    return {"fixes" if name == "mends" else name: value for name, value in margin.items()}
