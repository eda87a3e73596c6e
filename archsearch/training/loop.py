"""The training of one network: steps, epochs, checkpoints, and the files in the run directory.

Knows `nn.Module` and a data set; never a plan, a study, hydra or optuna.
Shapes: B batch, N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import hashlib
import math
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from archsearch.augment.make import Augmenter
from archsearch.errors import DivergedError, InterruptedRun
from archsearch.formatting import pluralize
from archsearch.settings.training import OptimizerSettings, ScheduleSettings, TrainSettings
from archsearch.signals import StopRequest
from archsearch.training import checkpoint
from archsearch.training.backend import select_backend
from archsearch.training.batches import Batches
from archsearch.training.checkpoint import RunState, make_identity, restore_checkpoint, save_checkpoint, write_weights
from archsearch.training.device import choose_device, device_name, freed_after, switches
from archsearch.training.evaluation import (
    DeviceDataset,
    EvaluationInput,
    Score,
    logits_of,
    mirrored_score,
    recalibrate,
    score_of,
    to_device,
)
from archsearch.training.optimizers import (
    learning_rate_ratio,
    make_average,
    no_step_learns,
    set_learning_rate,
    update_average,
)
from archsearch.training.progress import Progress, Silent
from archsearch.training.result import EpochRecord, TrainResult, best_epoch
from archsearch.training.step import FiniteCheck
from archsearch.training.storage import append_metrics, write_metrics
from archsearch.training.whitening import whiten_first

if TYPE_CHECKING:
    from archsearch.data import Dataset

METRICS, WEIGHTS = "metrics.jsonl", "model.safetensors"
_CHECK_EVERY = 50  # steps between two checks of the loss


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
    """Train `network` in place and return the result; `network` then holds the weights of the result.

    Writes `metrics.jsonl`, `checkpoint.pt` and, unless pruned, `model.safetensors` (with `metadata`) into
    `run_dir`. Call `discard_checkpoint` once the result is on disk; until then the checkpoint stays.
    `on_epoch(epoch, validation accuracy)` is called after every evaluated epoch, counted from 1; if it returns
    True, the run ends as pruned. With `resume` the run continues from the checkpoint in `run_dir`, or starts from
    the beginning if there is none; `on_epoch` is called again for the epochs already done.

    Raises `InterruptedRun` after Ctrl-C or SIGTERM (with a checkpoint saved), `DivergedError`,
    `DeviceMemoryError`, `StorageError`, and `SpecError` for a missing device or a checkpoint of another run.
    """
    device = choose_device(settings.device)
    shown = Silent() if progress is None else progress

    def do() -> TrainResult:
        with (
            switches(settings, device, images=settings.epochs * len(dataset.train.labels_B)),
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            StopRequest(
                lambda: shown.note("stopping: saving a checkpoint; press Ctrl-C again to end at once")
            ) as request,
        ):
            # Not bound to a name, so that its GPU memory is free when `switches` restores its state.
            return _Run(network, dataset, settings, optimizer, schedule, augmenter, seed, run_dir, device, shown).run(
                request, on_epoch, resume=resume, evaluate_test=evaluate_test, metadata=metadata
            )

    try:
        return freed_after(do, device, batch_size=settings.batch_size)
    finally:
        shown.close()


class _Run:
    """The state of one call of `train`."""

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
        self.network, self.dataset, self.settings, self.schedule = network, dataset, settings, schedule
        self.optimizer, self.seed, self.run_dir, self.device, self.progress = optimizer, seed, run_dir, device, progress
        self.notices = notices = list[str]()

        def notice(text: str) -> None:  # no reference to self: a finished run, with its GPU memory, is freed at once
            notices.append(text)
            progress.note(text)

        self.notice = notice
        self.logits_NK: Tensor | None = None  # of the last evaluated images
        layout = torch.channels_last if settings.channels_last else torch.contiguous_format
        network.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        network.train()
        self.images, self.validation = to_device(dataset.train, device), to_device(dataset.validation, device)
        batches = self.batches = Batches(
            self.images, augmenter, batch_size=settings.batch_size, seed=derive_seed(seed, "sides"), layout=layout
        )
        self.steps, self.batch_size = batches.steps, batches.batch_size
        if warning := no_step_learns(schedule, settings.epochs * self.steps, self.batch_size):
            notice(warning)
        self.backend = select_backend(
            network,
            settings,
            device,
            images=settings.epochs * self.steps * self.batch_size,
            example=lambda: batches.batch(0, torch.Generator().manual_seed(0)),
            notice=notice,
        )

    def _begin(self) -> None:
        """Create all that the first step needs: the backend's parts, initial weights, generators and optimizers."""
        backend, settings, device, seed = self.backend, self.settings, self.device, self.seed
        network, policy = self.network, self.batches.augmenter.policy
        self.batches.augmenter = backend.prepare_augmenter(self.batches.augmenter)
        self.input = EvaluationInput(
            mean=self.dataset.mean,
            std=self.dataset.std,
            batch_size=settings.eval_batch_size,
            precision=backend.evaluation,
        )
        if settings.whiten:
            whiten_first(network, self.images, self.input, seed=derive_seed(seed, "whiten"))
        torch.manual_seed(derive_seed(seed, "dropout"))
        order = torch.Generator().manual_seed(derive_seed(seed, "order"))
        self.state = RunState(
            network=network,
            average=None if settings.ema is None else make_average(network),
            optimizers=backend.make_optimizers(self.optimizer, batch_size=settings.batch_size),
            scaler=torch.amp.GradScaler(device.type, enabled=backend.precision == "fp16"),
            order=order,
            augment=torch.Generator().manual_seed(derive_seed(seed, "augment")),
            order_state=order.get_state(),
            loss_sum=torch.zeros((), device=device),
            correct=torch.zeros((), device=device, dtype=torch.int64),
        )
        self.step = backend.make_step(self.batches, self.state)
        self.identity = make_identity(
            settings=settings,
            precision=backend.precision,
            optimizer=self.optimizer,
            schedule=self.schedule,
            seed=seed,
            fingerprint=self.dataset.fingerprint,
            policy=policy,
            network=network,
        )

    def run(
        self,
        request: StopRequest,
        on_epoch: Callable[[int, float], bool] | None,
        *,
        resume: bool,
        evaluate_test: bool,
        metadata: Mapping[str, str] | None,
    ) -> TrainResult:
        """Train to the end, from the checkpoint or the beginning; `put_back` of the backend is called in any case."""
        try:
            self._begin()
            if resume:
                self._restore()
            self.seconds_before, self.saved = self.state.seconds, time.perf_counter()
            pruned = self._train(request, on_epoch)
            test, flipped = self._test() if evaluate_test and not pruned else (None, None)
            if not pruned:
                if self.state.average is not None:
                    self.state.network.load_state_dict(self.state.average.state_dict())
                write_weights(self.run_dir / WEIGHTS, self.state.network, metadata)
        finally:
            self.backend.put_back()
        self.state.network.eval()
        return self._result(pruned=pruned, test=test, flipped=flipped)

    def _restore(self) -> None:
        path = self.run_dir / checkpoint.NAME
        if not path.exists():
            return
        before = restore_checkpoint(path, self.state, self.identity, device=self.device)
        if before != self.backend.label:
            self.notice(
                f"the run started on {before} and continues on {self.backend.label}: "
                "its weights will not equal those of an uninterrupted run, bit for bit"
            )

    def _train(self, request: StopRequest, on_epoch: Callable[[int, float], bool] | None) -> bool:
        """Train the remaining epochs; return whether `on_epoch` ended the run early."""
        state, epochs = self.state, self.settings.epochs
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
        return pruned

    def _ends(self, on_epoch: Callable[[int, float], bool] | None, record: EpochRecord) -> bool:
        """Call `on_epoch` if the epoch was evaluated, and return whether it ends the run early."""
        accuracy = record.validation_accuracy
        ends = on_epoch is not None and accuracy is not None and on_epoch(record.epoch, accuracy)
        return ends and record.epoch < self.settings.epochs

    def _train_epoch(self, request: StopRequest) -> None:
        state, settings = self.state, self.settings
        state.order.set_state(state.order_state)
        self.batches.begin_epoch(state.epoch, state.order, of=settings.epochs)
        check = FiniteCheck(self.device)
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
            if state.step % _CHECK_EVERY == 0 and not check.is_finite(state.loss_sum):
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
        """Evaluate the finished epoch if due, record it, and write the metrics and, if due, a checkpoint."""
        state, epoch = self.state, self.state.epoch + 1
        due = epoch % self.settings.eval_every == 0 or epoch == self.settings.epochs
        if epoch == self.settings.epochs and self.settings.recalibrate is not None:
            seed = derive_seed(self.seed, "recalibrate")
            recalibrate(state.measured, self.images, self.input, count=self.settings.recalibrate, seed=seed)
        score = self._evaluate(self.validation) if due else None
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

    def _evaluate(self, images: DeviceDataset) -> Score | None:
        """Return the score on `images`, or None if there are none; keep the logits for the report card."""
        self.logits_NK = logits_of(self.state.measured, images, self.input) if len(images) else None
        return None if self.logits_NK is None else score_of(self.logits_NK, images.labels_N)

    def _test(self) -> tuple[Score | None, Score | None]:
        """Return the score on the test images, and with `train.tta=flip` the score with flip test-time augmentation."""
        images = to_device(self.dataset.test, self.device)
        test = self._evaluate(images)
        if self.settings.tta != "flip" or self.logits_NK is None:
            return test, None
        return test, mirrored_score(self.logits_NK, self.state.measured, images, self.input)

    def _save(self) -> None:
        self.state.seconds = self.seconds_before + time.perf_counter() - self.started
        file = self.run_dir / checkpoint.NAME
        save_checkpoint(file, self.state, self.identity, device=self.device, conditions=self.backend.label)
        self.saved = time.perf_counter()

    def _leave(self) -> None:
        state = self.state
        if state.step == 0 and state.epoch % self.settings.checkpoint_every:
            self._save()
        where = f"{state.epoch} of {pluralize(self.settings.epochs, 'epoch')}"
        where += f" and {pluralize(state.step, 'step')}" if state.step else ""
        raise InterruptedRun(f"interrupted after {where}; continue with resume={self.run_dir}")

    def _check_loss(self) -> None:
        if not math.isfinite(self.state.loss_sum.item()):
            raise self._diverged()

    def _diverged(self) -> DivergedError:
        """Return the error for a loss that is not finite, with its fixes."""
        state, rate = self.state, self.optimizer.learning_rate
        return DivergedError(
            f"the loss is not finite in epoch {state.epoch + 1} of {self.settings.epochs}, at step "
            f"{state.step} of {self.steps} or at most {2 * _CHECK_EVERY} before. "
            f"Lower optimizer.learning_rate (now {rate:g}, try {rate / 3:.2g}), set train.clip=1, "
            "or lengthen schedule.warmup."
        )

    def _result(self, *, pruned: bool, test: Score | None, flipped: Score | None) -> TrainResult:
        history = self.state.history
        last, best = history[-1], best_epoch(history)
        images = len(history) * self.steps * self.batch_size
        return TrainResult(
            epochs=last.epoch,
            validation_accuracy=last.validation_accuracy,
            validation_loss=last.validation_loss,
            best_validation_accuracy=None if best is None else best.validation_accuracy,
            best_epoch=None if best is None else best.epoch,
            test_accuracy=None if test is None else test.accuracy,
            test_loss=None if test is None else test.loss,
            test_accuracy_flip=None if flipped is None else flipped.accuracy,
            images_per_second=images / sum(record.seconds for record in history),
            seconds=self.seconds_before + time.perf_counter() - self.started,
            device=device_name(self.device),
            precision=self.backend.precision,
            backend=self.backend.name,
            pruned=pruned,
            seed=self.seed,
            data_fingerprint=self.dataset.fingerprint,
            versions={"python": platform.python_version(), "torch": str(torch.__version__)},
            notices=tuple(self.notices),
            history=tuple(history),
            probabilities_NK=None if self.logits_NK is None else self.logits_NK.softmax(1).cpu().numpy(),
        )


def derive_seed(seed: int, purpose: str) -> int:
    """Return a separate seed for `purpose`, so that no two generators of a run draw the same numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:7], "big")
