"""The folder of a run: its files and the end of its log, whatever of them is there."""

from __future__ import annotations

from pathlib import Path

from trial_fakes import bare, leave_files, trained

from archsearch.report.records import read_run_folder


def test_files_and_the_end_of_the_log() -> None:
    leave_files(trained(3, 0.5))
    found = read_run_folder(trained(3, 0.5))
    assert found is not None
    assert found.found
    assert found.files["model.safetensors"] == 8
    assert found.tail == tuple(f"epoch {epoch}  loss 1.5000  train 25.00 %  9 images/s" for epoch in range(4, 9))


def test_a_log_comes_before_the_epochs() -> None:
    folder = leave_files(trained(3, 0.5))
    (folder / "run.log").write_bytes(b"one\n\n\xfftwo\n")
    found = read_run_folder(trained(3, 0.5), tail=2)
    assert found is not None
    assert found.tail == ("one", "�two")


def test_what_is_no_epoch_is_shown_as_it_is() -> None:
    Path("run").mkdir()
    Path("run/metrics.jsonl").write_text('half a li\n[1]\n{"epoch": 2, "train_loss": NaN}\n')
    found = read_run_folder(bare(0, run_dir="run"))
    assert found is not None
    assert found.tail == ("half a li", "[1]", "epoch 2")


def test_a_folder_that_is_gone_and_none_at_all() -> None:
    found = read_run_folder(bare(0, run_dir="gone"))
    assert found is not None
    assert (found.found, found.files, found.tail) == (False, {}, ())
    assert read_run_folder(bare(0)) is None
    assert read_run_folder(bare(0, run_dir=7)) is None
