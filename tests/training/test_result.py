from __future__ import annotations

from archsearch.training.result import EpochRecord, best_epoch


def record(epoch: int, accuracy: float | None) -> EpochRecord:
    return EpochRecord(
        epoch=epoch,
        learning_rate=0.1,
        train_loss=1.0,
        train_accuracy=0.5,
        validation_loss=None,
        validation_accuracy=accuracy,
        seconds=1.0,
        images_per_second=2.0,
    )


def test_the_best_epoch_is_the_first_of_the_highest():
    history = [record(1, None), record(2, 0.4), record(3, 0.6), record(4, 0.6), record(5, 0.5)]
    assert best_epoch(history) is history[2]


def test_there_is_no_best_epoch_where_none_was_evaluated():
    assert best_epoch([]) is None
    assert best_epoch([record(1, None)]) is None
