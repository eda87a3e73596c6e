"""The tree of a traced network: sequences, and parallels whose branches begin at one feature map and end in one merge.

The branches of a merge begin at the nearest feature map that all of them pass through (the common dominator of its
inputs). A network that cannot be nested like this is rejected. Imports the design's plan and the trace.
"""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import replace

from archsearch.design.plan import Layer, Parallel, Sequence
from archsearch.importer.steps import Step, Trace


def layers_of_trace(trace: Trace) -> tuple[tuple[Layer, ...], tuple[Step, ...]]:
    """Return the layers of the network in order, each named by the index of its step, and the steps.

    The steps are those of the trace, followed by concatenations that were added inside others. Raises `SpecError` if a
    layer with weights would be at two places of the tree.
    """
    structure = _Structure(_nested_concats(trace.steps), trace.output)
    return structure.layers(), tuple(structure.steps)


class _Structure:
    def __init__(self, steps: Listed[Step], output: int) -> None:
        self.steps, self._output = list(steps), output
        self._dominators = _dominators(steps)
        self._placed: set[int] = set()

    def layers(self) -> tuple[Layer, ...]:
        return self._between(0, self._output)

    def _between(self, first: int, last: int) -> tuple[Layer, ...]:
        """Return the layers after step `first` up to step `last`."""
        found: list[Layer] = []
        while last != first:
            step = self.steps[last]
            if step.layer is not None:
                self._place(last)
                found.append(replace(step.layer, name=str(last)))
                last = step.inputs[0]
            elif step.combine is not None:
                start = self._common(step.inputs)
                inputs = self._grouped(step, start) if step.combine == "concat" else step.inputs
                branches = [self._between(start, each) for each in inputs]
                found.append(self._parallel(last, branches))
                last = start
            else:
                last = step.inputs[0]
        return tuple(reversed(found))

    def _grouped(self, step: Step, start: int) -> tuple[int, ...]:
        """Return the inputs of a concatenation, with neighbours that share layers concatenated to one input first.

        For example, a block that concatenates x, f(x) and g(f(x)) becomes `[x, [f(x), g(f(x))]]`.
        """
        found: list[list[int]] = []
        last: int | None = None
        for each in step.inputs:
            chain = self._chain(each)
            first = chain[chain.index(start) - 1] if each != start else None
            if first is not None and first == last:
                found[-1].append(each)
            else:
                found.append([each])
            last = first
        if len(found) == 1:
            return step.inputs
        return tuple(each[0] if len(each) == 1 else self._joined(step, tuple(each)) for each in found)

    def _joined(self, step: Step, inputs: tuple[int, ...]) -> int:
        """Append a concatenation of some `inputs` of the concatenation `step`, and return its index."""
        shapes = [self.steps[each].shape for each in inputs]
        self.steps.append(replace(step, inputs=inputs, shape=(sum(shape[0] for shape in shapes), *step.shape[1:])))
        self._dominators.append(self._common(inputs))
        return len(self.steps) - 1

    def _parallel(self, index: int, branches: list[tuple[Layer, ...]]) -> Parallel:
        combine = self.steps[index].combine
        assert combine is not None, "a merge"
        named = tuple(Sequence(name=f"branch_{i}", layers=layers) for i, layers in enumerate(branches, start=1))
        return Parallel(name=str(index), branches=named, combine=combine)

    def _place(self, index: int) -> None:
        """Mark the layer of a step as placed; raise `SpecError` if it has weights and already has a place."""
        if index in self._placed and self.steps[index].keys:
            what = "an output that is read at places which are no branches of one merge"
            self.steps[index].origin.refuse(what, "Only nested branches can be expressed.")
        self._placed.add(index)

    def _common(self, inputs: Listed[int]) -> int:
        """Return the nearest step that every path to each of `inputs` passes through."""
        steps = set(self._chain(inputs[0]))
        for each in inputs[1:]:
            steps &= set(self._chain(each))
        return max(steps)

    def _chain(self, index: int) -> list[int]:
        chain = [index]
        while index:
            index = self._dominators[index]
            chain.append(index)
        return chain


def _dominators(steps: Listed[Step]) -> list[int]:
    """Return the immediate dominator of every step (Cooper, Harvey and Kennedy 2001).

    One pass is enough, because the inputs of a step precede it.
    """
    found = [0] * len(steps)
    for index, step in enumerate(steps):
        if not step.inputs:
            continue
        nearest = step.inputs[0]
        for other in step.inputs[1:]:
            while nearest != other:
                if nearest > other:
                    nearest = found[nearest]
                else:
                    other = found[other]
        found[index] = nearest
    return found


def _nested_concats(steps: Listed[Step]) -> list[Step]:
    """Return the steps, with each concatenation that begins with the inputs of an earlier one reading that one instead.

    A dense block concatenates all its earlier feature maps again for every layer; `[[a, b], c]` equals `[a, b, c]`.
    """
    found = list(steps)
    known: dict[tuple[int, ...], int] = {}
    for index, step in enumerate(steps):
        if step.combine != "concat":
            continue
        inputs = step.inputs
        known.setdefault(inputs, index)
        for length in range(len(inputs) - 1, 1, -1):
            if inputs[:length] in known:
                found[index] = replace(step, inputs=(known[inputs[:length]], *inputs[length:]))
                break
    return found
