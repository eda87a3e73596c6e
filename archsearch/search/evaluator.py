"""The evaluation of a proposed design: composition, decoding, the check against the limits, and repair if enabled.

The function that composes configurations is an argument. Imports no torch and no hydra.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Sequence as Listed
from fractions import Fraction
from typing import Any

from archsearch.analysis.check import Checked, check_design
from archsearch.analysis.limits import Limits, decode_limits
from archsearch.analysis.measure import Footprint
from archsearch.analysis.repairs import changes, may_repair
from archsearch.analysis.seconds import Predictor
from archsearch.design.layers import Conv
from archsearch.design.plan import Layer, Parallel, Plan, Sequence
from archsearch.design.spec import STAGE_KEYS, BlockLookup, BlockReader, decode_design, options_taken
from archsearch.errors import SpecError
from archsearch.search.space import Value
from archsearch.search.task import Assignments, Candidate, trial_key

Compose = Callable[[Mapping[str, Value]], Mapping[str, Any]]
"""Returns the plain, resolved configuration with some assignments."""

LOG_SECONDS = "log_train_seconds"
"""The name of the feature that holds the logarithm of the predicted training time in seconds."""


class Evaluator:
    """Evaluates assignments for one study; each block file is decoded once, `compose` has its own cache."""

    def __init__(
        self,
        compose: Compose,
        blocks: BlockLookup,
        *,
        fingerprint: str,
        repair: bool = True,
        precision: Callable[[Mapping[str, Any]], str | None] = lambda tree: None,
        predictor: Callable[[Mapping[str, Any]], Predictor | None] = lambda tree: None,
    ) -> None:
        """Create the evaluator of a study whose data have the `fingerprint`.

        `precision` maps a configuration to the precision that `train.precision` resolves to on this machine.
        `predictor` maps it to the predictor of its training time, or to None if no setting needs the time.
        """
        self._compose, self._fingerprint, self._repair, self._precision = compose, fingerprint, repair, precision
        self._predictor = predictor
        self._reader = BlockReader(self._block)
        self._mappings: dict[str, Mapping[str, Any]] = {}
        self._limits: tuple[object, Limits] = (None, Limits())
        self._lookup = blocks

    def __call__(self, assignments: Assignments) -> Candidate:
        """Return the candidate of `assignments`; raises `SpecError` for a design that cannot be built."""
        tree, unused = self._composed(assignments)
        checked = self._check(tree)
        repairs: dict[str, Value] = dict.fromkeys(self._overridden(unused, assignments))
        if self._repair and not checked.kept and may_repair(checked):
            found = self._repaired(assignments, checked)
            tree, checked, change = found or (tree, checked, {})
            repairs |= change
        if tree["arch"].get("width") == "fit" and self._limits_of(tree.get("constraints")).train_seconds is not None:
            repairs["arch.width"] = checked.design.width  # later predictions would give another width
        identity = checked.design_id if checked.kept else ""
        return Candidate(
            assignments=assignments,
            repairs=repairs,
            unused=unused,
            margins=checked.margins,
            key=trial_key(identity, tree, self._fingerprint, self._precision(tree)) if checked.kept else "",
            design_id=identity,
            parameters=checked.footprint.parameters,
            macs=checked.footprint.macs,
            receptive_field=checked.footprint.receptive_field,
            features=_features(checked) if checked.kept else {},
            experiment=(tree, checked),
        )

    def _composed(self, assignments: Assignments) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """Return the composition without options that no block in their place has, and the keys of these options."""
        tree = self._compose(assignments)
        unused = tuple(name for name in assignments if name.startswith("arch.") and not self._is_used(name, tree))
        return _without(tree, unused), unused

    def _overridden(self, unused: tuple[str, ...], assignments: Assignments) -> list[str]:
        """Return those of `unused` that the design sets even without the assignment; a repair to null removes them."""
        if not unused:
            return []
        tree = self._compose({name: value for name, value in assignments.items() if "." not in name})
        return [name for name in unused if _at(tree, name.split(".")) is not None]

    def _is_used(self, name: str, tree: Mapping[str, Any]) -> bool:
        """Return whether a block has the option `name`; True for keys that decoding checks."""
        match name.split("."):
            case [_, "options", option]:
                stages = _at(tree, ("arch", "stages"))
                uses = [_at(tree, ("arch", "stem")), *(stages.values() if isinstance(stages, Mapping) else ())]
            case [_, "stages", stage, option] if option not in STAGE_KEYS:
                uses = [_at(tree, ("arch", "stages", stage))]
            case _:
                return True
        entries = [use.get("entry") for use in uses if isinstance(use, Mapping)]
        return any(option in options_taken(use, self._block) for use in (*uses, *entries))

    def _repaired(
        self, assignments: Assignments, checked: Checked
    ) -> tuple[Mapping[str, Any], Checked, dict[str, Value]] | None:
        """Return the design after the first change that keeps every limit, or None if no change does."""
        for change in changes(checked):
            try:
                tree, _ = self._composed({**assignments, **change})
                again = self._check(tree)
                if again.kept and self._kept_at(checked.design.width, again, tree):
                    return tree, again, dict(change)
            except SpecError:
                continue
        return None

    def _kept_at(self, width: float | str, checked: Checked, tree: Mapping[str, Any]) -> bool:
        """Return whether the limits are also kept at `width`, since a dilation should not change the width."""
        if checked.design.width == width:
            return True
        return self._check({**tree, "arch": {**tree["arch"], "width": width}}).kept

    def _check(self, tree: Mapping[str, Any]) -> Checked:
        design = decode_design(tree.get("arch"), self._reader)
        return check_design(design, self._limits_of(tree.get("constraints")), predictor=self._predictor(tree))

    def _limits_of(self, raw: object) -> Limits:
        if raw is not self._limits[0]:
            self._limits = (raw, decode_limits(raw))
        return self._limits[1]

    def _block(self, name: str) -> Mapping[str, Any]:
        if name not in self._mappings:
            self._mappings[name] = self._lookup(name)
        return self._mappings[name]


def _at(tree: Any, path: Listed[str]) -> Any:
    """Return the value at `path` in nested mappings; None if there is none."""
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _without(tree: Mapping[str, Any], names: Iterable[str]) -> Mapping[str, Any]:
    """Return `tree` without the keys of the dotted `names`."""
    for name in names:
        tree = _removed(tree, name.split("."))
    return tree


def _removed(tree: Mapping[str, Any], path: Listed[str]) -> Mapping[str, Any]:
    first, *rest = path
    if not rest:
        return {key: value for key, value in tree.items() if key != first}
    return {**tree, first: _removed(tree[first], rest)}


def _features(checked: Checked) -> dict[str, float]:
    """Return the features of a checked design, including its training time if that is predicted."""
    features = features_of(checked.plan, checked.footprint)
    if checked.training is not None:
        features[LOG_SECONDS] = math.log(max(checked.training.uncorrected, 1e-9))  # all share the correction
    return features


def features_of(plan: Plan, footprint: Footprint) -> dict[str, float]:
    """Return the features of a plan by name; a missing feature counts as 0.

    They are the logarithms of parameters, MACs, activations and receptive field, the number of convolutions, and the
    numbers of spatial convolutions (kernel above 1) that are dilated, that are depthwise, and that have each kernel at
    each resolution. The resolution is given as the number of halvings of the input.
    """
    found: Counter[str] = Counter()
    _count(plan.layers, 0, found)
    logs = {
        "log_parameters": math.log(max(footprint.parameters, 1)),
        "log_macs": math.log(max(footprint.macs, 1)),
        "log_activations": math.log(max(footprint.activations, 1)),
        "log_receptive_field": math.log(footprint.receptive_field),
    }
    return {**logs, **{name: float(count) for name, count in found.items()}}


def _count(layers: tuple[Layer, ...], halvings: int, found: Counter[str]) -> int:
    """Count the convolutions of `layers`, each at its output resolution; return the halvings after the last layer."""
    for layer in layers:
        if isinstance(layer, Conv):
            halvings += _halvings(layer.stride)
            found["depth"] += 1
            if layer.longest > 1:
                found[sys.intern(f"level{halvings}.kernel{layer.longest}")] += 1  # thousands of designs share it
                found["dilated"] += layer.dilation > 1
                found["depthwise"] += layer.groups == layer.in_channels > 1
        elif isinstance(layer, Sequence):
            halvings = _count(layer.layers, halvings, found)
        elif isinstance(layer, Parallel):
            halvings = max((_count(branch.layers, halvings, found) for branch in layer.branches), default=halvings)
        elif layer.total_stride != 1:
            halvings += _halvings(layer.total_stride)
    return halvings


def _halvings(stride: int | Fraction) -> int:
    """Return how many times `stride` halves a feature map; negative if it enlarges the feature map."""
    return round(math.log2(stride))
