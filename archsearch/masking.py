"""Passwords in addresses of databases and servers: found in any text, and replaced.

Masks too much rather than too little. Imports the standard library alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

VARIABLE = "ARCHSEARCH_PASSWORD"
MASK = "***"

# What precedes a password: a scheme with slashes (one is often left out), or a database's without any, and a name.
_SCHEME = (
    r"[A-Za-z][\w+.-]*:[/\\]+|(?:postgres\w*|mysql|mariadb|oracle|mssql|redis|mongodb)(?:\+\w+)?(?::(?![/\\])|;?[/\\]+)"
)
_NEXT = r"[A-Za-z][\w+.-]*:[/\\]"  # a further address in the same text
# An interpolation (`${oc.env:X}`) and a mask are no passwords: they may be shown and stored.
_NOT_OPEN = r"\$\{[^}]*\}|\*\*\*"
_URL = re.compile(
    rf"(?P<head>(?:{_SCHEME})[^:/\\\n]*:)(?!(?:{_NOT_OPEN})@)(?P<secret>(?:(?!{_NEXT})[^\n])+)(?=@)", re.IGNORECASE
)
# A server's user without a password is a token, as in https://TOKEN@host; a database's is a name.
_TOKEN = re.compile(r"(?P<head>https?://)(?P<secret>[^\s/@:*$]+)(?=@)", re.IGNORECASE)
# In a text an option's value ends with the next option, the line, or a quote that closes the address; where the text is
# one address, a quote is part of the value.
_OPTION_HEAD = rf"(?P<head>[?&;](?:password|passwd|pwd|sslpassword|passphrase)=)(?!{_NOT_OPEN})"
_OPTION = re.compile(rf"{_OPTION_HEAD}(?P<secret>(?:(?!['\"](?:[\s.,:;)\]]|$))[^&;\n])*)", re.IGNORECASE)
_OPTION_OF_ADDRESS = re.compile(rf"{_OPTION_HEAD}(?P<secret>[^&;\n]*)", re.IGNORECASE)

_ASSIGNMENT = re.compile(r"(?P<key>[\w.@/+~-]+=)(?P<quote>['\"]?)(?P<value>(?![\[{]).*)(?P=quote)", re.DOTALL)
_ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")  # in Hydra's grammar, outside of quotes


def mask(text: str, *, of: str = "") -> str:
    """Return `text` with the password of every address in it replaced by `***`.

    Passwords of the address `of` are replaced wherever they are, such as in an error that names a part of it.
    """
    found: list[str] = []
    _replace(of, lambda secret: found.append(secret) or MASK, _OPTION_OF_ADDRESS)
    for secret in found:
        text = text.replace(secret, MASK)
    return _replace(text, lambda _: MASK, _OPTION)


def mask_address(address: str) -> str:
    """Return `address` with its password replaced by `***`; a quote does not end it."""
    return _replace(address, lambda _: MASK, _OPTION_OF_ADDRESS)


def mask_value(value: Any) -> Any:
    """Return a plain value, or mappings and lists of such, with every text and key masked as one address."""
    return _masked(value, mask_address)


def mask_texts(value: Any) -> Any:
    """Return a plain value, or mappings and lists of such, with the addresses in every text and key masked.

    In the JSON of the same value `mask` would take an escaped line end for the slash of an address.
    """
    return _masked(value, mask)


def _masked(value: Any, by: Callable[[str], str]) -> Any:
    match value:
        case str():
            return by(value)
        case dict():
            return {_masked(key, by): _masked(item, by) for key, item in value.items()}
        case list():
            return [_masked(item, by) for item in value]
        case _:
            return value


def hide_passwords(
    arguments: Iterable[str], known: Mapping[str, str] = MappingProxyType({})
) -> tuple[list[str], dict[str, str]]:
    """Return `arguments` with each password replaced by `${oc.env:...}`, and the environment variables that hold them.

    Hydra writes the command line into every run's folder; an interpolation stays unresolved there. `known` are
    variables of arguments that were hidden before; the returned ones include them.
    """
    variables = dict(known)

    def hidden(argument: str) -> str:
        match = _ASSIGNMENT.fullmatch(argument)
        quote = match["quote"] if match else ""

        def interpolation(secret: str) -> str:
            name = f"{VARIABLE}_{len(variables) + 1}" if variables else VARIABLE
            variables[name] = _unescaped(secret, quote) if match else secret
            return f"${{oc.env:{name}}}"

        if match is None:
            return _replace(argument, interpolation, _OPTION)
        return f"{match['key']}{quote}{_replace(match['value'], interpolation, _OPTION_OF_ADDRESS)}{quote}"

    return [hidden(one) for one in arguments], variables


def _unescaped(text: str, quote: str) -> str:
    """Return `text`, part of a value in Hydra's grammar, as Hydra reads it."""
    if not quote:
        return _ESCAPED.sub(r"\1", text)
    return re.sub(rf"(\\*)\\{quote}", lambda match: match[1][: len(match[1]) // 2] + quote, text)


def _replace(text: str, replacement: Callable[[str], str], option: re.Pattern[str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        return match["head"] + replacement(match["secret"])

    return option.sub(replaced, _TOKEN.sub(replaced, _URL.sub(replaced, text)))
