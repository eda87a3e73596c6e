"""Attributes of trials as earlier versions wrote them, and their present names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OLD_STATES = {"answered": "duplicate", "refused": "infeasible", "withdrawn": "pruned"}
OLD_NAMES = {"answered_by": "duplicate_of", "beat": "heartbeat"}


def present_state(reason: Any) -> Any:
    """Return the present word for a `state_reason`."""
    return OLD_STATES.get(reason, reason) if isinstance(reason, str) else reason


def is_old(attrs: Mapping[str, Any]) -> bool:
    """Return whether an earlier version wrote these attributes."""
    return present_state(attrs.get("state_reason")) != attrs.get("state_reason") or bool(
        OLD_NAMES.keys() & attrs.keys()
    )


def present_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a trial under their present names, with the present word for its state."""
    found = {OLD_NAMES.get(name, name): value for name, value in attrs.items()}
    if "state_reason" in found:
        found["state_reason"] = present_state(found["state_reason"])
    return found


def present_margin(margin: Mapping[str, Any]) -> dict[str, Any]:
    """Return a margin as it is stored now: `fixes` were `mends`."""
    return {"fixes" if name == "mends" else name: value for name, value in margin.items()}
