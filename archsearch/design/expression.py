"""The expression language of block specs: parses and evaluates arithmetic such as `in * expand`.

It has no `eval`, no attributes, and no calls except of the functions listed here. Imports the standard library,
`errors` and `decode` only.

Grammar, from lowest to highest precedence:
`a if c else b` | `or` | `and` | `not` | `== != < <= > >=` | `+ -` | `* / // %` | unary `-` | `**`
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from archsearch.decode import describe, suggest
from archsearch.errors import ChannelsError, SpecError

Value = int | float | bool | str
Scope = Mapping[str, Value]
Evaluator = Callable[[Scope], Value]

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)|(?P<name>[^\W\d]\w*)|(?P<sign>\*\*|//|==|!=|<=|>=|[-+*/%()<>,]))"
)
_MAX_LENGTH = 200
_MAX_DEPTH = 32  # of nested brackets, signs and conditions
_LARGEST = 10**18  # of any intermediate result
MAX_VALUE = 1_000_000
"""Maximum number of channels, taps or px of a layer; catches a misplaced digit."""
WORDS = frozenset({"if", "else", "or", "and", "not"})
"""Keywords of the grammar, which cannot be names."""


def multiple_of(value: float, divisor: float) -> int:
    """Return `value` rounded to the nearest multiple of `divisor`, at least `divisor`."""
    return int(max(divisor, math.floor(value / divisor + 0.5) * divisor))


def _round(value: float) -> int:
    return math.floor(value + 0.5)


def _divide(left: float, right: float) -> float:
    return left / right


def _divide_down(left: float, right: float) -> float:
    return left // right


def _either(left: Value, right: Value) -> bool:
    return bool(left or right)


def _both(left: Value, right: Value) -> bool:
    return bool(left and right)


_Operation = Callable[..., Any]
_FUNCTIONS: dict[str, tuple[_Operation, range]] = {
    "min": (min, range(1, 9)),
    "max": (max, range(1, 9)),
    "abs": (abs, range(1, 2)),
    "round": (_round, range(1, 2)),
    "floor": (math.floor, range(1, 2)),
    "ceil": (math.ceil, range(1, 2)),
    "multiple_of": (multiple_of, range(2, 3)),
}


def _power(base: float, exponent: float) -> float:
    if abs(exponent) > 16 or abs(base) > 1e6:
        raise SpecError("", f"{base} ** {exponent} is out of bounds", "Exponents are at most 16, bases at most 1e6.")
    if base < 0 and not float(exponent).is_integer():
        raise SpecError("", f"{base} ** {exponent} is not a real number", "Use abs(...), or a whole exponent.")
    return base**exponent


_BINARY: tuple[dict[str, _Operation], ...] = (
    {"or": _either},
    {"and": _both},
    {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge},
    {"+": operator.add, "-": operator.sub},
    {"*": operator.mul, "/": _divide, "//": _divide_down, "%": operator.mod},
)
_TAKES_TEXT = frozenset({operator.eq, operator.ne, _either, _both})


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A parsed expression: its text, the names that it reads, and the function that evaluates it.

    `value` is its value if that is known without a scope, otherwise None.
    """

    text: str
    names: frozenset[str]
    evaluate: Evaluator = field(compare=False, repr=False)
    value: Value | None = None


def parse(text: str, where: str) -> Expression:
    """Return `text` as an `Expression`; raises `SpecError` at `where` if it is not a valid one."""
    if len(text) > _MAX_LENGTH:
        raise SpecError(where, f"the expression has {len(text)} characters", f"At most {_MAX_LENGTH} are allowed.")
    parser = _Parser(text, where)
    evaluate = parser.ternary()
    parser.finish()
    return Expression(text=text, names=frozenset(parser.names), evaluate=evaluate)


def constant(value: Value) -> Expression:
    """Return the expression that is always `value`."""
    text = value if isinstance(value, str) else describe(value)
    return Expression(text=text, names=frozenset(), evaluate=lambda scope: value, value=value)


def settle(expression: Expression, scope: Scope) -> Expression:
    """Return `expression` with its value filled in if `scope` has all its names and it can be evaluated."""
    if expression.value is not None or not expression.names <= scope.keys():
        return expression
    try:
        return replace(expression, value=expression.evaluate(scope))
    except (ArithmeticError, TypeError, ValueError, SpecError):
        return expression  # `compute` raises when the value is needed


def check_names(expression: Expression, known: Mapping[str, object], where: str) -> None:
    """Raise `SpecError` at `where` if `expression` reads a name that is not among `known`."""
    for name in sorted(expression.names - known.keys()):
        raise SpecError(where, f"unknown parameter '{name}' in '{expression.text}'", suggest(name, known))


def integer(expression: Expression, scope: Scope, where: str, least: int) -> int:
    """Return the value of `expression`, an integer from `least` to `MAX_VALUE`; raises `SpecError` for any other."""
    value = compute(expression, scope, where)
    kind = SpecError if expression.value is not None else ChannelsError
    if type(value) is not int and not (isinstance(value, float) and value.is_integer()):
        fix = "Round it: round(...), floor(...) or //." if isinstance(value, float) else ""
        raise kind(where, f"'{expression.text}' gives {describe(value)}, must be an integer", fix)
    if value < least:
        raise kind(where, f"'{expression.text}' gives {describe(value)}, must be at least {least}")
    if value > MAX_VALUE:
        raise kind(where, f"'{expression.text}' gives {describe(value)}, must be at most {MAX_VALUE}")
    return int(value)


def condition(expression: Expression, scope: Scope, where: str) -> bool:
    """Return whether `expression` is true; raises `SpecError` for a string, which is neither true nor false."""
    value = compute(expression, scope, where)
    if isinstance(value, str):
        raise SpecError(where, f"'{expression.text}' gives {describe(value)}, must be true or false")
    return bool(value)


def compute(expression: Expression, scope: Scope, where: str) -> Value:
    """Return the value of `expression`; raises `SpecError` at `where` if it has none."""
    if expression.value is not None:
        return expression.value
    try:
        return expression.evaluate(scope)
    except ZeroDivisionError:
        raise SpecError(where, f"'{expression.text}' divides by zero") from None
    except TypeError:
        raise SpecError(where, f"'{expression.text}' mixes strings and numbers") from None
    except (OverflowError, ValueError):
        raise SpecError(where, f"'{expression.text}' is not a number from -1e18 to 1e18") from None
    except SpecError as error:
        raise SpecError(where, error.what, error.fix) from None


class _Parser:
    """Recursive-descent parser over the tokens of one text; the methods of grammar rules return evaluators."""

    def __init__(self, text: str, where: str) -> None:
        self.text, self.where = text, where
        self.names: set[str] = set()
        self.tokens = self._split(text)
        self.at = self.depth = 0

    def _split(self, text: str) -> list[str]:
        tokens: list[str] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None:
                raise self.error(f"unexpected character '{text[position:].strip()[0]}'")
            tokens.append(match.group().strip())
            position = match.end()
        return tokens

    def error(self, what: str) -> SpecError:
        return SpecError(self.where, f"'{self.text}': {what}", _HELP)

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def expect(self, token: str) -> None:
        if (found := self.take()) != token:
            raise self.error(f"expected '{token}', got {_quoted(found)}")

    def finish(self) -> None:
        if self.peek():
            raise self.error(f"unexpected '{self.peek()}'")

    def inner(self, part: Callable[[], Evaluator]) -> Evaluator:
        """Return `part()`, parsed one nesting level deeper; raises `SpecError` if that is too deep."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error(f"is nested more than {_MAX_DEPTH} levels deep")
        found = part()
        self.depth -= 1
        return found

    def ternary(self) -> Evaluator:
        value = self.binary(0)
        if self.peek() != "if":
            return value
        self.take()
        condition = self.binary(0)
        self.expect("else")
        otherwise = self.inner(self.ternary)
        return lambda scope: value(scope) if condition(scope) else otherwise(scope)

    def binary(self, level: int) -> Evaluator:
        if level == len(_BINARY):
            return self.unary()
        if level == 2 and self.peek() == "not":
            self.take()
            inner = self.inner(lambda: self.binary(level))
            return lambda scope: not inner(scope)
        left = self.binary(level + 1)
        while self.peek() in _BINARY[level]:
            left = _apply(_BINARY[level][self.take()], left, self.binary(level + 1))
        return left

    def unary(self) -> Evaluator:
        if self.peek() == "-":
            self.take()
            return _apply(operator.neg, self.inner(self.unary))
        base = self.atom()
        if self.peek() == "**":
            self.take()
            return _apply(_power, base, self.inner(self.unary))
        return base

    def atom(self) -> Evaluator:
        token = self.take()
        if token == "(":
            inner = self.inner(self.ternary)
            self.expect(")")
            return inner
        if token[:1].isdecimal() or token[:1] == ".":
            number: Value = float(token) if "." in token else int(token)
            return lambda scope: number
        if not token or token in WORDS or not (token[0].isalpha() or token[0] == "_"):
            raise self.error(f"expected a value, got {_quoted(token)}")
        if self.peek() == "(":
            return self.call(token)
        self.names.add(token)
        return lambda scope: scope[token]

    def call(self, name: str) -> Evaluator:
        if name not in _FUNCTIONS:
            raise self.error(f"unknown function '{name}'")
        function, counts = _FUNCTIONS[name]
        self.expect("(")
        arguments = [self.inner(self.ternary)]
        while self.peek() == ",":
            self.take()
            arguments.append(self.inner(self.ternary))
        self.expect(")")
        if len(arguments) not in counts:
            raise self.error(f"{name}() takes {counts[0]} argument(s), got {len(arguments)}")
        return _apply(function, *arguments)


def _apply(function: _Operation, *arguments: Evaluator) -> Evaluator:
    """Return an evaluator of `function`; arithmetic raises for text, and for results beyond `_LARGEST`."""
    if function in _TAKES_TEXT:
        return lambda scope: function(*[argument(scope) for argument in arguments])
    return lambda scope: _bounded(function(*[_number(argument(scope)) for argument in arguments]))


def _number(value: Value) -> float:
    if isinstance(value, str):
        raise TypeError
    return value


def _bounded(value: float) -> float:
    if not -_LARGEST <= value <= _LARGEST:  # true for nan, too
        raise OverflowError
    return value


def _quoted(token: str) -> str:
    return f"'{token}'" if token else "the end"


_HELP = f"Write numbers, parameters, + - * / // % ** and {', '.join(f'{name}()' for name in _FUNCTIONS)}."
