"""How Hydra reads the YAML files of groups: as it always does, after the checks of `archsearch.input_limits`.

Imports Hydra at its top; imported where Hydra is used.
"""

from __future__ import annotations

from pathlib import Path

from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.plugins.config_source import ConfigResult

from archsearch.config_files import config_folder
from archsearch.input_limits.files import read_text


class FileConfigSource(file_config_source.FileConfigSource):
    """Hydra's source of files, which refuses files that `read_text` refuses.

    It has the name of Hydra's own class, which Hydra then does not put in its place.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        file = Path(self.path, self._normalize_file_name(config_path))
        if file.is_file() and not file.is_relative_to(config_folder()):
            read_text(file)
        return super().load_config(config_path)


def check_files() -> None:
    """Have Hydra check every file of a group before it reads it."""
    SourcesRegistry.instance().types["file"] = FileConfigSource
