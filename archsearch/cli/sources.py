"""Hydra's source of configuration files, with a check of each file before it is used.

Hydra reads every option of a group through it: from the shipped folder, `--config-dir` and `hydra.searchpath`.
Imports Hydra at module level, so import this module only where a configuration is composed.
"""

from __future__ import annotations

from pathlib import Path

from hydra._internal.core_plugins import file_config_source
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import OmegaConf

from archsearch.config_files import config_folder
from archsearch.config_files.limits import read_text
from archsearch.config_files.rules import check_option, is_hydras
from archsearch.errors import SpecError


class FileConfigSource(file_config_source.FileConfigSource):
    """A folder of groups; raises `SpecError` for a file that sets what only the command line may set.

    The class has the same name as Hydra's own source. A launcher's job restores the registry of sources and then
    discovers Hydra's plugins; Hydra accepts a second source for `file:` only if it has the same class name.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the content of the file `config_path`."""
        name = ConfigSource._normalize_file_name(config_path)
        file = Path(self.path, name)
        shipped = Path(self.path).resolve() == config_folder().resolve() and ".." not in name
        if shipped and (name == "config.yaml" or name.startswith("hydra/")):
            return super().load_config(config_path)  # archsearch's own settings for Hydra
        if is_hydras(name):
            fix = "Give Hydra's options on the command line, such as hydra.launcher.partition=NAME."
            raise SpecError(str(file), "is an option of Hydra's own, which can run any program", fix)
        if not shipped and file.is_file():
            read_text(file)
        found = super().load_config(config_path)
        group = name.rpartition("/")[0].replace("/", ".")
        package = found.header["package"]
        plain = OmegaConf.to_container(found.config, resolve=False)
        check_option(plain, str(file), package=group if package is None else package.replace("_group_", group))
        return found


def check_files() -> None:
    """Make Hydra read files through this module's `FileConfigSource`."""
    Plugins.instance()  # registers Hydra's own source, which the next line replaces
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
