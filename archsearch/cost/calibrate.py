"""Measure a machine's step times: small networks train for a moment, and rates are fitted. Imports torch."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import nnls

from archsearch.cost.model import Rates, StepModel, once_a_step
from archsearch.cost.probes import CLASSES, Probe, checks, probes
from archsearch.cost.work import Work, work_of
from archsearch.network.assemble import assemble
from archsearch.settings.augment import AugmentPolicy, HorizontalFlip, RandomCrop, TransformChoice
from archsearch.settings.training import OptimizerSettings, TrainSettings
from archsearch.training.device import choose_device, device_name
from archsearch.training.timing import Clock, Timing, time_training

SECONDS = 0.08
"""Time of the measured steps of one network."""
_POLICY = AugmentPolicy(
    transforms=(TransformChoice(horizontal_flip=HorizontalFlip()), TransformChoice(random_crop=RandomCrop()))
)
_BATCH = {"cpu": 128}  # a small network's step fills a CPU at once, but not a GPU
_LARGE = 512
_RIDGE = 1e-2  # keeps rates small that the networks do not determine


@dataclass(frozen=True, slots=True)
class Measured:
    """A network, the batch that it was measured at, and how long it took."""

    probe: Probe
    batch: int
    timing: Timing

    @property
    def work(self) -> Mapping[str, Work]:
        """The work of a step of the network by kind."""
        return step_work(self.probe)


def step_work(probe: Probe) -> Mapping[str, Work]:
    """Return the work of a whole step of `probe` by kind."""
    plan = probe.plan
    return work_of(plan.layers, plan.input_shape)[0] | once_a_step(math.prod(plan.input_shape))


def calibrate(
    train: TrainSettings,
    optimizer: OptimizerSettings,
    *,
    seconds: float = SECONDS,
    clock: Clock = time.perf_counter,
    chosen: Callable[[Probe], bool] = lambda _: True,
) -> StepModel:
    """Return the model of steps with these settings on this machine; takes about a minute, less on many cores.

    `seconds` is the time for the steps of one network, `chosen` selects networks. Raises what a training raises.
    """
    device = choose_device(train.device)
    batch = _BATCH.get(device.type, _LARGE)

    plain = replace(  # compilation would take longer than the steps
        train,
        batch_size=batch,
        compile=False,
        kernels="torch" if train.compile is True else train.kernels,
        epochs=1,
        ema=None,
        weights=None,
        whiten=False,
        clip=None,
    )

    def measure(probe: Probe) -> Measured:
        timing = time_training(
            assemble(probe.plan),
            probe.plan.input_shape,
            CLASSES,
            settings=plain,
            optimizer=optimizer,
            policy=_POLICY,
            seconds=seconds,
            clock=clock,
        )
        return Measured(probe, batch, timing)

    fitted = [measure(one) for one in probes() if chosen(one)]
    checked = [measure(one) for one in checks() if chosen(one)]
    return model_of(device_name(device), fitted, checked)


def model_of(device: str, fitted: Sequence[Measured], checked: Sequence[Measured]) -> StepModel:
    """Return the model with the rates of `fitted`, scaled by one factor to `checked`, which also give its error."""
    rates = fit(fitted)
    model = StepModel(device=device, rates=rates, evaluated_image=_evaluated(checked or fitted), error=0.0)
    ratios = [math.log(one.timing.step / model.step_seconds(one.work, one.batch)) for one in checked or fitted]
    factor = statistics.fmean(ratios)
    error = statistics.median(abs(math.exp(factor - one) - 1) for one in ratios)
    a, b, c, d = (math.exp(factor),) * 4
    brought = {kind: (a * one[0], b * one[1], c * one[2], d * one[3]) for kind, one in rates.items()}
    return replace(model, rates=brought, error=error)


def fit(measured: Sequence[Measured]) -> dict[str, Rates]:
    """Return the rates by kind: non-negative least squares of the relative errors (Lawson and Hanson 1974).

    The rate of a call is shared by all kinds: launching a layer does not depend on what it computes, and two sizes of a
    kind do not separate it from the other rates.
    """
    kinds = sorted({kind for one in measured for kind in one.work})
    rows = [_amounts(one, kinds) for one in measured]
    relative_NC = np.array(rows, dtype=float) / np.array([one.timing.step for one in measured])[:, None]
    largest_C = relative_NC.max(axis=0)
    scale_C = np.where(largest_C > 0, largest_C, 1.0)
    system = np.vstack([relative_NC / scale_C, _RIDGE * np.eye(len(scale_C))])
    found_C, _ = nnls(system, np.concatenate([np.ones(len(measured)), np.zeros(len(scale_C))]))
    call, *others = (float(one) for one in found_C / scale_C)
    return {kind: (call, *others[3 * place : 3 * place + 3]) for place, kind in enumerate(kinds)}  # type: ignore[misc]


def _amounts(measured: Measured, kinds: Sequence[str]) -> list[int]:
    """Return the amounts of a step: the calls of all kinds together, and MACs, values and weights of each kind."""
    each = [measured.work.get(kind, Work()).of_batch(measured.batch) for kind in kinds]
    return [sum(calls for calls, *_ in each), *(amount for _, *amounts in each for amount in amounts)]


def _evaluated(measured: Sequence[Measured]) -> float:
    """Return the time of an image in an evaluation, relative to one in a training step."""
    return statistics.median(one.timing.evaluated_image * one.batch / one.timing.step for one in measured)
