"""Passwords in addresses of databases and servers: found in any text, and replaced; the one place that knows how.

Masks too much rather than too little. Imports the standard library alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

VARIABLE = "ARCHSEARCH_PASSWORD"
MASK = "***"

# What stands before a password: a scheme with slashes (one is often left out), or a database's without any, and a name.
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
# An option's value ends with the next option, the line, or a quote that closes the address.
_OPTION = re.compile(
    rf"(?P<head>[?&;](?:password|passwd|pwd|sslpassword|passphrase)=)(?!{_NOT_OPEN})"
    r"(?P<secret>(?:(?!['\"](?:[\s.,:;)\]]|$))[^&;\n])*)",
    re.IGNORECASE,
)


def mask(text: str) -> str:
    """Return `text` with the password of every address in it replaced by `***`."""
    return _replace(text, lambda secret: MASK)


def hide_passwords(arguments: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Return `arguments` with each password replaced by `${oc.env:...}`, and the environment variables that hold them.

    Hydra writes the command line into every run's folder; an interpolation stays unresolved there.
    """
    variables: dict[str, str] = {}

    def interpolation(secret: str) -> str:
        name = VARIABLE if not variables else f"{VARIABLE}_{len(variables) + 1}"
        variables[name] = secret
        return f"${{oc.env:{name}}}"

    return [_replace(one, interpolation) for one in arguments], variables


def _replace(text: str, replacement: Callable[[str], str]) -> str:
    def replaced(match: re.Match[str]) -> str:
        return match["head"] + replacement(match["secret"])

    return _OPTION.sub(replaced, _TOKEN.sub(replaced, _URL.sub(replaced, text)))
