"""A fake task whose trainings take no time, and what else the tests of the search are made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from archsearch.analysis.limits import Margin
from archsearch.errors import SpecError
from archsearch.search.samplers.optuna_samplers import InMemoryStudy
from archsearch.search.space import Choice, Range, Space, Value
from archsearch.search.storage.database import Store
from archsearch.search.storage.study import Study, hash_of, open_study
from archsearch.search.sweep import Sweep
from archsearch.search.task import Candidate, Job, Outcome
from archsearch.settings.study import PrunerSettings, SamplerSettings, StudySettings


@dataclass
class FakeTask:
    """Designs of two widths and a block: the score grows with the widths, `most` limits their sum."""

    most: float = 1e9
    epochs: int = 3
    on_train: Callable[[Job], None] | None = None
    trained: list[dict[str, Value]] = field(default_factory=list)
    resumed: list[int] = field(default_factory=list)
    checked: int = 0

    def check(self, assignments: Mapping[str, Value]) -> Candidate:
        self.checked += 1
        if assignments.get("block") == "broken":
            raise SpecError("block", "cannot be built")
        size = self.size(assignments)
        margin = Margin(
            limit="parameters",
            bound={"at_most": self.most},
            found=int(size),
            kept=size <= self.most,
            slack=(self.most - size) / self.most,
        )
        # the second width does not count where the first is 1
        seen = {name: value for name, value in assignments.items() if not (name == "b" and assignments.get("a") == 1)}
        return Candidate(
            assignments=assignments,
            margins=(margin,),
            key=hash_of(seen),
            design_id=hash_of(seen),
            parameters=int(size),
            macs=int(size),
            receptive_field=1,
            features={"size": size},
            experiment=dict(assignments),
        )

    def size(self, assignments: Mapping[str, Any]) -> float:
        return float(assignments.get("a", 0)) + float(assignments.get("b", 0))

    def describe(self, candidate: Candidate) -> Mapping[str, Any]:
        return {"design": "a: design"}

    def smaller(self, candidate: Candidate) -> Candidate | None:
        return replace(candidate, experiment={**candidate.experiment, "halved": True})

    def train(self, job: Job) -> Outcome:
        if job.resume:
            self.resumed.append(job.number)
        else:
            self.trained.append(dict(job.candidate.assignments))
        if self.on_train is not None:
            self.on_train(job)
        score = self.size(job.candidate.assignments) / 100
        for epoch in range(1, self.epochs + 1):
            if job.on_epoch(epoch, score * epoch / self.epochs):
                return Outcome(measures={}, pruned=True)
        return Outcome(measures={"accuracy": score, "macs": float(job.candidate.macs)}, attrs={"note": "fake"})


class DeviceTask(FakeTask):
    """Records the device of every training, once trainings were sent to two devices."""

    def train(self, job: Job) -> Outcome:
        Path(f"at-{job.device}").touch()
        until = time.monotonic() + 60
        while len(list(Path().glob("at-*"))) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        return Outcome(measures={"accuracy": 0.5}, attrs={"sent_to": job.device})


def make_space() -> Space:
    return Space(
        parameters={
            "a": Choice(options=(1, 2, 3, 4, 5, 6)),
            "b": Range(low=1, high=40, integer=True),
            "block": Choice(options=("normal", "dilated")),
        }
    )


def make_settings(name: str = "random", *, pruner: str = "none", **changes: Any) -> StudySettings:
    sampler = SamplerSettings(name=name, seed=1, startup=4, population=4)
    settings = StudySettings(
        trials=6,
        sampler=sampler,
        pruner=PrunerSettings(name=pruner),  # type: ignore[arg-type]
        heartbeat=0.2,
        grace=60.0,  # a busy machine may stall a living worker for seconds
    )
    return replace(settings, **changes)


def make_sweep(settings: StudySettings | None = None, **changes: Any) -> Sweep:
    sweep = Sweep(space=make_space(), fixed={"train.epochs": 3}, folder=Path("outputs/sweep"))
    return replace(sweep, settings=settings or make_settings(), **changes)


def make_study(store: Store, objectives: tuple[str, ...] = ("accuracy",), name: str | None = None) -> Study:
    return open_study(
        store,
        name,
        data="shapes",
        fingerprint="f00d",
        limits="tiny",
        limits_text={"parameters": {"below": 5}},
        objectives=objectives,
    )


def make_memory_study() -> InMemoryStudy:
    from optuna.samplers import RandomSampler

    return InMemoryStudy(make_space(), ["maximize"], RandomSampler(seed=1))
