"""Where the shipped YAML lies, in a checkout and in an installed wheel alike.

Imports the standard library and `errors` only.
"""

from __future__ import annotations

from pathlib import Path

from archsearch.errors import StorageError

_PACKAGE = Path(__file__).resolve().parent


def config_folder(package: Path = _PACKAGE) -> Path:
    """Return the folder of the shipped configuration groups, absolute.

    An installed wheel carries it inside the package, a checkout beside it.
    Raises `StorageError` where neither is there: the installation is broken.
    """
    candidates = (package / "conf", package.parent / "conf")
    for folder in candidates:
        if folder.is_dir():
            return folder
    tried = " and ".join(str(folder) for folder in candidates)
    raise StorageError(f"the shipped configuration is missing; looked in {tried}. Install archsearch again.")
