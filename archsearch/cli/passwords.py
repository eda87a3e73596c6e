"""Passwords on a command line: hidden from Hydra in environment variables, masked in what Hydra prints and writes."""

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
    """Set environment variables within the block, and restore their previous values afterwards."""
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
    """Yield `arguments` with `${oc.env:...}` in place of each password; the environment holds them within the block."""
    given, variables = hide_passwords(arguments, known or {})
    with environment(variables):
        yield given


@contextlib.contextmanager
def masked_output() -> Iterator[None]:
    """Mask passwords and remove control characters in everything written to `sys.stdout` within the block."""
    with contextlib.redirect_stdout(_Masked(sys.stdout)):
        yield


class _Masked:
    """A text stream that masks passwords in text before it passes the text on to `stream`."""

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
    """Return `text` with passwords masked.

    YAML that contains a password is masked value by value, because long values are folded over several lines.
    """
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
    ):  # AssertionError: the text is a single number, as `--package seed` prints it
        return mask(text)
    if (masked := mask_value(tree)) == tree:
        return mask(text)
    comments = [line for line in text.splitlines(keepends=True) if line.startswith("#")]
    return "".join([*comments, OmegaConf.to_yaml(OmegaConf.create(masked))])
