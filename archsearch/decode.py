"""Strict decoding of plain mappings into frozen dataclasses, with numeric ranges in the annotations.

Values are not coerced (a number in quotes is an error), except an int to a float and a list to a tuple. Imports the
standard library and `errors` only.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

from archsearch.errors import SpecError

T = TypeVar("T")

MAX_INTEGER = 2**63 - 1
"""The largest absolute value of an integer in a configuration (64 bits)."""
_SHOWN = 80  # most characters of a value or a key in a message
_NAMES = {bool: "true or false", int: "an integer", float: "a number", str: "a string", type(None): "null"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """The range of finite numbers of a field, as `Annotated[int, Range(at_least=1)]`; `fix` ends the error message."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    fix: str = ""

    def check(self, value: float, where: str) -> None:
        """Raise `SpecError` at the key `where` if `value` is out of range."""
        if not (
            math.isfinite(value)
            and (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        ):
            raise SpecError(where, f"must be {self.text}, got {value}", self.fix)

    @property
    def text(self) -> str:
        """The range as text for messages and the reference: `at least 0 and below 1`."""
        if self.at_least is not None and self.at_most is not None:
            return f"from {self.at_least:g} to {self.at_most:g}"
        words = {"at least": self.at_least, "above": self.above, "at most": self.at_most, "below": self.below}
        return " and ".join(f"{word} {bound:g}" for word, bound in words.items() if bound is not None) or "finite"


def check_ranges(settings: object, where: str) -> None:
    """Raise `SpecError` below `where` for the first field of the dataclass `settings` that is out of range."""
    for name, allowed in _ranges(type(settings)):
        value = getattr(settings, name)
        if value is not None:
            allowed.check(value, join(where, name))


def decode(kind: type[T], raw: object, where: str = "", *, label: str = "") -> T:
    """Return `raw` (mappings, lists and scalars) as an instance of the dataclass `kind`.

    `where` is the dotted key at the start of messages, `label` the name of the mapping in messages ("a stage").
    Raises `SpecError` for the first key that is unknown or missing, or whose value has the wrong type.
    """
    label = label or f"{where.rpartition('.')[2] or 'the configuration'}"
    if not isinstance(raw, Mapping):
        raise SpecError(where, f"must be a mapping, got {describe(raw)}")
    fields = _fields(kind)
    for key in raw:
        if key not in fields:
            raise SpecError(join(where, key), f"unknown key for {label}", suggest(str(key), fields))
    values: dict[str, Any] = {}
    for name, (hint, required) in fields.items():
        if name in raw:
            values[name] = convert(hint, raw[name], join(where, name))
        elif required:
            raise SpecError(join(where, name), f"missing key for {label}", f"It must be {expected(hint)}.")
    return kind(**values)


def convert(hint: Any, raw: object, where: str) -> Any:
    """Return `raw` as a value of the type `hint`; raise `SpecError` if it does not match."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return raw
    if origin is Annotated:
        value = convert(arguments[0], raw, where)
        for allowed in arguments[1:]:
            allowed.check(value, where)
        return value
    if origin in (Union, types.UnionType):
        return _convert_union(hint, raw, where)
    if origin is Literal:
        if any(raw is choice or (type(raw) is type(choice) and raw == choice) for choice in arguments):
            return raw
        raise SpecError(where, f"unknown value {quoted(raw)}", _choices(raw, arguments))
    if origin is tuple:
        return _convert_tuple(hint, raw, where)
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(raw, Mapping):
            raise SpecError(where, f"must be a mapping, got {describe(raw)}")
        return {str(key): convert(arguments[1], item, join(where, key)) for key, item in raw.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return raw if isinstance(raw, hint) else decode(hint, raw, where)
    if type(raw) is int and abs(raw) > MAX_INTEGER and hint in (int, float):
        raise SpecError(where, f"must be an integer of at most {MAX_INTEGER}, got one of {len(f'{raw:x}')} hex digits")
    if hint is float and type(raw) is int:
        return float(raw)
    if type(raw) is hint:
        return raw
    raise SpecError(where, f"must be {expected(hint)}, got {describe(raw)}", _unquoted(raw, (hint,)))


def _convert_tuple(hint: Any, raw: object, where: str) -> tuple[Any, ...]:
    arguments = get_args(hint)
    if not isinstance(raw, list | tuple):
        raise SpecError(where, f"must be {expected(hint)}, got {describe(raw)}")
    if arguments[-1] is not Ellipsis and len(raw) != len(arguments):
        raise SpecError(where, f"must be a list of {len(arguments)}, got {len(raw)}")
    hints = [arguments[0]] * len(raw) if arguments[-1] is Ellipsis else arguments
    return tuple(convert(one, item, f"{where}[{i}]") for i, (one, item) in enumerate(zip(hints, raw, strict=True)))


def is_mapping(raw: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether `raw` is a mapping; for a type checker its keys are then strings."""
    return isinstance(raw, Mapping)


def is_list(raw: object) -> TypeGuard[Sequence[Any]]:
    """Return whether `raw` is a list or a tuple."""
    return isinstance(raw, list | tuple)


_SAME = {
    "accuracy": "acc",
    "batch_size": "bs batch batchsize minibatch",
    "classes": "num_classes n_classes nclasses",
    "clip": "grad_clip clip_norm gradient_clip max_norm",
    "compile": "jit torch_compile",
    "device": "gpu cuda accelerator",
    "dilation": "rate dil",
    "epochs": "epoch n_epochs num_epochs max_epochs",
    "image_size": "img_size resolution input_size",
    "kernel": "kernel_size ks k",
    "label_smoothing": "smoothing ls",
    "learning_rate": "lr max_lr base_lr eta",
    "macs": "flops madds mult_adds multadds",
    "momentum": "mom beta beta1 mu",
    "objectives": "objective metric metrics direction directions",
    "parameters": "params n_params num_params weights",
    "precision": "amp dtype fp16 bf16 mixed_precision",
    "receptive_field": "rf",
    "repeats": "depth n_blocks num_blocks n_layers num_layers",
    "root": "path dir data_dir data_root folder",
    "seed": "random_state random_seed manual_seed",
    "storage": "db database url",
    "name": "study_name",
    "threads": "num_threads n_threads",
    "trials": "n_trials num_trials ntrials max_trials",
    "validation": "val valid val_split val_fraction validation_split holdout",
    "warmup": "warmup_epochs warmup_steps pct_start warm_up",
    "weight_decay": "wd decay l2",
    "width": "channels filters features out_channels planes",
    "workers": "n_jobs num_jobs jobs n_workers num_workers",
}
SYNONYMS = {other: name for name, others in _SAME.items() for other in others.split()}
"""Names of keys in other libraries and in papers, each with its name in archsearch."""


_SAME_WORDS = {
    "act": "activation nonlinearity",
    "add": "sum plus",
    "average": "avg mean avgpool averagepool",
    "batch": "bn batchnorm",
    "concat": "cat concatenate concatenation",
    "conv": "convolution",
    "global_average": "gap avg adaptive adaptiveavgpool adaptiveaveragepool globalavgpool globalaveragepool mean",
    "global_max": "gmp max adaptivemaxpool globalmaxpool",
    "group": "gn groupnorm",
    "hardsigmoid": "hsigmoid",
    "hardswish": "hswish",
    "instance": "instancenorm",
    "layer": "ln layernorm",
    "leaky_relu": "lrelu prelu rrelu",
    "linear": "dense fc fullyconnected",
    "max": "maximum maxpool",
    "multiply": "mul product times",
    "none": "identity linear",
    "norm": "bn batchnorm groupnorm layernorm instancenorm normalization normalisation",
    "pool": "maxpool avgpool averagepool adaptiveavgpool",
    "project": "projection",
    "silu": "swish",
}
"""Kinds of layers and values of fields, each with its names elsewhere in the form of `plain_form`."""


def plain_form(word: str) -> str:
    """Return `word` normalised for comparisons: `nn.LeakyReLU` and `leaky_relu` both give `leakyrelu`."""
    return word.rpartition(".")[2].lower().replace("_", "").replace("-", "").removesuffix("2d")


def suggest(word: str, known: Iterable[str]) -> str:
    """Return a sentence that suggests the closest of `known` for the unknown `word`, or lists all of them."""
    names = [str(name) for name in known]
    plain = plain_form(shortened(word))
    same = [name for name in names if plain and plain_form(name) == plain]
    same += [name for name in names if name == SYNONYMS.get(word.lower())]
    same += [name for name in names if plain in _SAME_WORDS.get(name, "").split()]
    close = same or difflib.get_close_matches(shortened(word), names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(names)}." if names else ""


def describe(raw: object) -> str:
    """Return `raw` as text for a message: the value and, if it helps, its type."""
    if raw is None:
        return "null"
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, str):
        return f"the string '{shortened(raw)}'"
    if isinstance(raw, int) and abs(raw) > MAX_INTEGER:
        return f"an integer of {len(f'{raw:x}')} hex digits"
    if isinstance(raw, Mapping):
        return "a mapping"
    if isinstance(raw, list | tuple):
        return "a list"
    return shortened(str(raw))


def quoted(raw: object) -> str:
    """Return `raw` for a message about an expected string: strings in quotes, other values as in `describe`."""
    return f"'{shortened(raw)}'" if isinstance(raw, str) else describe(raw)


def shortened(text: str) -> str:
    """Return `text` for a message, truncated if it is long."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def expected(hint: Any) -> str:
    """Return the name of the type `hint` for a message."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return expected(arguments[0])
    if hint in _NAMES:
        return _NAMES[hint]
    if origin in (Union, types.UnionType):
        names = dict.fromkeys(expected(one) for one in arguments)
        return " or ".join(name for name in names if name != _NAMES[int] or _NAMES[float] not in names)
    if origin is Literal:
        return " or ".join(f"'{choice}'" for choice in arguments)
    if origin is tuple:
        return "a list"
    return "a mapping"


def join(where: str, key: object) -> str:
    """Return the dotted key of `key` below `where`."""
    return f"{where}.{shortened(str(key))}" if where else shortened(str(key))


@functools.cache
def _fields(kind: type) -> dict[str, tuple[Any, bool]]:
    hints = typing.get_type_hints(kind, include_extras=True)
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(kind)
        if field.init
    }


@functools.cache
def _ranges(kind: type) -> tuple[tuple[str, Range], ...]:
    """Return the fields of the dataclass `kind` that have a range, optional fields included."""
    found: list[tuple[str, Range]] = []
    for name, (hint, _) in _fields(kind).items():
        for one in get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,):
            if get_origin(one) is Annotated:
                found += [(name, allowed) for allowed in get_args(one)[1:]]
    return tuple(found)


def _convert_union(hint: Any, raw: object, where: str) -> Any:
    arguments = get_args(hint)
    for one in arguments:
        if one is type(raw):
            return raw
    errors: list[SpecError] = []
    for one in arguments:
        if one is type(None):
            continue
        try:
            return convert(one, raw, where)
        except SpecError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    raise SpecError(where, f"must be {expected(hint)}, got {describe(raw)}", _unquoted(raw, arguments))


def _unquoted(raw: object, hints: tuple[Any, ...]) -> str:
    """Return the fix for a number in quotes if one of `hints` is a numeric type, otherwise an empty string."""
    wanted = int in hints or float in hints
    return "Write it without quotes." if wanted and isinstance(raw, str) and _numeric(raw) else ""


def _choices(raw: object, arguments: tuple[object, ...]) -> str:
    names = [str(choice) for choice in arguments]
    guess = suggest(raw, names) if isinstance(raw, str) else ""
    return guess if guess.startswith("Did") else f"Choose one of {', '.join(names)}."


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
