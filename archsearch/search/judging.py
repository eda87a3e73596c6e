"""The verdict on assignments: composed, decoded, checked against the limits and, where that is asked, repaired.

Knows the design and its analysis; composition comes as a function. No torch, no hydra.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from archsearch.analysis.check import Checked, check_design
from archsearch.analysis.limits import Limits, decode_limits
from archsearch.design.spec import BlockLookup, BlockReader, DesignSpec, decode_design
from archsearch.errors import SpecError
from archsearch.search.candidates import Value
from archsearch.search.features import features_of
from archsearch.search.job import Assignments, Verdict
from archsearch.search.studies import hash_of

Compose = Callable[[Mapping[str, Value]], Mapping[str, Any]]
"""From assignments to the plain, resolved configuration."""

TRAINING = ("augment", "optimizer", "schedule", "train", "seed")
# Where and how a training runs, but not what comes out of it.
HOW = ("device", "threads", "compile", "channels_last", "eval_batch_size", "checkpoint_every", "checkpoint_seconds")
HOW_TOO = ("keep_checkpoint", "kernels", "tta")
STAGE_KEYS = ("block", "width", "repeats", "entry")
REPAIRABLE = frozenset({"receptive_field", "contains", "downsampling"})
DILATIONS = (2, 3, 4, 6, 8)


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
        design, checked = self._check(tree)
        repairs: dict[str, Value] = {}
        if self._repair and not checked.kept and self._may_repair(checked):
            found = self._repaired(assignments, design, checked)
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
        unused = tuple(
            name for name in assignments if name.startswith("arch.stages.") and not self._is_used(name, tree)
        )
        if not unused:
            return tree, ()
        stages = dict(tree["arch"]["stages"])
        for name in unused:
            stage, option = name.split(".")[2:]
            stages[stage] = {key: value for key, value in stages[stage].items() if key != option}
        return {**tree, "arch": {**tree["arch"], "stages": stages}}, unused

    def _is_used(self, name: str, tree: Mapping[str, Any]) -> bool:
        """Return whether a stage's key means something to its block; no such key at all is left to decoding."""
        parts = name.split(".")
        stage = tree.get("arch", {}).get("stages", {}).get(parts[2])
        if len(parts) != 4 or parts[3] in STAGE_KEYS or not isinstance(stage, Mapping):
            return True
        uses = [stage, *([stage["entry"]] if isinstance(stage.get("entry"), Mapping) else [])]
        blocks = [self._block(use["block"]) if isinstance(use.get("block"), str) else use.get("block") for use in uses]
        return any(isinstance(block, Mapping) and parts[3] in block.get("defaults_of", {}) for block in blocks)

    def _repaired(
        self, assignments: Assignments, design: DesignSpec, checked: Checked
    ) -> tuple[Mapping[str, Any], Checked, dict[str, Value]] | None:
        """Return the first small change that keeps every limit, or None where none does."""
        # A dilation costs no parameter, so the width that was fitted is tried with it, and fitted again at the end.
        fitted: dict[str, Value] = {"arch.width": checked.design.width} if design.width == "fit" else {}
        for change in _repairs(design):
            try:
                if self._check(self._composed({**assignments, **fitted, **change})[0])[1].kept:
                    tree, _ = self._composed({**assignments, **change})
                    again = self._check(tree)[1]
                    if again.kept:
                        return tree, again, change
            except SpecError:
                continue
        return None

    def _check(self, tree: Mapping[str, Any]) -> tuple[DesignSpec, Checked]:
        design = decode_design(tree.get("arch"), self._reader)
        return design, check_design(design, self._limits_of(tree.get("constraints")))

    def _limits_of(self, raw: object) -> Limits:
        if raw is not self._limits[0]:
            self._limits = (raw, decode_limits(raw))
        return self._limits[1]

    def _block(self, name: str) -> Mapping[str, Any]:
        if name not in self._mappings:
            self._mappings[name] = self._lookup(name)
        return self._mappings[name]

    @staticmethod
    def _may_repair(checked: Checked) -> bool:
        broken = {margin.limit for margin in checked.margins if not margin.kept}
        above = all(
            margin.found < next(iter(margin.bound.values()))
            for margin in checked.margins
            if margin.limit == "receptive_field" and not margin.kept and ("above" in margin.bound)
        )
        return broken <= REPAIRABLE and above


def trial_key(design_id: str, tree: Mapping[str, Any], fingerprint: str) -> str:
    """Return 16 digits that trainings share which give the same result: design, training settings, data."""
    said = {name: tree.get(name) for name in TRAINING}
    if isinstance(said["train"], Mapping):
        said["train"] = {key: value for key, value in said["train"].items() if key not in (*HOW, *HOW_TOO)}
    return hash_of([design_id, json.dumps(said, sort_keys=True, default=str), fingerprint])


def _repairs(design: DesignSpec) -> Iterator[dict[str, Value]]:
    """Yield changes of one stage's dilation, the smallest and the latest stage first: none costs a parameter."""
    for dilation in DILATIONS:
        for stage in reversed(design.stages):
            there = stage.use.options.get("dilation", stage.use.block.defaults.get("dilation"))
            if isinstance(there, int) and there < dilation and stage.repeats > 0:
                yield {f"arch.stages.{stage.name}.dilation": dilation}
