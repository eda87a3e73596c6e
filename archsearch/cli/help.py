"""The version, and the text of `run --help`, built from the folders of groups without Hydra.

Hydra would compose the whole configuration and parse the overrides again for every group, which takes two seconds. The
text is that of `conf/hydra/help/archsearch.yaml`; Hydra itself would list the names of options without descriptions.
Imports only PyYAML, `config_files` and `overrides`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from archsearch.config_files import MAIN, config_folder
from archsearch.config_files.summaries import listing
from archsearch.overrides import group_of

_ASKED = frozenset({"--help", "-h"})
_IDLE = frozenset({"--multirun", "-m", "--run", "-r"})
"""Flags that do not change the help."""
_FOLDER = frozenset({"--config-dir", "-cd"})


def help_asked(arguments: Sequence[str]) -> Sequence[Path] | None:
    """Return the user's folders if `arguments` request help that this module prints; None if Hydra handles them.

    Hydra handles all other flags, its own settings (`hydra.searchpath=...`), and folders that do not exist.
    """
    folders: list[Path] = []
    asked = False
    left = iter(arguments)
    for one in left:
        flag, _, value = one.partition("=")
        if one in _ASKED:
            asked = True
        elif flag in _FOLDER:
            folders = [Path(value or next(left, "")).expanduser()]  # as in Hydra, the last one applies
        elif (one.startswith("-") and one not in _IDLE) or group_of(one) == "hydra":
            return None
    return folders if asked and all(folder.is_dir() for folder in folders) else None


def help_text(folders: Sequence[Path] = ()) -> str:
    """Return the help text, with the options of the shipped groups and of the groups in `folders`."""
    from yaml import safe_load

    parts = safe_load((config_folder() / "hydra" / "help" / "archsearch.yaml").read_text(encoding="utf-8"))
    text = parts["template"].replace("$APP_CONFIG_GROUPS", groups_text(folders))
    for name in ("header", "footer"):
        text = text.replace(f"${{hydra.help.{name}}}", parts[name])
    return f"{text}\n"


def groups_text(folders: Sequence[Path] = ()) -> str:
    """Return the shipped groups and those in `folders` with their options; `*` marks the default of a group."""
    from yaml import safe_load

    main = safe_load((config_folder() / f"{MAIN}.yaml").read_text(encoding="utf-8"))
    pairs = [pair for entry in main["defaults"] if isinstance(entry, dict) for pair in entry.items()]
    text = listing([config_folder(), *folders], {group: option for group, option in pairs if option})
    return f"{text}* marks the default of a group. --cfg job prints all keys with their values."


def version_text() -> str:
    """Return the version of archsearch as `--version` prints it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return f"archsearch {version('archsearch')}\n"
    except PackageNotFoundError:
        return "archsearch (not installed: a checkout)\n"
