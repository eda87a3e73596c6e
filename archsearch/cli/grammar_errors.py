"""Errors for overrides that violate Hydra's grammar: the key or file, what cannot be parsed, and a valid example."""

from __future__ import annotations

import re
import shlex

from archsearch.decode import suggest
from archsearch.errors import SpecError
from archsearch.masking import mask

_EXAMPLES = {
    "choice": "choice(16, 32)",
    "range": "range(16, 65, 8)",
    "interval": "interval(0.1, 0.5)",
    "tag": "tag(log, interval(1e-4, 1e-2))",
    "int": "int(interval(1, 8))",
    "float": "float(choice(1, 2))",
    "str": "str(choice(1, 2))",
    "bool": "bool(choice(0, 1))",
    "sort": "sort(3, 1, 2)",
    "shuffle": "shuffle(range(1, 4))",
    "glob": "glob(dil*)",
}
_CALLED_ELSEWHERE = {
    **dict.fromkeys(("log", "loguniform", "log_uniform", "logspace"), "tag"),
    **dict.fromkeys(("uniform", "float_uniform", "normal"), "interval"),
    **dict.fromkeys(("categorical", "one_of", "oneof", "sample"), "choice"),
    **dict.fromkeys(("randint", "arange", "linspace", "int_uniform", "quniform"), "range"),
}
_PAIRS = {"(": ")", "[": "]", "{": "}"}


def grammar_error(override: str, cause: str = "", *, file: str = "") -> SpecError:
    """Return the error of an override that violates Hydra's grammar, or of `KEY: VALUE` of a space in `file`.

    `cause` is the message of Hydra's parser.
    """
    masked = mask(override)
    key, equals, value = masked.lstrip("+~").partition("=")
    if not equals or not re.fullmatch(r"[\w./@-]+", key):
        return SpecError(masked, "is not an override", "Write KEY=VALUE, such as train.epochs=20.")
    where = f"{file}: {key}" if file else key
    found = re.search(r"Unknown function '(\w+)'", cause)
    if found is not None:
        name = found[1]
        close = _CALLED_ELSEWHERE.get(name.lower()) or suggest(name, _EXAMPLES).removeprefix("Did you mean '")[:-2]
        example = _EXAMPLES.get(close, _EXAMPLES["choice"])
        known = f"The functions are {', '.join(_EXAMPLES)}."
        fix = f"Write {_written(key, example, file)}" if close in _EXAMPLES else known
        return SpecError(where, f"there is no function '{name}' in Hydra's grammar", fix)
    if (found := re.search(r"while evaluating '(\w+)\(.*?': (.+)", cause, re.DOTALL)) is not None:
        reason = " ".join(found[2].partition("\nSee https")[0].split())
        fix = f"Write {_written(key, _EXAMPLES.get(found[1], _EXAMPLES['choice']), file)}"
        return SpecError(where, f"Hydra cannot evaluate {value}: {reason}", fix)
    what = f"Hydra cannot parse the value {value}"
    if (missing := _unclosed(value)) and value.endswith((":", ",")):
        fix = f"A shell splits at spaces: quote the whole argument, such as '{key}={value} ...{missing}'"
        return SpecError(where, what, fix)
    if missing:
        return SpecError(where, what, f"Close the bracket: {_written(key, value + missing, file)}")
    quote = "'" if '"' in value else '"'
    example = _written(key, f"{quote}{value}{quote}", file) if quote not in value else f"{key}=..."
    return SpecError(where, what, f"Quote text that contains spaces, brackets, quotes, commas or =: {example}.")


def list_error(key: str, values: list[object], file: str) -> SpecError:
    """Return the error of a list in a space: a list is one value, not several."""
    listed = ", ".join(str(one).lower() if isinstance(one, bool) else str(one) for one in values)
    fix = f"To search over its values write {key}: choice({listed})"
    return SpecError(f"{file}: {key}", "is one list, not several values", fix)


def _written(key: str, value: str, file: str) -> str:
    """Return the assignment in shell syntax, or in YAML if there is a `file`."""
    return f"{key}: {value}" if file else shlex.quote(f"{key}={value}")


def _unclosed(value: str) -> str:
    """Return the closing brackets that `value` lacks; empty if it lacks none or is text."""
    if re.search(r"['\"]", value) or not re.match(r"[\[{]|\w+\(", value):
        return ""
    open_: list[str] = []
    for letter in value:
        if letter in _PAIRS:
            open_.append(_PAIRS[letter])
        elif open_ and letter == open_[-1]:
            open_.pop()
        elif letter in _PAIRS.values():
            return ""
    return "".join(reversed(open_))
