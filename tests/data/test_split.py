"""What is held out, class by class, and in the fingerprint."""

from __future__ import annotations

import numpy as np
import pytest

from archsearch.data.dataset import Images, Source, some_of_each_class, source_of
from archsearch.data.split import divide, held_out, subset
from archsearch.errors import DataError
from archsearch.settings.data import DataSettings


def _source(train: int = 100, test: int = 20) -> Source:
    def images(count: int) -> Images:
        pixels = np.arange(count, dtype=np.uint8).repeat(12).reshape(count, 2, 2, 3)
        return Images(images_BHWC=pixels, labels_B=np.arange(count) * 7 % 5)

    return source_of("made", ("a", "b", "c", "d", "e"), images(train), images(test))


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.99])
def test_the_slice_is_stratified(fraction: float) -> None:
    labels = np.repeat([0, 1, 2], [40, 80, 20])
    counts = np.bincount(labels[held_out(labels, fraction, 0)], minlength=3).tolist()
    assert counts == [min(round(n * fraction), n - 1) for n in (40, 80, 20)]


def test_training_and_validation_share_no_image_and_lose_none() -> None:
    parts = divide(_source(), DataSettings(validation=0.2))
    train, validation = set(parts.train.images_BHWC[:, 0, 0, 0]), set(parts.validation.images_BHWC[:, 0, 0, 0])
    assert (len(train), len(validation)) == (80, 20)
    assert not train & validation


def test_nothing_is_held_out_on_request() -> None:
    parts = divide(_source(), DataSettings(validation=0))
    assert len(parts.train) == 100
    assert len(parts.validation) == 0
    assert parts.validation.images_BHWC.shape == (0, 2, 2, 3)


def test_the_split_depends_on_its_seed_alone() -> None:
    labels = np.arange(1000) % 10
    assert (held_out(labels, 0.1, 3) == held_out(labels.astype(np.int32), 0.1, 3)).all()
    assert (held_out(labels, 0.1, 3) != held_out(labels, 0.1, 4)).any()
    assert np.flatnonzero(held_out(np.arange(20) % 2, 0.2, 0)).tolist() == [2, 3, 11, 18]


def test_a_larger_slice_holds_the_smaller_one() -> None:
    labels = np.arange(500) % 5
    small, large = held_out(labels, 0.1, 0), held_out(labels, 0.3, 0)
    assert (large[small]).all()


@pytest.mark.parametrize("limit", [1, 7, 10, 13, 100, 5000])
def test_a_limit_is_dealt_evenly(limit: int) -> None:
    labels = np.sort(np.arange(200) % 10)
    kept = subset(labels, limit, 0)
    counts = np.bincount(labels[kept], minlength=10)
    assert len(kept) == min(limit, 200)
    assert counts.max() - counts.min() <= 1
    assert (np.diff(kept) > 0).all()


def test_a_class_too_small_for_its_share_leaves_it_to_the_others() -> None:
    labels = np.repeat([0, 1], [2, 50])
    assert np.bincount(labels[subset(labels, 20, 0)]).tolist() == [2, 18]


def test_limits_cut_before_anything_is_held_out() -> None:
    parts = divide(_source(), DataSettings(validation=0.2, limit_train=50, limit_test=10))
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (40, 10, 10)
    assert np.bincount(parts.validation.labels_B).tolist() == [2] * 5


def test_statistics_do_not_depend_on_what_is_held_out() -> None:
    one, other = (divide(_source(), DataSettings(validation=fraction)) for fraction in (0.1, 0.5))
    assert (one.mean, one.std) == (other.mean, other.std)


def test_the_fingerprint_tells_contents_and_split() -> None:
    choices = [
        DataSettings(),
        DataSettings(validation=0.2),
        DataSettings(seed=1),
        DataSettings(limit_train=50),
        DataSettings(limit_test=10),
    ]
    prints = [divide(_source(), settings).fingerprint for settings in choices]
    prints.append(divide(_source(train=99), DataSettings()).fingerprint)
    assert len(set(prints)) == len(prints)
    assert prints[0] == divide(_source(), DataSettings(cache="elsewhere")).fingerprint
    assert all(len(one) == 16 and int(one, 16) >= 0 for one in prints)


def test_a_fraction_that_holds_out_nothing_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        divide(_source(train=10), DataSettings(validation=0.1))
    what = "data.validation=0.1 of 10 training images holds out 0 of them."
    assert str(caught.value) == f"{what} Use more images, another fraction, or data.validation=0."


def test_no_class_is_held_out_whole() -> None:
    labels = np.array([0, 1, 1, 1, 1])
    assert held_out(labels, 0.9, 0).tolist().count(True) == 3
    assert not held_out(labels, 0.9, 0)[0]
    assert held_out(np.zeros(0, np.int64), 0.5, 0).shape == (0,)


def test_a_limit_that_leaves_a_class_without_training_images_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        divide(_source(), DataSettings(limit_train=4, validation=0))
    what = "data.limit_train=4: made has 5 classes, but only 4 training images are used"
    assert str(caught.value) == f"{what}. Use at least 5."
    assert len(divide(_source(), DataSettings(limit_train=5, validation=0)).train) == 5


def test_classes_without_a_validation_image_are_noticed() -> None:
    def images(*counts: int) -> Images:
        labels = np.repeat(np.arange(len(counts)), counts)
        return Images(images_BHWC=np.zeros((len(labels), 2, 2, 3), np.uint8), labels_B=labels)

    source = source_of("made", tuple("abcdefgh"), images(50, *[3] * 7), images(*[1] * 8))
    notice = divide(source, DataSettings()).notice
    assert notice is not None
    assert notice.startswith("data: 7 of 8 classes have no validation image: b, c, d, e, f and 2 more. ")
    assert divide(source, DataSettings(validation=0)).notice is None
    assert divide(source, DataSettings(validation=0.4)).notice is None


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([6000] * 10, [0, 1, 2, 3, 5, 6, 7, 9]),
        ([9, 9], [0, 1, 0, 1]),
        ([1, 9, 9], [0, 1, 2, 1, 2]),
        ([5, 5, 5, 5, 5], [0, 1, 2, 3, 4, 0, 1, 2]),
        ([2], [0, 0]),
    ],
)
def test_samples_are_spread_over_the_classes(counts: list[int], expected: list[int]) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    chosen = some_of_each_class(labels, 8, 2)
    assert labels[chosen].tolist() == expected
    assert len(set(chosen.tolist())) == len(chosen)
