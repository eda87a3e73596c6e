"""The version, and the text of `run --help`, built without Hydra from the folders of groups.

Hydra would compose the whole configuration for it and parse the overrides again for every group: two seconds. The text
is that of `conf/hydra/help/archsearch.yaml`, which Hydra prints too. Imports PyYAML and `config_files` only.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from archsearch.config_files import config_folder
from archsearch.overrides import group_of

_ASKED = frozenset({"--help", "-h"})
_IDLE = frozenset({"--multirun", "-m", "--run", "-r"})
"""Flags that do not change the help."""
_FOLDER = frozenset({"--config-dir", "-cd"})


def help_asked(arguments: Sequence[str]) -> Sequence[Path] | None:
    """Return the user's folders if `arguments` ask for help that this module prints; None if Hydra handles them.

    Hydra handles any other flag, its own settings (`hydra.searchpath=...`), and a folder that does not exist.
    """
    folders: list[Path] = []
    asked = False
    left = iter(arguments)
    for one in left:
        flag, _, value = one.partition("=")
        if one in _ASKED:
            asked = True
        elif flag in _FOLDER:
            folders = [Path(value or next(left, "")).expanduser()]  # the last one counts, as in Hydra
        elif (one.startswith("-") and one not in _IDLE) or group_of(one) == "hydra":
            return None
    return folders if asked and all(folder.is_dir() for folder in folders) else None


def help_text(folders: Sequence[Path] = ()) -> str:
    """Return the help, with the options of the shipped groups and of those in `folders`."""
    from yaml import safe_load

    parts = safe_load((config_folder() / "hydra" / "help" / "archsearch.yaml").read_text(encoding="utf-8"))
    text = parts["template"].replace("$APP_CONFIG_GROUPS", _listed([config_folder(), *folders]))
    for name in ("header", "footer"):
        text = text.replace(f"${{hydra.help.{name}}}", parts[name])
    return f"{text}\n"


def _listed(folders: Sequence[Path]) -> str:
    """Return a line for every group of `folders` with the names of its options, without Hydra's own groups."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for folder in folders:
        for place, inner, files in os.walk(folder):
            inner[:] = [name for name in inner if name[0] not in "._"]
            group = Path(place).relative_to(folder)
            if group.parts and group.parts[0] != "hydra":
                found[group.as_posix()] |= {file[:-5] for file in files if file.endswith(".yaml")}
    return "".join(f"{group}: {', '.join(sorted(options))}\n" for group, options in sorted(found.items()) if options)


def version_text() -> str:
    """Return the version of archsearch as `--version` prints it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"archsearch {version('archsearch')}\n"
    except PackageNotFoundError:
        return "archsearch (not installed: a checkout)\n"
