"""The verdict on assignments: composed, decoded, checked against the limits and, where that is asked, repaired.

Knows the design and its analysis; composition comes as a function. No torch, no hydra.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from archsearch.analysis.check import Checked, check_design
from archsearch.analysis.limits import Limits, decode_limits
from archsearch.design.spec import BlockLookup, BlockReader, decode_design
from archsearch.errors import SpecError
from archsearch.search.candidates import Value
from archsearch.search.features import features_of
from archsearch.search.job import Assignments, Verdict
from archsearch.search.repairs import changes, may_repair
from archsearch.search.studies import hash_of
from archsearch.settings.training import RESULT_NEUTRAL

Compose = Callable[[Mapping[str, Value]], Mapping[str, Any]]
"""From assignments to the plain, resolved configuration."""

TRAINING = ("augment", "optimizer", "schedule", "train", "seed")
STAGE_KEYS = ("block", "width", "repeats", "entry")


class Judge:
    """Judges assignments for one study; block files are decoded once, the composition does its own remembering."""

    def __init__(self, compose: Compose, blocks: BlockLookup, *, fingerprint: str, repair: bool = True) -> None:
        self._compose, self._fingerprint, self._repair = compose, fingerprint, repair
        self._reader = BlockReader(self._block)
        self._mappings: dict[str, Mapping[str, Any]] = {}
        self._limits: tuple[object, Limits] = (None, Limits())
        self._lookup = blocks

    def __call__(self, assignments: Assignments) -> Verdict:
        """Return the verdict; raises `SpecError` for a design that cannot be built."""
        tree, unused = self._composed(assignments)
        checked = self._check(tree)
        repairs: dict[str, Value] = {}
        if self._repair and not checked.kept and may_repair(checked):
            found = self._repaired(assignments, checked)
            tree, checked, repairs = found or (tree, checked, repairs)
        identity = checked.design_id if checked.kept else ""
        return Verdict(
            assignments=assignments,
            repairs=repairs,
            unused=unused,
            margins=checked.margins,
            key=trial_key(identity, tree, self._fingerprint) if checked.kept else "",
            design_id=identity,
            parameters=checked.footprint.parameters,
            macs=checked.footprint.macs,
            receptive_field=checked.footprint.receptive_field,
            features=features_of(checked.plan, checked.footprint) if checked.kept else {},
            experiment=(tree, checked),
        )

    def _composed(self, assignments: Assignments) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """Return the composition without the assignments that a stage's block has no use for, and their names."""
        tree = self._compose(assignments)
        stages = tree.get("arch", {}).get("stages", {})
        unused = tuple(
            name for name in assignments if name.startswith("arch.stages.") and not self._is_used(name, stages)
        )
        if not unused:
            return tree, ()
        stages = dict(stages)
        for name in unused:
            stage, option = name.split(".")[2:]
            stages[stage] = {key: value for key, value in stages[stage].items() if key != option}
        return {**tree, "arch": {**tree["arch"], "stages": stages}}, unused

    def _is_used(self, name: str, stages: Mapping[str, Any]) -> bool:
        """Return whether a stage's key means something to its block; no such key at all is left to decoding."""
        parts = name.split(".")
        stage = stages.get(parts[2])
        if len(parts) != 4 or parts[3] in STAGE_KEYS or not isinstance(stage, Mapping):
            return True
        entry = stage.get("entry")
        return self._takes(stage, parts[3]) or (isinstance(entry, Mapping) and self._takes(entry, parts[3]))

    def _takes(self, use: Mapping[str, Any], option: str) -> bool:
        block = use.get("block")
        if isinstance(block, str):
            block = self._block(block)
        return isinstance(block, Mapping) and option in block.get("defaults_of", {})

    def _repaired(
        self, assignments: Assignments, checked: Checked
    ) -> tuple[Mapping[str, Any], Checked, dict[str, Value]] | None:
        """Return the first small change that keeps every limit, or None where none does."""
        for change in changes(checked):
            try:
                tree, _ = self._composed({**assignments, **change})
                again = self._check(tree)
                if again.kept and self._kept_at(checked.design.width, again, tree):
                    return tree, again, change
            except SpecError:
                continue
        return None

    def _kept_at(self, width: float | str, checked: Checked, tree: Mapping[str, Any]) -> bool:
        """Return whether the limits are kept at `width` as well: a dilation costs nothing, so it should be the same."""
        if checked.design.width == width:
            return True
        return self._check({**tree, "arch": {**tree["arch"], "width": width}}).kept

    def _check(self, tree: Mapping[str, Any]) -> Checked:
        design = decode_design(tree.get("arch"), self._reader)
        return check_design(design, self._limits_of(tree.get("constraints")))

    def _limits_of(self, raw: object) -> Limits:
        if raw is not self._limits[0]:
            self._limits = (raw, decode_limits(raw))
        return self._limits[1]

    def _block(self, name: str) -> Mapping[str, Any]:
        if name not in self._mappings:
            self._mappings[name] = self._lookup(name)
        return self._mappings[name]


def trial_key(design_id: str, tree: Mapping[str, Any], fingerprint: str) -> str:
    """Return 16 digits that trainings share which give the same result: design, training settings, data."""
    said = {name: tree.get(name) for name in TRAINING}
    if isinstance(said["train"], Mapping):
        said["train"] = {key: value for key, value in said["train"].items() if key not in RESULT_NEUTRAL}
    return hash_of([design_id, json.dumps(said, sort_keys=True, default=str), fingerprint])
