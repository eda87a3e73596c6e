"""Strict decoding of plain mappings into frozen dataclasses; the one door for untyped values.

Nothing is coerced (a number as text is refused) but an int where a float is asked for.
Imports the standard library and `errors` only.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeGuard, TypeVar, Union, get_args, get_origin

from archsearch.errors import SpecError

T = TypeVar("T")

_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}


def decode(kind: type[T], raw: object, where: str = "", *, called: str = "") -> T:
    """Return `raw`, made of mappings, lists and scalars, as a value of the dataclass `kind`.

    `where` is the dotted key that messages begin with, `called` what the mapping is
    ("a stage"). Raises `SpecError` at the first key that is unknown, missing or of a wrong type.
    """
    called = called or f"{where.rpartition('.')[2] or 'the configuration'}"
    if not isinstance(raw, Mapping):
        raise SpecError(where, f"must be a mapping, is {describe(raw)}")
    fields = _fields(kind)
    for key in raw:
        if key not in fields:
            raise SpecError(join(where, key), f"unknown key for {called}", suggest(str(key), fields))
    values: dict[str, Any] = {}
    for name, (hint, required) in fields.items():
        if name in raw:
            values[name] = convert(hint, raw[name], join(where, name))
        elif required:
            raise SpecError(join(where, name), f"missing key for {called}", f"It must be {expected(hint)}.")
    return kind(**values)


def convert(hint: Any, raw: object, where: str) -> Any:
    """Return `raw` as a value of the type `hint`; raises `SpecError` where it is not one."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return raw
    if origin in (Union, types.UnionType):
        return _convert_union(hint, raw, where)
    if origin is Literal:
        if any(raw is choice or (type(raw) is type(choice) and raw == choice) for choice in arguments):
            return raw
        raise SpecError(where, f"{describe(raw)} is not a choice", _choices(raw, arguments))
    if origin is tuple:
        if not isinstance(raw, list | tuple):
            raise SpecError(where, f"must be {expected(hint)}, is {describe(raw)}")
        if arguments[-1] is not Ellipsis and len(raw) != len(arguments):
            raise SpecError(where, f"must be a list of {len(arguments)}, has {len(raw)}")
        hints = [arguments[0]] * len(raw) if arguments[-1] is Ellipsis else arguments
        return tuple(convert(one, item, f"{where}[{i}]") for i, (one, item) in enumerate(zip(hints, raw, strict=True)))
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        if not isinstance(raw, Mapping):
            raise SpecError(where, f"must be a mapping, is {describe(raw)}")
        return {str(key): convert(arguments[1], item, join(where, key)) for key, item in raw.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return raw if isinstance(raw, hint) else decode(hint, raw, where)
    if hint is float and type(raw) is int:
        return float(raw)
    if type(raw) is hint:
        return raw
    raise SpecError(where, f"must be {expected(hint)}, is {describe(raw)}", _unquoted(raw, (hint,)))


def is_mapping(raw: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether `raw` is a mapping; a type checker takes its keys for text afterwards."""
    return isinstance(raw, Mapping)


def is_list(raw: object) -> TypeGuard[Sequence[Any]]:
    """Return whether `raw` is a list or a tuple."""
    return isinstance(raw, list | tuple)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return the sentence that names the likeliest of `known` for a misspelt `word`, or all of them."""
    names = [str(name) for name in known]
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known: {', '.join(names)}." if names else ""


def describe(raw: object) -> str:
    """Return `raw` as a message shows it: the value and, where it helps, its kind."""
    if raw is None:
        return "null"
    if isinstance(raw, bool):
        return str(raw).lower()
    if isinstance(raw, str):
        return f"the text '{raw}'"
    if isinstance(raw, Mapping):
        return "a mapping"
    if isinstance(raw, list | tuple):
        return "a list"
    return str(raw)


def expected(hint: Any) -> str:
    """Return what a value of the type `hint` is called in a message."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _NAMES:
        return _NAMES[hint]
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(expected(one) for one in arguments))
    if origin is Literal:
        return " or ".join(f"'{choice}'" for choice in arguments)
    if origin is tuple:
        return "a list"
    return "a mapping"


def join(where: str, key: object) -> str:
    """Return the dotted key of `key` below `where`."""
    return f"{where}.{key}" if where else str(key)


@functools.cache
def _fields(kind: type) -> dict[str, tuple[Any, bool]]:
    hints = typing.get_type_hints(kind)
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(kind)
        if field.init
    }


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
    raise SpecError(where, f"must be {expected(hint)}, is {describe(raw)}", _unquoted(raw, arguments))


def _unquoted(raw: object, hints: tuple[Any, ...]) -> str:
    """Return the fix for a number that came as text where one of `hints` is a number."""
    wanted = int in hints or float in hints
    return "Write it without quotes." if wanted and isinstance(raw, str) and _numeric(raw) else ""


def _choices(raw: object, arguments: tuple[object, ...]) -> str:
    names = [str(choice) for choice in arguments]
    guess = suggest(str(raw), names)
    return guess if guess.startswith("Did") else f"Choose one of {', '.join(names)}."


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
