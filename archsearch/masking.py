"""Mask passwords in the addresses of databases and servers, in any text.

In case of doubt, text is masked. Imports the standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

VARIABLE = "ARCHSEARCH_PASSWORD"
MASK = "***"

# The scheme in front of a password: any with at least one slash, or that of a database whose `://` is incomplete.
_SCHEME = (
    r"[A-Za-z][\w+.-]*:[/\\]+|(?:postgres\w*|mysql|mariadb|oracle|mssql|redis|mongodb)(?:\+\w+)?(?::(?![/\\])|;?[/\\]+)"
)
_NEXT = r"[A-Za-z][\w+.-]*:[/\\]"  # another address in the same text
# An interpolation (`${oc.env:X}`) and a mask are not passwords: they may be shown and stored.
_NOT_OPEN = r"\$\{[^}]*\}|\*\*\*"
_URL = re.compile(
    rf"(?P<head>(?:{_SCHEME})[^:/\\\n]*:)(?!(?:{_NOT_OPEN})@)(?P<secret>(?:(?!{_NEXT})[^\n])+)(?=@)", re.IGNORECASE
)
# In the address of a web server, a user without a password is a token (https://TOKEN@host); for databases, a name.
_TOKEN = re.compile(r"(?P<head>https?://)(?P<secret>[^\s/@:*$]+)(?=@)", re.IGNORECASE)
# In a text, an option's value ends at the next option, the end of the line, or a quote that closes the address. If the
# text is one address, a quote is part of the value.
_OPTION_HEAD = rf"(?P<head>[?&;](?:password|passwd|pwd|sslpassword|passphrase)=)(?!{_NOT_OPEN})"
_OPTION = re.compile(rf"{_OPTION_HEAD}(?P<secret>(?:(?!['\"](?:[\s.,:;)\]]|$))[^&;\n])*)", re.IGNORECASE)
_OPTION_OF_ADDRESS = re.compile(rf"{_OPTION_HEAD}(?P<secret>[^&;\n]*)", re.IGNORECASE)

_ASSIGNMENT = re.compile(r"(?P<key>[\w.@/+~-]+=)(?P<quote>['\"]?)(?P<value>(?![\[{]).*)(?P=quote)", re.DOTALL)
_ESCAPED = re.compile(r"\\([\\()\[\]{}:=, \t])")  # in Hydra's grammar, outside of quotes


def mask(text: str, *, of: str = "") -> str:
    """Return `text` with the password of every address in it replaced by `***`.

    Passwords of the address `of` are replaced wherever they occur, for example in an error that quotes a part of it.
    """
    found: list[str] = []
    _replace(of, lambda secret: found.append(secret) or MASK, _OPTION_OF_ADDRESS)
    for secret in found:
        text = text.replace(secret, MASK)
    return _replace(text, lambda _: MASK, _OPTION)


def mask_address(address: str) -> str:
    """Return `address` with its password replaced by `***`; quotes are part of the password."""
    return _replace(address, lambda _: MASK, _OPTION_OF_ADDRESS)


def mask_value(value: Any) -> Any:
    """Return a plain value (also nested mappings and lists) with every string and key masked as one address."""
    return _masked(value, mask_address)


def mask_texts(value: Any) -> Any:
    """Return a plain value (also nested mappings and lists) with the addresses in every string and key masked.

    `mask` on the value's JSON does not work: it would take an escaped newline for the slash of an address.
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

    Hydra writes the command line into every run directory; an interpolation stays unresolved there. `known` holds the
    variables of arguments that were hidden earlier; the returned mapping includes them.
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
    """Return `text`, part of a value in Hydra's grammar, with its escapes resolved as by Hydra."""
    if not quote:
        return _ESCAPED.sub(r"\1", text)
    return re.sub(rf"(\\*)\\{quote}", lambda match: match[1][: len(match[1]) // 2] + quote, text)


def _replace(text: str, replacement: Callable[[str], str], option: re.Pattern[str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        return match["head"] + replacement(match["secret"])

    return option.sub(replaced, _TOKEN.sub(replaced, _URL.sub(replaced, text)))
