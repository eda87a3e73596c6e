"""One sweep: its space, the assignments that all its designs share, and a name that identifies its command."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from archsearch.config_files import ConfigSources
from archsearch.errors import SpecError
from archsearch.formatting import number
from archsearch.overrides import group_of
from archsearch.search.space import Params, Space, Value
from archsearch.search.storage.declarations import Declaration, of_parameter
from archsearch.search.task import hash_of
from archsearch.settings.study import StudySettings

if TYPE_CHECKING:
    from archsearch.search.samplers.observations import Observation

MOST_COMBINATIONS = 100_000
EPOCHS = "train.epochs"  # the key that a rung sets


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A search over `space`; `fixed` are assignments that all its designs share, `base` the command line's overrides.

    Designs are composed from `base` and the user's own `sources`.

    If `exhaustive`, every combination is trained once, in the order of `combinations`; otherwise
    `settings.most_trials` designs are trained. Trials write their files below `folder`. With `rungs` (ascending numbers
    of epochs, the last one for a full training), a design starts at the first rung and may be promoted.
    """

    space: Space
    fixed: Mapping[str, Value] = field(default_factory=dict)
    base: tuple[str, ...] = ()
    sources: ConfigSources = field(default_factory=ConfigSources)
    exhaustive: bool = False
    folder: Path = Path("outputs/sweeps")
    settings: StudySettings = field(default_factory=StudySettings)
    epochs: int | None = None  # of a full training, if it is the same for all designs
    rungs: tuple[int, ...] = ()
    enqueued: tuple[Params, ...] = ()  # points that are trained first
    earlier: tuple[Observation, ...] = ()  # trained designs of an earlier study, for the sampler

    @property
    def name(self) -> str:
        """A 16-digit hash of space and overrides that identifies the command; search and tracking do not count."""
        parameters = {name: [type(each).__name__, asdict(each)] for name, each in self.space.parameters.items()}
        base = sorted(one for one in self.base if group_of(one) != "tracking")
        return hash_of([parameters, dict(self.fixed), base, self.exhaustive])

    @property
    def declarations(self) -> dict[str, Declaration]:
        """How the parameters are stored."""
        return {name: of_parameter(parameter) for name, parameter in self.space.parameters.items()}

    def assignments(self, params: Params, rung: int | None = None) -> dict[str, Value]:
        """Return all assignments of a point of the space for a training at `rung`, by default the lowest one."""
        chosen = self.rungs[0] if rung is None and self.rungs else rung
        return {**self.fixed, **params, **({} if self.is_whole(chosen) else {EPOCHS: chosen})}

    def is_whole(self, rung: int | None) -> bool:
        """Return whether a training at the rung is a full training."""
        return rung is None or not self.rungs or rung == self.rungs[-1]

    def combinations(self) -> Iterator[dict[str, Value]]:
        """Yield every point; the last parameter varies fastest, as in Hydra's own sweeper."""
        size = require_grid(self.space)
        sizes = [(name, each, each.size or 1) for name, each in self.space.parameters.items()]
        for index in range(size):
            point: dict[str, Value] = {}
            rest = math.prod(count for _, _, count in sizes)
            for name, parameter, count in sizes:
                rest //= count
                point[name] = parameter.at(index // rest % count)
            yield point

    def run_dir(self) -> str:
        """Return the folder of a trial's files, with `{number}` in place of the trial's number."""
        return str(self.folder / "{number}")


def require_grid(space: Space) -> int:
    """Return the number of points of `space`; raises `SpecError` if they are infinitely many, or too many to list."""
    size = space.size
    if size is None:
        names = [name for name, each in space.parameters.items() if each.size is None]
        fix = "Give it a step, name its values with choice(...), or take another sampler."
        raise SpecError(names[0], "is continuous: a grid needs finitely many values", fix)
    if size > MOST_COMBINATIONS:
        what = f"{number(size)} combinations are too many for a grid"
        raise SpecError("study.sampler", what, "Take another sampler: sampler=footprint study.trials=100.")
    return size
