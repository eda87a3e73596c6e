"""Passwords of a command line: kept from Hydra in environment variables, and masked in what Hydra prints and writes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from archsearch.formatting import printable
from archsearch.masking import hide_passwords, mask, mask_value


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set `variables` in the environment, and put back what was there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def hidden(arguments: Sequence[str], known: Mapping[str, str] | None = None) -> Iterator[list[str]]:
    """Yield `arguments` with `${oc.env:...}` instead of each password, which is in the environment meanwhile."""
    given, variables = hide_passwords(arguments, known or {})
    with environment(variables):
        yield given


@contextlib.contextmanager
def masked_output() -> Iterator[None]:
    """Mask the passwords and remove the control characters in all that is written to `sys.stdout` within the block."""
    with contextlib.redirect_stdout(_Masked(sys.stdout)):
        yield


class _Masked:
    """A text stream that masks what is written to it before it is passed to `stream`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(printable(mask_yaml(text)))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def mask_folder(folder: Path) -> None:
    """Mask the passwords in the YAML files that Hydra has written into `folder`."""
    for file in folder.glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        if (masked := mask_yaml(text)) != text:
            file.write_text(masked, encoding="utf-8")


def mask_yaml(text: str) -> str:
    """Return `text` masked; YAML with a password value by value, because long values are folded."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        tree = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (
        OmegaConfBaseException,
        YAMLError,
        ValueError,
        AssertionError,
    ):  # the last: one number, as of --package seed
        return mask(text)
    if (masked := mask_value(tree)) == tree:
        return mask(text)
    comments = [line for line in text.splitlines(keepends=True) if line.startswith("#")]
    return "".join([*comments, OmegaConf.to_yaml(OmegaConf.create(masked))])
