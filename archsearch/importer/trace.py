"""Conversion of a torch module to steps: `torch.export` records its operations, each becomes a layer or a merge.

If a plan cannot express an operation, the error names it, the path of the module and the line of its source file.
Nothing is approximated: an operation is exactly a layer of the plan, or has no effect in inference, or is rejected.
Imports torch, the design and this package.
"""

from __future__ import annotations

import operator
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from archsearch.design.geometry import Shape, shape_text
from archsearch.errors import SpecError
from archsearch.importer import arithmetic, operations  # noqa: F401 - they fill the table
from archsearch.importer.registry import OPERATIONS
from archsearch.importer.steps import Recorder, Trace
from archsearch.importer.views import part

BATCH = 3  # images of the traced batch; a number that is unlikely to be another dimension of a small network


def trace(network: nn.Module, input_shape: Shape) -> Trace:
    """Return the operations of `network`, which must be in evaluation mode, on images of `input_shape` (C, H, W).

    Raises `SpecError` if the network's code raises, torch.export cannot read it, or a plan cannot express one of its
    operations.
    """
    images_BCHW = torch.zeros(BATCH, *input_shape)
    _run(network, images_BCHW)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program: Any = torch.export.export(network, (images_BCHW,))
    except Exception as error:
        fix = "It must run on one batch of images, without Python code that depends on their values."
        raise SpecError(type(network).__name__, f"torch.export cannot read it: {_first_line(error)}", fix) from error
    signature = program.graph_signature
    recorder = Recorder(network, {**signature.inputs_to_parameters, **signature.inputs_to_buffers})
    output = _read(recorder, program.graph.nodes, set(signature.user_inputs), input_shape)
    for text in _unused(network, recorder):
        recorder.note(text)
    known = dict(network.named_parameters())
    used = {id(known[key]): known[key].numel() for key in recorder.used if key in known}
    return Trace(
        steps=tuple(recorder.steps),
        output=output,
        final=recorder.final,
        parameters=sum(used.values()),
        notes=tuple(recorder.notes),
    )


def error_in(error: BaseException, where: str, what: str) -> SpecError:
    """Return a `SpecError` for an `error` of the author's code, with the innermost source line outside of libraries.

    `what` describes the situation: 'its forward raises'.
    """
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _is_library(each.filename)]
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno}: {frames[-1].line})" if frames else ""
    if isinstance(error, SyntaxError):
        place = ""  # its text names the line
    return SpecError(where, f"{what} {type(error).__name__}: {_first_line(error)}{place}")


def _is_library(file: str) -> bool:
    path = file.replace("\\", "/")
    return any(part in path for part in ("/torch/", "/archsearch/importer/", "/importlib/", "<frozen "))


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _run(network: nn.Module, images_BCHW: Tensor) -> None:
    """Run the network once, because torch.export's errors are harder to understand than those of the network itself."""
    try:
        with torch.no_grad():
            network(images_BCHW)
    except Exception as error:
        what = f"on {shape_text(tuple(images_BCHW.shape[1:]))} images its forward raises"  # type: ignore[arg-type]
        raise error_in(error, type(network).__name__, what) from error


def _read(recorder: Recorder, nodes: Any, images: set[str], input_shape: Shape) -> int:
    """Record every node in order; return the index of the step that computes the logits."""
    output = -1
    for node in nodes:
        recorder.node = node
        recorder.ran.update(path for path, _ in recorder.origin.modules)
        if node.op == "placeholder":
            if node.name in images:
                recorder.hold(node, recorder.add(shape=input_shape))
        elif node.op == "output":
            output = _output(recorder, node.args[0])
        elif node.op == "call_function":
            _call(recorder, node)
        else:
            recorder.refuse(f"'{node.op}' in its graph")
    return output


def _call(recorder: Recorder, node: Any) -> None:
    if not any(map(recorder.is_computed, node.all_input_nodes)):
        return  # a constant, or computed from weights: the operation that reads it decides
    if node.target is operator.getitem:  # an item of a split feature map, or of a maximum and its indices
        whole, place = node.args
        if whole in recorder.parts:
            recorder.hold(node, part(recorder, recorder.source(whole, "last"), *recorder.parts[whole][place]))
        elif place == 0:
            recorder.hold(node, recorder.source(whole))
        elif node.users:
            recorder.refuse("the places of a maximum")
        return
    parts = str(node.target).split(".")
    name = parts[1] if len(parts) > 1 else parts[0]
    if name.startswith("_assert"):
        return
    reader = OPERATIONS.get(name.rstrip("_"))
    if reader is None:
        recorder.refuse("this operation")
    index = reader(recorder, _arguments(node))
    recorder.hold(node, index, in_place_of=node.args[0] if name.endswith("_") else None)


def _arguments(node: Any) -> dict[str, Any]:
    """Return the arguments of a call by their names in its schema, defaults included."""
    schema = node.target._schema.arguments
    found = {each.name: each.default_value for each in schema if each.has_default_value()}
    found.update({each.name: value for each, value in zip(schema, node.args, strict=False)})
    return {**found, **node.kwargs}


def _output(recorder: Recorder, outputs: Any) -> int:
    if len(outputs) != 1:
        recorder.refuse(f"{len(outputs)} outputs")
    index = recorder.source(outputs[0])
    if recorder.shape(index)[1:] != (1, 1):
        recorder.refuse(f"an output of {shape_text(recorder.shape(index))}, not one value per class")
    return index


def _unused(network: nn.Module, recorder: Recorder) -> Iterator[str]:
    """Yield notes on what inference does not use: parameters, and modules that have an effect only in training."""
    unused = [(name, each.numel()) for name, each in network.named_parameters() if name not in recorder.used]
    if unused:
        modules = sorted({name.rpartition(".")[0] for name, _ in unused})
        count = sum(size for _, size in unused)
        yield f"{count} parameters are not used in inference and left out: {_listed(modules)}"
    idle: dict[str, list[str]] = {}
    for path, module in network.named_modules():
        leaf = not any(True for _ in module.children()) and not any(True for _ in module.parameters())
        if leaf and path not in recorder.ran and type(module) not in (nn.Identity, nn.Sequential, nn.ModuleList):
            idle.setdefault(type(module).__name__, []).append(path)
    for kind, paths in idle.items():
        yield f"modules of class {kind} do nothing in inference and are left out: {_listed(paths)}"


def _listed(paths: list[str]) -> str:
    shown = ", ".join(path or "the network itself" for path in paths[:4])
    return shown if len(paths) <= 4 else f"{shown} and {len(paths) - 4} more"
