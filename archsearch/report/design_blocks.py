"""Which block stands in which stage of a trial's design, by name. Imports yaml inside functions; no torch."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from archsearch.config_folder import config_folder
from archsearch.decode import is_mapping
from archsearch.search.storage.read import TrialRead


def read_design(trial: TrialRead) -> Mapping[str, Any] | None:
    """Return the mapping of the trial's design, None where it has none that can be read."""
    text = trial.attrs.get("design")
    if not isinstance(text, str):
        return None
    found = _load(text)
    return found if is_mapping(found) else None


def blocks_of(trial: TrialRead) -> dict[str, str]:
    """Return the name of each stage's block, in order; empty where the trial has no design.

    A design holds its blocks whole, and those that came by `${block}` without a name: they are recognised.
    """
    design = read_design(trial)
    stages = design.get("stages") if design is not None else None
    return {str(name): _name(stage) for name, stage in stages.items()} if is_mapping(stages) else {}


def say_blocks(blocks: Mapping[str, str]) -> str:
    """Return blocks in one line: `normal` where all stages share it, else `c1 normal, c2-c3 dilated`."""
    if len(set(blocks.values())) == 1:
        return next(iter(blocks.values()))
    parts: list[tuple[list[str], str]] = []
    for stage, block in blocks.items():
        if parts and parts[-1][1] == block:
            parts[-1][0].append(stage)
        else:
            parts.append(([stage], block))
    return ", ".join(f"{names[0]}{f'-{names[-1]}' if len(names) > 1 else ''} {block}" for names, block in parts)


def _name(stage: Any) -> str:
    block = stage.get("block") if is_mapping(stage) else None
    if isinstance(block, str):
        return block
    if not is_mapping(block):
        return "?"
    return str(block.get("name") or "") or _shipped().get(_identity(block), "of its own")


@functools.cache
def _shipped() -> dict[str, str]:
    """Return the names of the shipped blocks by what they are."""
    found: dict[str, str] = {}
    for file in sorted((config_folder() / "block").glob("*.yaml")):
        block = _load(file.read_text(encoding="utf-8"))
        if is_mapping(block):
            found.setdefault(_identity(block), file.stem)
    return found


def _identity(block: Mapping[str, Any]) -> str:
    said = {key: value for key, value in block.items() if key != "name"}
    return json.dumps(said, sort_keys=True, default=str)


def _load(text: str) -> Any:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where it is built in
    try:
        return yaml.load(text, Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
