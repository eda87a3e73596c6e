"""The sweeper that `-m` uses: reads Hydra's sweep grammar and runs `archsearch.search`.

Hydra imports this module at every start, so it imports nothing heavy at module level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper

if TYPE_CHECKING:
    from hydra.types import HydraContext, TaskFunction
    from omegaconf import DictConfig


# A plain node, not a dataclass: Hydra executes this file without entering it in sys.modules.
ConfigStore.instance().store(
    group="hydra/sweeper",
    name="archsearch",
    node={"_target_": "hydra_plugins.archsearch_sweeper.archsearch_sweeper.ArchsearchSweeper"},
    provider="archsearch_sweeper",
)


class ArchsearchSweeper(Sweeper):
    """Turns a multirun into a study: only comma lists into every combination once, anything else into a search."""

    def __init__(self) -> None:
        """Start without a configuration; Hydra calls `setup` next."""
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        del task_function  # a trial is trained by the search's own task, which reports every epoch
        self.hydra_context, self.config = hydra_context, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the search that `arguments` define and return the values of the complete trials by number."""
        from hydra.core.hydra_config import HydraConfig

        from hydra_plugins.archsearch_sweeper._searching import search

        context, config = self.hydra_context, self.config
        assert context is not None, "Hydra calls setup before sweep"
        assert config is not None, "Hydra calls setup before sweep"
        HydraConfig.instance().set_config(config)  # for ${hydra:...}, as in a job
        return search(context, config, arguments)
