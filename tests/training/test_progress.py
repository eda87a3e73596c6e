from __future__ import annotations

import io
import subprocess
import sys

from rich.console import Console

from archsearch.training.progress import Bars, Lines, Silent, make_progress
from archsearch.training.result import EpochRecord, best_epoch


def record(epoch: int, accuracy: float | None) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        learning_rate=0.1,
        train_loss=1.23456,
        train_accuracy=0.5,
        validation_loss=None if accuracy is None else 1.0,
        validation_accuracy=accuracy,
        seconds=30.0,
        images_per_second=1234.5,
    )


HISTORY = [record(1, 0.6), record(2, 0.55)]


def test_a_line_per_epoch_with_last_best_and_time_left():
    clock = iter([100.0, 130.0, 160.0])
    stream = io.StringIO()
    lines = Lines(stream, clock=lambda: next(clock))
    lines.begin(epochs=10, steps=5, epoch=0, step=0)
    lines.advance()
    lines.end_epoch(HISTORY[0], best_epoch(HISTORY[:1]))
    lines.note("a note")
    lines.end_epoch(HISTORY[1], best_epoch(HISTORY))
    lines.close()
    one, note, two = stream.getvalue().splitlines()
    assert one.startswith("epoch  1/10  loss 1.2346  train 50.00 %  validation 60.00 % (best 60.00 % at 1)  ")
    assert one.endswith("  1 234 images/s  4 min 30 s left")
    assert note == "a note"
    assert two.startswith("epoch  2/10  loss 1.2346  train 50.00 %  validation 55.00 % (best 60.00 % at 1)  ")
    assert two.endswith("  1 234 images/s  4 min left")


def test_time_left_of_a_resumed_run_counts_this_part_only():
    clock = iter([0.0, 3600.0])
    stream = io.StringIO()
    lines = Lines(stream, clock=lambda: next(clock))
    lines.begin(epochs=4, steps=5, epoch=1, step=0)
    lines.end_epoch(record(2, None), None)
    assert stream.getvalue() == "epoch 2/4  loss 1.2346  train 50.00 %  1 234 images/s  2 h left\n"


def test_bars_show_run_epoch_last_and_best():
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=140, color_system=None)
    bars = Bars(stream, console=console)
    bars.begin(epochs=3, steps=2, epoch=0, step=0)
    for done in HISTORY:
        bars.advance()
        bars.advance()
        bars.end_epoch(done, best_epoch(HISTORY[: done.epoch]))
    bars.note("a note [with brackets]")
    bars.close()
    bars.close()
    shown = stream.getvalue()
    assert "a note [with brackets]" in shown
    last = shown[shown.rindex("run ") :]
    assert "4/6" in last
    assert "validation 55.00 % (best 60.00 % at 1)" in last
    assert "epoch 3/3" in last
    assert "loss 1.2346  train 50.00 %" in last


def test_a_note_before_the_bars_is_a_line():
    stream = io.StringIO()
    Bars(stream).note("early")
    assert stream.getvalue() == "early\n"


def test_the_stream_decides():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(make_progress(io.StringIO()), Lines)
    assert isinstance(make_progress(Terminal()), Bars)


def test_silent_prints_nothing(capsys):
    silent = Silent()
    silent.begin(epochs=1, steps=1, epoch=0, step=0)
    silent.advance()
    silent.end_epoch(HISTORY[0], None)
    silent.note("x")
    silent.close()
    assert capsys.readouterr() == ("", "")


def test_a_training_reports_its_progress(fit):
    class Recorder(Silent):
        def __init__(self) -> None:
            self.calls: list[object] = []

        def begin(self, *, epochs: int, steps: int, epoch: int, step: int) -> None:
            self.calls.append((epochs, steps, epoch, step))

        def advance(self) -> None:
            self.calls.append("step")

        def end_epoch(self, record: EpochRecord, best: EpochRecord | None) -> None:
            self.calls.append(record.epoch)

        def close(self) -> None:
            self.calls.append("closed")

    progress = Recorder()
    fit(train={"epochs": 2, "batch_size": 35}, progress=progress)
    assert progress.calls == [(2, 2, 0, 0), "step", "step", 1, "step", "step", 2, "closed"]


def test_values_and_progress_need_neither_torch_nor_rich(checkout):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "import archsearch.training.progress, archsearch.training.result, archsearch.training.storage; "
        "print([name for name in ('torch', 'rich', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(checkout)], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
