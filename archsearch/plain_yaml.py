"""YAML without OmegaConf, for what is plain: the same values as OmegaConf's reader gives, or `NotPlain`.

OmegaConf takes longer to be loaded than a design to be analysed. What it does beyond reading (interpolations in their
many forms, its own checks and messages) is left to it: whoever gets `NotPlain` asks it instead.
Imports the standard library and PyYAML only.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*(?:\.\w+)*)\}")
_FLOAT = re.compile(
    r"""^(?:
     [-+]?[0-9]+(?:_[0-9]+)*\.[0-9_]*(?:[eE][-+]?[0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?:[eE][-+]?[0-9]+)
    |\.[0-9]+(?:_[0-9]+)*(?:[eE][-+][0-9]+)?
    |[-+]?[0-9]+(?:_[0-9]+)*(?::[0-5]?[0-9])+\.[0-9_]*
    |[-+]?\.(?:inf|Inf|INF)
    |\.(?:nan|NaN|NAN))$""",
    re.VERBOSE,
)
"""What OmegaConf takes for a number with a fraction: unlike PyYAML also `1e-3`."""


class NotPlain(Exception):
    """What is asked for needs OmegaConf or Hydra."""


def read_plain(file: Path) -> dict[str, Any]:
    """Return the mapping in the YAML `file`; raises `NotPlain` where there is none, or any doubt of what it holds."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise NotPlain from None
    return parse_plain(text)


def parse_plain(text: str, *, without: str | None = None) -> dict[str, Any]:
    """Return the mapping in the YAML `text` but for its key `without`; `${a.b}` stays. See `read_plain`."""
    from yaml import YAMLError, load

    try:
        found = load(text, _loader())
    except (YAMLError, ValueError):
        raise NotPlain from None
    if not isinstance(found, dict) or not found:
        raise NotPlain
    found.pop(without, None)
    require_plain(found)
    return found


def reference(value: Any) -> str | None:
    """Return the dotted key that `value` refers to as a whole (`${data.classes}`), None where it refers to nothing.

    Raises `NotPlain` for an interpolation of any other form.
    """
    if not isinstance(value, str) or "${" not in value:
        return None
    match = _REFERENCE.fullmatch(value)
    if match is None:
        raise NotPlain
    return match[1]


def require_plain(value: Any) -> None:
    """Raise `NotPlain` for values that OmegaConf would refuse or change."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise NotPlain
            require_plain(item)
    elif isinstance(value, list):
        for item in value:
            require_plain(item)
    elif isinstance(value, str):
        reference(value)
    elif value is not None and not isinstance(value, bool | int | float):
        raise NotPlain


@functools.cache
def _loader() -> type:
    """Return the loader of YAML: OmegaConf's rules for numbers and dates, twice the same key refused."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where PyYAML has been built with it

    class Loader(base):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            keys = [key.value for key, _ in node.value]
            if len(set(keys)) < len(keys):
                raise NotPlain
            return super().construct_mapping(node, deep=deep)

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    Loader.yaml_implicit_resolvers = {
        first: [(tag, each) for tag, each in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in Loader.yaml_implicit_resolvers.items()
    }
    return Loader
