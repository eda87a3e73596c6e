"""The form of a block: its YAML with sizes left open, so that blocks of the same kind compare as equal.

A size is a `Choice` of expressions that evaluate to it; a field of a window is an `Option` of the block. Two forms
are unified if, for every size, some expression holds for both. Imports the standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Choice:
    """The expressions that evaluate to a value in this block, best first; the value itself may be one of them."""

    texts: tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Option:
    """A field of a window that is an option of its block: `kernel`, `stride` or `dilation`."""

    name: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A block: its layers and residual as YAML with open sizes, and its output channels."""

    layers: list[Any]
    residual: Choice
    width: int

    def values(self, option: str) -> set[int]:
        """Return the distinct values of an option in the layers; for `stride` only those above 1."""
        found = {each.value for each in _options(self.layers) if each.name == option}
        return {value for value in found if value > 1} if option == "stride" else found

    @property
    def stride(self) -> int | None:
        """The common stride of all layers with a stride above 1; 1 if there are none, None if they differ."""
        strides = self.values("stride") or {1}
        return next(iter(strides)) if len(strides) == 1 else None

    @property
    def stride_option(self) -> dict[str, int]:
        """The stride as an option of a stage; empty if it is the default."""
        return {"stride": self.stride} if self.stride is not None and self.stride > 1 else {}


def unified(one: Form, other: Form) -> Form | None:
    """Return the form of two blocks, with the expressions that hold for both and the strides of the first.

    None if their forms or widths differ.
    """
    layers, residual = _unified(one.layers, other.layers), _unified(one.residual, other.residual)
    if layers is None or residual is None or one.width != other.width:
        return None
    return Form(layers=layers, residual=residual, width=one.width)


def block_source(form: Form) -> dict[str, Any]:
    """Return the block in the design language.

    A `kernel` or `dilation` that all layers share becomes an option of the block. So does the common stride of the
    layers with a stride above 1; if there are none, that of the first convolution with a window.
    """
    source: dict[str, Any] = {}
    options = {name: next(iter(values)) for name in ("kernel", "dilation") if len(values := form.values(name)) == 1}
    strided: set[int] = set()  # `id()` of the strides that the block's option sets
    if form.stride is not None:
        above = [id(each) for each in _options(form.layers) if each.name == "stride" and each.value > 1]
        strided = set(above) if above else _first_stride(form.layers)
    if strided:
        options["stride"] = 1
    if options:
        source["options"] = {name: options[name] for name in ("kernel", "stride", "dilation") if name in options}
    source["layers"] = literal(form.layers, frozenset(options), strided)
    if form.residual.texts[0] != "none":
        source["residual"] = form.residual.texts[0]
    return source


def literal(form: Any, options: frozenset[str] = frozenset(), strided: set[int] | None = None) -> Any:
    """Return YAML with the best expression of each size; fields in `options` refer to the option of the block."""
    match form:
        case Choice():
            return form.texts[0]
        case Option(name="stride"):
            return "stride" if id(form) in (strided or ()) else form.value
        case Option():
            return form.name if form.name in options else form.value
        case dict():
            made = {key: literal(value, options, strided) for key, value in form.items()}
            pool = "kind" in made  # a pool's default stride is its kernel, so a stride of 1 must be written
            return {key: value for key, value in made.items() if pool or (key, value) not in _DEFAULTS}
        case list():
            return [literal(value, options, strided) for value in form]
        case _:
            return form


_DEFAULTS = (("stride", 1), ("dilation", 1))


def _first_stride(items: list[Any]) -> set[int]:
    """Return the `id()` of the stride of the first convolution with a window outside of branches; empty if none."""
    for item in items:
        if "parallel" in item:
            return set()
        if "residual" in item:
            return _first_stride(item["residual"]["layers"]) if item["residual"]["shortcut"] != "none" else set()
        if "conv" in item and isinstance(item["conv"]["kernel"], Option):
            return {id(item["conv"]["stride"])}
    return set()


def _options(form: Any) -> Iterator[Option]:
    if isinstance(form, Option):
        yield form
    elif isinstance(form, dict):
        for value in form.values():
            yield from _options(value)
    elif isinstance(form, list):
        for value in form:
            yield from _options(value)


def _unified(one: Any, other: Any) -> Any:
    """Return the form that holds for both; None if they differ."""
    match one, other:
        case Choice(), Choice():
            both = tuple(text for text in one.texts if text in other.texts)
            return Choice(both) if both else None
        case Option(name="stride"), Option(name="stride"):
            return one
        case dict(), dict() if list(one) == list(other):
            made = {key: _unified(one[key], other[key]) for key in one}
            return None if any(value is None for value in made.values()) else made
        case list(), list() if len(one) == len(other):
            made_list = [_unified(left, right) for left, right in zip(one, other, strict=True)]
            return None if any(value is None for value in made_list) else made_list
        case _:
            return one if type(one) is type(other) and one == other else None
