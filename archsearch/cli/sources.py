"""Hydra's source of configuration files, with each file checked before it is used.

Hydra reads every option of a group through it: of the shipped folder, of `--config-dir` and of `hydra.searchpath`.
Imports Hydra at its top, so it is imported where a configuration is composed.
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

    It has the name of Hydra's own source. A launcher's job restores the registry of sources and then discovers Hydra's
    plugins, and Hydra accepts a second source for `file:` only under the same class name.
    """

    def load_config(self, config_path: str) -> ConfigResult:
        """Return the content of the file `config_path`."""
        name = ConfigSource._normalize_file_name(config_path)
        file = Path(self.path, name)
        shipped = Path(self.path).resolve() == config_folder().resolve() and ".." not in name
        if shipped and (name == "config.yaml" or name.startswith("hydra/")):
            return super().load_config(config_path)  # the program's own settings of Hydra
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
    """Let Hydra read files through this module's `FileConfigSource`."""
    Plugins.instance()  # it registers Hydra's own source first
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = FileConfigSource
