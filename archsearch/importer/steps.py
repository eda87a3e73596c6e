"""The steps of a traced network, each a layer or a merge of the plan, and the recorder that collects them.

Imports torch, and the design's layers and plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

import torch
from torch import nn

from archsearch.design.geometry import Shape
from archsearch.design.layers import Primitive
from archsearch.design.plan import Combine
from archsearch.design.resize import Pad, PaddingMode
from archsearch.errors import SpecError

Final = Literal["", "softmax", "log_softmax"]
"""What the author's network applies to its logits."""
BORDERS: tuple[PaddingMode, ...] = get_args(PaddingMode)
"""The forms of a padded feature map, whose padding a convolution may absorb; values: px left, right, top, bottom."""
_FORMS = {
    "last": "this operation on a map whose channels come last",
    "groups": "a view of channels in groups that is no shuffle of channels",
    "turns": "a view of channels in groups that is no shuffle of channels",
    "rows": "rows left out but not the same of the columns",
    "plus_3": "arithmetic with a constant",
    "relu6_plus_3": "arithmetic with a constant",
    "x_relu6_plus_3": "arithmetic with a constant",
}

_VIEWS = frozenset(
    "view reshape _unsafe_view unsqueeze squeeze flatten alias detach contiguous clone to".split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a value that is not its step's feature map: an item of `BORDERS` or key of `_FORMS`, with numbers."""

    kind: str
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an operation of the author's network comes from."""

    network: str
    """The class of the network."""
    modules: tuple[tuple[str, str], ...] = ()
    """Path and class of the enclosing modules, outermost first, without the network itself (path "")."""
    operation: str = ""
    """The name in torch's ATen: `aten.conv2d`."""
    line: str = ""
    """The source line: `model.py, line 7: x = self.conv(x)`; empty if unknown."""

    @property
    def path(self) -> str:
        """The path of the innermost module; empty for the network itself."""
        return self.modules[-1][0] if self.modules else ""

    def refuse(self, what: str, fix: str = "") -> NoReturn:
        """Raise `SpecError`: a design cannot express `what`; the error names module path, operation and line."""
        line = f" ({self.line})" if self.line else ""
        raise SpecError(self.path or self.network, f"{self.operation}: a design cannot express {what}{line}", fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation: a layer with one input, a merge of several inputs, or neither (it passes its input on)."""

    inputs: tuple[int, ...]
    """Indices of the steps that it reads; step 0 is the image."""
    shape: Shape
    """(C, H, W) of its output; a flattened feature map keeps its shape until a dense layer reads it."""
    origin: Origin
    layer: Primitive | None = None
    combine: Combine | None = None
    keys: Mapping[str, str] = field(default_factory=dict[str, str])
    """The author's state-dict key for each tensor of the layer: `weight`, `bias`, `running_mean`, `running_var`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The operations of a network in execution order, and the differences from the author's network."""

    steps: tuple[Step, ...]
    output: int
    """The index of the step that computes the logits."""
    final: Final
    parameters: int
    """The number of trainable parameters that inference uses; shared ones count once."""
    notes: tuple[str, ...]
    """The differences from the author's network, one sentence each."""


class Recorder:
    """Collects steps while the operations of an exported graph are read in order.

    `node` is the operation that is being read; `keys` maps the names of the graph's inputs to state-dict keys.
    Methods raise `SpecError`, with the operation's origin, for what a plan cannot express.
    """

    def __init__(self, network: nn.Module, keys: Mapping[str, str]) -> None:
        self.steps: list[Step] = []
        self.notes: list[str] = []
        self.final: Final = ""
        self.used: dict[str, str] = {}
        """The path of the module that reads each weight, by the weight's state-dict key."""
        self.node: Any = None
        self.ran = set[str]()
        """The paths of the modules whose operations were read."""
        self.parts: dict[Any, list[tuple[int, int]]] = {}
        """The first channel and the number of channels of each part, by the node that splits a feature map."""
        self._network, self._keys = network, keys
        self._parameters = dict(network.named_parameters(remove_duplicate=False))
        self._index: dict[Any, int] = {}  # index of the step that holds the value of a node
        self._forms: dict[int, Form] = {}  # forms of the steps whose value differs from their feature map

    @property
    def origin(self) -> Origin:
        """Where the current operation comes from."""
        stack = (self.node.meta.get("nn_module_stack") or {}).values()
        named = ((str(path), kind if isinstance(kind, str) else kind.__qualname__) for path, kind in stack if path)
        name = str(self.node.target).removesuffix(".default")
        line = _author_line(self.node.meta.get("stack_trace"))
        return Origin(network=type(self._network).__name__, modules=tuple(named), operation=name, line=line)

    def refuse(self, what: str) -> NoReturn:
        """Raise `SpecError`: a design cannot express `what`."""
        self.origin.refuse(what)

    def note(self, text: str) -> None:
        """Record a difference from the author's network, once."""
        if text not in self.notes:
            self.notes.append(text)

    def hold(self, node: Any, index: int, *, in_place_of: Any = None) -> None:
        """Assign the value of a step to `node`.

        An in-place operation also assigns it to the node `in_place_of`, which it overwrites, and to its views.
        """
        self._index[node] = index
        if in_place_of is not None:
            old = self._index[in_place_of]
            self._index.update({other: index for other, held in self._index.items() if held == old})

    def is_computed(self, node: Any) -> bool:
        """Return whether a value depends on the image, and not only on weights and constants."""
        return node in self._index

    def source(self, node: Any, *forms: str) -> int:
        """Return the step of a node that must be a feature map or have one of `forms`; other borders become a layer."""
        if node not in self._index:
            self.refuse("a value that is not computed from the image")
        index = self._index[node]
        form = self.form(index)
        if form is not None and form.kind not in forms:
            if form.kind not in BORDERS:
                self.refuse(_FORMS[form.kind])
            self.surround(index)
        return index

    def border(self, index: int) -> Pad | None:
        """Return the border that a step adds to the feature map below it; None if the step has no such form."""
        form = self.form(index)
        if form is None or form.kind not in BORDERS:
            return None
        left, right, top, bottom = form.values
        return Pad(name="pad", rows=(top, bottom), columns=(left, right), mode=form.kind)

    def surround(self, index: int) -> None:
        """Turn a step with a border into the padding layer that adds it."""
        layer, step = self.border(index), self.steps[index]
        assert layer is not None, "the step has a border"
        self.steps[index] = replace(step, layer=layer, shape=layer.shape_after(step.shape))
        del self._forms[index]

    def form(self, index: int) -> Form | None:
        """Return the form of a step's value; None if the value is the step's feature map."""
        return self._forms.get(index)

    def shape(self, index: int) -> Shape:
        """Return the shape (C, H, W) of a step's output."""
        return self.steps[index].shape

    def add(self, *inputs: int, form: Form | None = None, **step: Any) -> int:
        """Append a step, whose shape is that of its first input unless given, and return its index."""
        step.setdefault("shape", self.shape(inputs[0]) if inputs else None)
        self.steps.append(Step(inputs=inputs, origin=self.origin, **step))
        if form is not None:
            self._forms[len(self.steps) - 1] = form
        return len(self.steps) - 1

    def layer(self, index: int, layer: Primitive, **more: Any) -> int:
        """Append the step of a layer with one input, whose form it keeps, and return the new index."""
        try:
            shape = layer.output_shape(self.shape(index))
        except SpecError as error:
            self.refuse(error.what)
        return self.add(index, layer=layer, shape=shape, form=self.form(index), **more)

    def below(self, index: int) -> int:
        """Return the step that is the input of step `index`, which has a form."""
        return self.steps[index].inputs[0]

    def add_bias(self, node: Any, bias: Any) -> bool:
        """Add `bias` to the layer that computes `node`; return False if it takes none or `node` has several readers."""
        index = self._index[node]
        step = self.steps[index]
        if getattr(step.layer, "bias", True) or len(node.users) > 1:
            return False
        keys = {**step.keys, **self.keys(bias=bias)}
        self.steps[index] = replace(step, layer=replace(step.layer, bias=True), keys=keys)  # type: ignore[type-var]
        return True

    def make_mean(self, node: Any, count: float) -> bool:
        """Turn the sum `node` of two feature maps into their mean if `count` is 2; return whether that was possible."""
        index = self._index[node]
        if self.steps[index].combine != "add" or count != 2 or len(node.users) > 1:
            return False
        self.steps[index] = replace(self.steps[index], combine="mean")
        return True

    def stored(self, node: Any) -> Any:
        """Return the node of the weight or buffer whose values `node` has in the same order; None if it is computed."""
        while getattr(node, "op", "") == "call_function" and _operation(node) in _VIEWS:
            node = node.args[0]
        return node if getattr(node, "name", "") in self._keys else None

    def value(self, node: Any) -> torch.Tensor | None:
        """Return the tensor of a node that is computed only from buffers; None for any other."""
        if node.op == "placeholder":
            buffer = dict(self._network.named_buffers()).get(self._keys.get(node.name, ""))
            return None if buffer is None else buffer.detach()
        if node.op != "call_function" or not hasattr(node.target, "_schema") or not node.all_input_nodes:
            return None
        known = {each: self.value(each) for each in node.all_input_nodes}
        if any(each is None for each in known.values()):
            return None
        arguments = [known.get(each, each) if hasattr(each, "op") else each for each in node.args]
        return node.target(*arguments, **node.kwargs)

    def first_value(self, node: Any) -> float:
        """Return the common value of all elements of a stored weight; 1 if they differ."""
        values = self._parameters.get(self._keys[node.name])
        if values is None or not values.numel() or (values != values.flatten()[0]).any():
            return 1.0
        return float(f"{values.flatten()[0].item():.6g}")

    def keys(self, **tensors: Any) -> dict[str, str]:
        """Return the state-dict key of each tensor that is not None, and mark the keys as used."""
        found: dict[str, str] = {}
        for name, node in tensors.items():
            if node is None:
                continue
            key = self._keys.get(getattr(self.stored(node), "name", ""))
            if key is None:
                self.refuse(f"a {name} that is computed, not stored")
            if name in ("weight", "bias") and key not in self._parameters:
                self.refuse(f"a {name} that is no parameter ('{key}')")
            if key in self.used:
                self.refuse(f"weights that are used twice ('{key}', before in '{self.used[key] or 'forward'}')")
            self.used[key] = self.origin.path
            found[name] = key
        return found

    def tensor(self, node: Any) -> torch.Tensor:
        """Return the tensor of a node, which has a shape but no values."""
        return node.meta["val"]


def _operation(node: Any) -> str:
    """Return the name of the operation of a call, without its overload: `view`."""
    parts = str(node.target).split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def _author_line(stack: str | None) -> str:
    """Return `FILE, line N: code` of the innermost frame outside of torch."""
    lines = (stack or "").strip().splitlines()
    for index in range(len(lines) - 1, -1, -1):
        text = lines[index].strip()
        if text.startswith("File ") and "/torch/" not in text.replace("\\", "/"):
            file, _, rest = text.removeprefix("File ").partition(", line ")
            code = lines[index + 1].strip() if index + 1 < len(lines) else ""
            return f"{Path(file.strip(chr(34))).name}, line {rest.partition(',')[0]}: {code}"
    return ""
