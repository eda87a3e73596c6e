"""Studies made up for the report: plausible ones with every state, hostile ones, and odd ones."""

from __future__ import annotations

import datetime
import json
import math
import random
from collections.abc import Callable, Mapping
from typing import Any

from archsearch.analysis.check import Checked
from archsearch.analysis.limits import margin_record
from archsearch.report.vocabulary import DUPLICATE, INFEASIBLE
from archsearch.runs.record import design_yaml
from archsearch.search.storage.read import Direction, StudyRead, TrialRead, TrialState

HOSTILE = "</title></script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202e\x00"
START = datetime.datetime(2026, 3, 1, 8, 0, tzinfo=datetime.UTC)
LIMITS = {
    "receptive_field": {"above": 44},
    "parameters": {"below": 200_000},
    "contains": ["depthwise_separable", "dilated"],
    "forbids": ["max_pool", "average_pool"],
    "downsampling": {"layers": 3, "by": ["strided", "dilated"]},
    "head": "global_average",
}
BLOCKS = ("normal", "depthwise", "dilated", "inverted", "blueprint")
TRACE = 'Traceback (most recent call last):\n  File "net.py", line 3, in <module>\nRuntimeError: a <b>bug</b>\n'


def make_trial(number: int, state: TrialState = "complete", **more: Any) -> TrialRead:
    """Return a trial of which nothing is known but what is given."""
    given: dict[str, Any] = {
        "values": None,
        "assignments": {},
        "constraints": {},
        "history": {},
        "attrs": {},
        "started": None,
        "finished": None,
    }
    return TrialRead(number=number, state=state, **{**given, **more})


def make_study(trials: list[TrialRead], **more: Any) -> StudyRead:
    given: dict[str, Any] = {"name": "study", "objectives": ("accuracy",), "directions": ("maximize",), "attrs": {}}
    return StudyRead(trials=tuple(trials), **{**given, **more})


def plausible(
    checked: Callable[..., Checked],
    count: int = 200,
    *,
    name: str = "cifar10-advanced_convolution",
    several: bool = False,
) -> StudyRead:
    """Return a study as a search of `count` trials leaves it; of several objectives it has accuracy and MACs."""
    draw = random.Random(7)
    designs = [
        checked(arch, block)
        for arch, block in (("c1c2c3c4", "depthwise"), ("assignment", "normal"), ("c1c2c3c4", "dilated"))
    ]
    objectives, directions = (
        (("accuracy",), ("maximize",)) if not several else (("accuracy", "macs"), ("maximize", "minimize"))
    )
    trials = [_trial(draw, number, designs[number % len(designs)], several=several) for number in range(count)]
    attrs = {
        "data": "cifar10",
        "data_fingerprint": "5f0c2b9d11aa73e4",
        "limits": "advanced_convolution",
        "limits_text": LIMITS,
    }
    ways: tuple[Direction, ...] = directions  # type: ignore[assignment]
    return StudyRead(name=name, objectives=objectives, directions=ways, attrs=attrs, trials=tuple(trials))


def _trial(draw: random.Random, number: int, checked: Checked, *, several: bool) -> TrialRead:
    roll = draw.random()
    state: TrialState = (
        INFEASIBLE
        if roll < 0.2
        else "pruned"
        if roll < 0.42
        else "failed"
        if roll < 0.45
        else "diverged"
        if roll < 0.48
        else DUPLICATE
        if roll < 0.5
        else "complete"
    )
    assignments: Mapping[str, Any] = {
        **{f"arch.stages.c{stage}.block": draw.choice(BLOCKS) for stage in (1, 2, 3, 4)},
        **{f"arch.stages.c{stage}.width": draw.randrange(16, 129, 8) for stage in (1, 2, 3, 4)},
        "arch.stages.c4.dilation": draw.choice((2, 3)),
        "optimizer.weight_decay": 10 ** draw.uniform(-4, -2.3),
        "train.label_smoothing": draw.choice((0.0, 0.1)),
        "arch.width": "fit",
    }
    parameters = int(10 ** draw.uniform(4.3, 5.29))
    macs = int(parameters * draw.uniform(60, 260))
    field = draw.randrange(45, 120, 2)
    began = START + datetime.timedelta(minutes=7 * number)
    attrs: dict[str, Any] = {
        "assignments": dict(assignments),
        "sweep": "5a" * 8,
        "state_reason": state,
        "parameters": parameters,
        "macs": macs,
        "receptive_field": field,
    }
    if state == INFEASIBLE:
        broken = draw.sample(["receptive_field", "parameters", "contains"], draw.choice((1, 1, 2)))
        constraints = {name: draw.uniform(0.01, 2) if name in broken else -0.2 for name in LIMITS}
        counts = {"proposed": 40, "feasible": 11, "by_limit": {"receptive_field": 18, "parameters": 9, "contains": 6}}
        return make_trial(
            number,
            state,
            assignments=assignments,
            constraints=constraints,
            started=began,
            finished=began,
            attrs={**attrs, "cause": "breaks " + ", ".join(broken), "screened": counts},
        )
    top = 0.72 + 0.04 * math.log10(parameters / 1e4) * 2 + 0.0002 * number + draw.gauss(0, 0.015)
    epochs = 40 if state == "complete" else draw.randrange(2, 14)
    speed = draw.uniform(5, 9)
    history = {
        epoch: top * (1 - 0.75 * math.exp(-epoch / speed)) + draw.gauss(0, 0.006) for epoch in range(1, epochs + 1)
    }
    if state == "diverged":
        history[epochs] = math.nan
    seconds = epochs * draw.uniform(1.5, 2.4)
    attrs |= {
        "run_dir": f"outputs/sweeps/2026-03-01/{number:04d}",
        "key": f"{number:016x}",
        "seconds": round(seconds, 3),
        "device": "NVIDIA H100 80GB HBM3",
        "precision": "bfloat16",
        "epochs": epochs,
        "seed": 0,
        "versions": {"python": "3.12.4", "torch": "2.14.0"},
        "design": design_yaml(checked),
        "margins": json.dumps([margin_record(margin) for margin in checked.margins]),
    }
    if state == "failed":
        attrs |= {"cause": "RuntimeError: a <b>bug</b>", "traceback": TRACE}
    if state == "diverged":
        attrs["cause"] = f"the loss is not a number in epoch {epochs}"
    last = history[epochs]
    values = None if state != "complete" else (last, float(macs)) if several else (last,)
    return make_trial(
        number,
        state,
        values=values,
        assignments=assignments,
        constraints=dict.fromkeys(LIMITS, -0.3),
        history=history,
        attrs=attrs,
        started=began,
        finished=began + datetime.timedelta(seconds=seconds),
    )


def hostile() -> StudyRead:
    """Return a study all of whose texts try to be markup."""
    attrs = {
        "design": HOSTILE,
        "run_dir": HOSTILE,
        "cause": HOSTILE,
        "traceback": HOSTILE,
        "device": HOSTILE,
        "seed": HOSTILE,
        "versions": {HOSTILE: HOSTILE},
        "margins": json.dumps([{"limit": HOSTILE, "bound": {HOSTILE: HOSTILE}, "found": HOSTILE}]),
        "parameters": 1000,
        "macs": 2000,
        "key": HOSTILE,
        "precision": HOSTILE,
    }
    trials = [
        make_trial(
            number,
            state,
            values=(0.5 + number / 100, 1.0) if state == "complete" else None,
            assignments={HOSTILE: f"{HOSTILE}{number}", "same": HOSTILE},
            constraints={HOSTILE: 0.5},
            history={1: 0.25, 2: 0.5},
            attrs=attrs,
        )
        for number, state in enumerate(("complete", "complete", "failed", INFEASIBLE, "diverged", "pruned", "running"))
    ]
    study_attrs = {"data": HOSTILE, "limits": HOSTILE, "limits_text": {HOSTILE: {HOSTILE: [HOSTILE]}}, HOSTILE: HOSTILE}
    return make_study(
        trials, name=HOSTILE, objectives=(HOSTILE, "x<y"), directions=("maximize", "minimize"), attrs=study_attrs
    )


def odd() -> dict[str, StudyRead]:
    """Return studies that a report must survive, by what is odd about them."""
    nan, inf = math.nan, math.inf
    wrong = {
        "parameters": "many",
        "macs": nan,
        "receptive_field": None,
        "seconds": "long",
        "margins": "{",
        "versions": 3,
        "unused": "no",
        "screened": "yes",
        "run_dir": 5,
        "device": ["a"],
        "design": "- a\n- b: [",
    }
    foreign = [
        make_trial(0, values=(1.0, 2.0), assignments={"x": 0.5, "y": None}),
        make_trial(1, values=(nan, inf), assignments={"x": "a", "y": True}, history={0: nan, 3: inf}),
        make_trial(2, values=(-inf, 1e308), attrs=wrong, assignments={"x": [1], "z": {"a": 1}}),
        make_trial(3, values=(1e308, -1e308), attrs={"parameters": 10**400, "macs": True}),
        make_trial(4, "failed"),
        make_trial(5, "running"),
        make_trial(6, "waiting"),
        make_trial(7, "pruned", attrs=wrong),
    ]
    return {
        "empty": make_study([]),
        "single": make_study([make_trial(0, values=(0.5,), attrs={"parameters": 10, "macs": 20}, history={1: 0.5})]),
        "running": make_study([make_trial(0, "running", history={1: 0.25}), make_trial(1, "waiting")]),
        "infeasible": make_study(
            [make_trial(i, INFEASIBLE, constraints={"parameters": 0.1 * i + 0.1}) for i in range(30)]
        ),
        "infeasible without limits": make_study([make_trial(i, INFEASIBLE) for i in range(3)]),
        "failed": make_study([make_trial(i, "failed", attrs={"cause": f"cause {i}"}) for i in range(30)]),
        "not a number": make_study([make_trial(i, values=(nan,), attrs={"parameters": nan}) for i in range(3)]),
        "the same": make_study([make_trial(i, values=(0.5,), attrs={"parameters": 7, "macs": 0}) for i in range(12)]),
        "nothing": make_study([make_trial(0, values=(0.0,), attrs={"parameters": 0, "macs": -5}, history={1: 0.0})]),
        "foreign": make_study(foreign, objectives=("value_0", "value_1"), directions=("maximize", "minimize")),
        "wrong attributes": make_study(
            [make_trial(0, attrs=wrong, values=(3.0,))], attrs={"limits_text": [1], "data": {}}
        ),
        "four objectives": make_study(
            [make_trial(i, values=(i / 9, i, -i, 5 - i), attrs={"macs": i * 10**6 + 1}) for i in range(9)],
            objectives=("accuracy", "parameters", "b", "c"),
            directions=("maximize", "minimize", "minimize", "maximize"),
        ),
    }
