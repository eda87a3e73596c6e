"""The training of one network: steps, epochs, checkpoints, and what is written into the run's folder.

Knows `nn.Module` and a data set; never a plan, a study, hydra or optuna.
Shapes: B batch, N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from archsearch.augment.make import Augmenter
from archsearch.errors import DivergedError, InterruptedRun
from archsearch.kernels import equip, load_kernels
from archsearch.settings.training import OptimizerSettings, ScheduleSettings, TrainSettings
from archsearch.signals import StopRequest
from archsearch.training import checkpoint
from archsearch.training.average import make_average, update_average
from archsearch.training.checkpoint import RunState, make_identity, restore_checkpoint, save_checkpoint
from archsearch.training.compiling import Forward, forget_compiled
from archsearch.training.descent import make_step
from archsearch.training.device import Precision, choose_device, choose_precision, freed_after, switches
from archsearch.training.evaluation import Resident, Score, View, logits_of, mirrored_score, reside, score_of
from archsearch.training.feed import Feed
from archsearch.training.forward import Way, choose_way
from archsearch.training.graphs import wants_graphs
from archsearch.training.optimizers import make_optimizers, set_learning_rate
from archsearch.training.outcome import derive_seed, diverged, summarise, write_weights
from archsearch.training.progress import Progress, Silent
from archsearch.training.recalibrate import recalibrate
from archsearch.training.result import EpochRecord, TrainResult, best_epoch
from archsearch.training.schedule import learning_rate_ratio
from archsearch.training.step import Loss, PlainStep, RecordedStep
from archsearch.training.storage import append_metrics, write_metrics
from archsearch.training.watch import FiniteWatch
from archsearch.training.whiten import whiten_first

if TYPE_CHECKING:
    from archsearch.data import Dataset

METRICS, WEIGHTS = "metrics.jsonl", "model.safetensors"
_LOOK_EVERY = 50  # steps between two looks at the loss


def train(
    network: nn.Module,
    dataset: Dataset,
    *,
    settings: TrainSettings,
    optimizer: OptimizerSettings,
    schedule: ScheduleSettings,
    augmenter: Augmenter,
    seed: int,
    run_dir: Path,
    on_epoch: Callable[[int, float], bool] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    evaluate_test: bool = True,
    metadata: Mapping[str, str] | None = None,
) -> TrainResult:
    """Train `network` in place and return what came of it; `network` then holds the weights of the result.

    Writes `metrics.jsonl`, `checkpoint.pt` and, unless pruned, `model.safetensors` (with `metadata`) into
    `run_dir`. The checkpoint stays until `discard_checkpoint`, which belongs after the result is on disk.
    `on_epoch(epoch, validation accuracy)` is called after every evaluated epoch, 1 being the first, and ends
    the run as pruned by returning True; with `resume` it is called again for the epochs already done.
    With `resume` the run goes on from the checkpoint in `run_dir`, or starts where there is none.

    Raises `InterruptedRun` after Ctrl-C or SIGTERM (a checkpoint is there), `DivergedError`,
    `DeviceMemoryError`, `StorageError`, and `SpecError` for a device that is missing or a checkpoint of
    another run.
    """
    device = choose_device(settings.device)
    shown = Silent() if progress is None else progress

    def do() -> TrainResult:
        with (
            switches(settings, device, images=settings.epochs * len(dataset.train.labels_B)),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            StopRequest(lambda: shown.note("finishing the step, then saving; once more ends at once")) as request,
        ):
            # Not kept by a name: what it holds on a GPU is free when the switches are put back.
            return _Run(network, dataset, settings, optimizer, schedule, augmenter, seed, run_dir, device, shown).go(
                request, on_epoch, resume=resume, evaluate_test=evaluate_test, metadata=metadata
            )

    try:
        return freed_after(do, device, batch_size=settings.batch_size)
    finally:
        shown.close()


class _Run:
    """One call of `train`; exists so that its parts share names."""

    def __init__(
        self,
        network: nn.Module,
        dataset: Dataset,
        settings: TrainSettings,
        optimizer: OptimizerSettings,
        schedule: ScheduleSettings,
        augmenter: Augmenter,
        seed: int,
        run_dir: Path,
        device: torch.device,
        progress: Progress,
    ) -> None:
        self.started = time.perf_counter()
        self.dataset, self.settings, self.schedule = dataset, settings, schedule
        self.optimizer, self.seed, self.run_dir, self.device, self.progress = optimizer, seed, run_dir, device, progress
        self.notices = notices = list[str]()

        def notice(text: str) -> None:  # holds no run: one that is over is freed at once, a GPU's memory with it
            notices.append(text)
            progress.note(text)

        self.notice = notice
        self.said_NK: Tensor | None = None
        self.cast: Precision = choose_precision(settings.precision, device)
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        network.train()
        self.images = reside(dataset.train, device)
        sides = derive_seed(seed, "sides")
        self.feed = Feed(self.images, augmenter, batch_size=settings.batch_size, seed=sides, layout=layout)
        self.steps, self.batch_size = self.feed.steps, self.feed.batch_size
        graphed = wants_graphs(settings.cuda_graphs, device, self.cast, network)
        self.way = self._choose_way(network)
        self.cast = self.way.cast
        self.conditions = f"{device.type} in {self.way.precision}{self.way.told}"
        self.validation = reside(dataset.validation, device)
        self.view = View(mean=dataset.mean, std=dataset.std, batch_size=settings.eval_batch_size, precision=self.cast)
        if settings.whiten:
            whiten_first(network, self.images, self.view, seed=derive_seed(seed, "whiten"))
        torch.manual_seed(derive_seed(seed, "dropout"))
        order = torch.Generator().manual_seed(derive_seed(seed, "order"))
        kernels = load_kernels() if self.way.name == "native" else None
        self.feed.equip(kernels)
        self.state = RunState(
            network=network,
            average=None if settings.ema is None else make_average(network),
            optimizers=make_optimizers(network, optimizer, batch_size=settings.batch_size, kernels=kernels),
            scaler=torch.amp.GradScaler(device.type, enabled=self.way.precision == "fp16"),
            order=order,
            augment=torch.Generator().manual_seed(derive_seed(seed, "augment")),
            order_state=order.get_state(),
            loss_sum=torch.zeros((), device=device),
            correct=torch.zeros((), device=device, dtype=torch.int64),
        )
        plain = PlainStep(self._loss(self.way.forward), self.state.scaler)
        learn = plain if kernels is None else RecordedStep(plain, network)
        self.step = make_step(self.feed, learn, self.state, settings, device, graphed=graphed, notice=self.notice)
        self.identity = make_identity(
            settings=settings,
            optimizer=optimizer,
            schedule=schedule,
            seed=seed,
            fingerprint=dataset.fingerprint,
            policy=augmenter.policy,
            network=network,
        )

    def go(
        self,
        request: StopRequest,
        on_epoch: Callable[[int, float], bool] | None,
        *,
        resume: bool,
        evaluate_test: bool,
        metadata: Mapping[str, str] | None,
    ) -> TrainResult:
        state, epochs, path = self.state, self.settings.epochs, self.run_dir / checkpoint.NAME
        if resume and path.exists():
            before = restore_checkpoint(path, state, self.identity, device=self.device)
            if before != self.conditions:
                self.notice(
                    f"the run began on {before} and goes on on {self.conditions}: "
                    "its weights will not be those of an unbroken run, bit for bit"
                )
        self.seconds_before, self.saved = state.seconds, time.perf_counter()
        write_metrics(self.run_dir / METRICS, state.history)
        pruned = False
        for record in state.history:
            pruned = self._ends(on_epoch, record)
        self.progress.begin(epochs=epochs, steps=self.steps, epoch=state.epoch, step=state.step)
        while state.epoch < epochs and not pruned:
            self._train_epoch(request)
            pruned = self._ends(on_epoch, self._end_epoch())
            if request.asked and not pruned:
                self._leave()
        return self._result(pruned=pruned, evaluate_test=evaluate_test and not pruned, metadata=metadata)

    def _ends(self, on_epoch: Callable[[int, float], bool] | None, record: EpochRecord) -> bool:
        """Return whether `on_epoch`, told of an epoch that was evaluated, ends the run before its time."""
        accuracy = record.validation_accuracy
        ends = on_epoch is not None and accuracy is not None and on_epoch(record.epoch, accuracy)
        return ends and record.epoch < self.settings.epochs

    def _choose_way(self, network: nn.Module) -> Way:
        way = choose_way(
            network,
            self.settings,
            self.device,
            self.cast,
            images=self.settings.epochs * self.steps * self.batch_size,
            rehearse=self._rehearse,
        )
        if way.notice is not None:
            self.notice(way.notice)
        return way

    def _loss(self, forward: Forward) -> Loss:
        smoothing = self.settings.label_smoothing
        return Loss(forward=forward, device=self.device, cast=self.cast, label_smoothing=smoothing)

    def _rehearse(self, forward: Forward) -> None:
        self._loss(forward)(*self.feed.batch(0, torch.Generator().manual_seed(0)))[0].backward()

    def _train_epoch(self, request: StopRequest) -> None:
        state, settings = self.state, self.settings
        state.order.set_state(state.order_state)
        self.feed.begin(state.epoch, state.order, of=settings.epochs)
        watch = FiniteWatch(self.device)
        began, before = time.perf_counter(), state.epoch_seconds
        for step in range(state.step, self.steps):
            done = state.epoch * self.steps + step
            ratio = learning_rate_ratio(self.schedule, done / (settings.epochs * self.steps))
            set_learning_rate(state.optimizers, ratio)
            self.step(step)
            if state.average is not None and settings.ema is not None:
                update_average(state.average, state.network, decay=settings.ema, steps=done + 1)
            state.step = step + 1
            state.epoch_seconds = before + time.perf_counter() - began
            if state.step % _LOOK_EVERY == 0 and not watch.is_finite(state.loss_sum):
                raise self._diverged()
            self.progress.advance()
            if request.asked:
                self._check_loss()
                self._save()
                self._leave()
            if settings.checkpoint_seconds and time.perf_counter() - self.saved > settings.checkpoint_seconds:
                self._check_loss()
                self._save()
        self._check_loss()
        state.epoch_seconds = before + time.perf_counter() - began

    def _end_epoch(self) -> EpochRecord:
        """Evaluate where it is due, record, write and save the epoch that has just run."""
        state, epoch = self.state, self.state.epoch + 1
        due = epoch % self.settings.eval_every == 0 or epoch == self.settings.epochs
        if epoch == self.settings.epochs and self.settings.recalibrate is not None:
            seed = derive_seed(self.seed, "recalibrate")
            recalibrate(state.measured, self.images, self.view, count=self.settings.recalibrate, seed=seed)
        score = self._judge(self.validation) if due else None
        images = self.steps * self.batch_size
        record = EpochRecord(
            epoch=epoch,
            learning_rate=float(state.optimizers[0].param_groups[0]["lr"]),
            train_loss=state.loss_sum.item() / self.steps,
            train_accuracy=state.correct.item() / images,
            validation_loss=None if score is None else score.loss,
            validation_accuracy=None if score is None else score.accuracy,
            seconds=state.epoch_seconds,
            images_per_second=images / state.epoch_seconds,
        )
        state.history.append(record)
        state.loss_sum.zero_()
        state.correct.zero_()
        state.epoch, state.step, state.epoch_seconds = epoch, 0, 0.0
        state.order_state = state.order.get_state()
        append_metrics(self.run_dir / METRICS, record)
        if epoch % self.settings.checkpoint_every == 0 or epoch == self.settings.epochs:
            self._save()
        self.progress.end_epoch(record, best_epoch(state.history))
        return record

    def _judge(self, images: Resident) -> Score | None:
        """Return the score on `images`, and keep what the network said of them for the report card."""
        self.said_NK = logits_of(self.state.measured, images, self.view) if len(images) else None
        return None if self.said_NK is None else score_of(self.said_NK, images.labels_N)

    def _save(self) -> None:
        self.state.seconds = self.seconds_before + time.perf_counter() - self.started
        file = self.run_dir / checkpoint.NAME
        save_checkpoint(file, self.state, self.identity, device=self.device, conditions=self.conditions)
        self.saved = time.perf_counter()

    def _leave(self) -> None:
        state = self.state
        if state.step == 0 and state.epoch % self.settings.checkpoint_every:
            self._save()
        where = f"{state.epoch} of {self.settings.epochs} epochs" + (f" and {state.step} steps" if state.step else "")
        raise InterruptedRun(f"interrupted after {where}; go on with resume={self.run_dir}")

    def _check_loss(self) -> None:
        if not math.isfinite(self.state.loss_sum.item()):
            raise self._diverged()

    def _diverged(self) -> DivergedError:
        epochs, rate = self.settings.epochs, self.optimizer.learning_rate
        return diverged(self.state, epochs, self.steps, rate, within=2 * _LOOK_EVERY)

    def _result(self, *, pruned: bool, evaluate_test: bool, metadata: Mapping[str, str] | None) -> TrainResult:
        state = self.state
        test = flipped = None
        if evaluate_test:
            images = reside(self.dataset.test, self.device)
            test = self._judge(images)
            if self.settings.tta == "flip" and self.said_NK is not None:
                flipped = mirrored_score(self.said_NK, state.measured, images, self.view)
        if not pruned:
            if state.average is not None:
                state.network.load_state_dict(state.average.state_dict())
            write_weights(self.run_dir / WEIGHTS, state.network, metadata)
        if self.way.name == "compiled":
            forget_compiled()
        equip(state.network, None)  # a network that leaves here computes as torch does
        state.network.eval()
        return summarise(
            state.history,
            test=test,
            flipped=flipped,
            images=len(state.history) * self.steps * self.batch_size,
            seconds=self.seconds_before + time.perf_counter() - self.started,
            device=self.device,
            precision=self.way.precision,
            compiled=self.way.name == "compiled",
            kernels=self.way.name == "native",
            pruned=pruned,
            seed=self.seed,
            data_fingerprint=self.dataset.fingerprint,
            notices=tuple(self.notices),
            probabilities_NK=None if self.said_NK is None else self.said_NK.softmax(1).cpu().numpy(),
        )
