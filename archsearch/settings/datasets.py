"""The published data sets that torchvision reads: one row of plain values each; torchvision is not imported.

To add a data set of torchvision, add a row here and a file in `conf/data`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSet:
    """A data set that a class of torchvision reads: its images, and the paths and addresses of its files.

    `reader` is the class in `torchvision.datasets`, `splits` has its arguments for the training and the test images;
    `images` is the number for training, all of them `image_size` px square. Labels start at `first_label`; the class
    names before it have no images and are left out. `files` are those that are read, `archives` contain them; both are
    paths below the folder that the reader takes.
    The archives, or the files if there are none, are published at each of `mirrors`.
    """

    title: str
    reader: str
    splits: tuple[Mapping[str, object], Mapping[str, object]]
    images: int
    channels: int
    image_size: int
    classes: int
    files: tuple[str, ...]
    archives: tuple[str, ...] = ()
    first_label: int = 0
    mirrors: tuple[str, ...]

    @property
    def published(self) -> tuple[str, ...]:
        """The paths of the published files."""
        return self.archives or self.files

    @property
    def forms(self) -> list[tuple[str, ...]]:
        """The paths of the files and those of the archives, the preferred ones first.

        Archives come first for sets whose unpacked files have no published MD5.
        """
        beside = any("/" in archive for archive in self.archives)
        return [paths for paths in ((self.archives, self.files) if beside else (self.files, self.archives)) if paths]

    @property
    def folder(self) -> str:
        """The folder of the unpacked files; empty if they are directly in the folder that the reader takes."""
        return self.files[0].rpartition("/")[0]


_BY_TRAIN = ({"train": True}, {"train": False})
_BY_SPLIT = ({"split": "train"}, {"split": "test"})
_IDX = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def _below(folder: str, *names: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{name}" for name in names)


def _cifar(classes: int, folder: str, *files: str) -> PublishedSet:
    """Return one of the two sets of 32x32 colour images, whose files come in one archive."""
    return PublishedSet(
        title=f"CIFAR-{classes}",
        reader=f"CIFAR{classes}",
        splits=_BY_TRAIN,
        images=50_000,
        channels=3,
        image_size=32,
        classes=classes,
        files=_below(folder, *files),
        archives=(f"cifar-{classes}-python.tar.gz",),
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
    )


def _idx(title: str, reader: str, *mirrors: str) -> PublishedSet:
    """Return a set in the format of MNIST: ten classes of 28x28 grey images in four gzipped files."""
    files = _below(f"{reader}/raw", *_IDX)
    return PublishedSet(
        title=title,
        reader=reader,
        splits=_BY_TRAIN,
        images=60_000,
        channels=1,
        image_size=28,
        classes=10,
        files=files,
        archives=tuple(f"{file}.gz" for file in files),
        mirrors=mirrors,
    )


def _emnist(split: str, images: int, classes: int, first_label: int = 0) -> PublishedSet:
    """Return a split of EMNIST, all of which come in one archive."""
    parts = ("train-images-idx3", "train-labels-idx1", "test-images-idx3", "test-labels-idx1")
    return PublishedSet(
        title=f"EMNIST {split}",
        reader="EMNIST",
        splits=({"split": split, "train": True}, {"split": split, "train": False}),
        images=images,
        channels=1,
        image_size=28,
        classes=classes,
        files=_below("EMNIST/raw", *(f"emnist-{split}-{part}-ubyte" for part in parts)),
        archives=("EMNIST/raw/gzip.zip",),
        first_label=first_label,
        mirrors=("https://biometrics.nist.gov/cs_links/EMNIST/",),
    )


PUBLISHED: Mapping[str, PublishedSet] = {
    "cifar10": _cifar(
        10, "cifar-10-batches-py", *(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"
    ),
    "cifar100": _cifar(100, "cifar-100-python", "train", "test", "meta"),
    "mnist": _idx(
        "MNIST", "MNIST", "https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"
    ),
    "fashion_mnist": _idx(
        "Fashion-MNIST", "FashionMNIST", "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
    ),
    "kmnist": _idx("Kuzushiji-MNIST", "KMNIST", "http://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
    "emnist_balanced": _emnist("balanced", 112_800, 47),
    "emnist_byclass": _emnist("byclass", 697_932, 62),
    "emnist_digits": _emnist("digits", 240_000, 10),
    "emnist_letters": _emnist("letters", 124_800, 26, first_label=1),
    "svhn": PublishedSet(
        title="SVHN",
        reader="SVHN",
        splits=_BY_SPLIT,
        images=73_257,
        channels=3,
        image_size=32,
        classes=10,
        files=("train_32x32.mat", "test_32x32.mat"),
        mirrors=("http://ufldl.stanford.edu/housenumbers/",),
    ),
    "stl10": PublishedSet(
        title="STL-10",
        reader="STL10",
        splits=_BY_SPLIT,
        images=5_000,
        channels=3,
        image_size=96,
        classes=10,
        # The unlabelled images are not read, but torchvision checks their file too.
        files=_below(
            "stl10_binary",
            *("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "unlabeled_X.bin", "class_names.txt"),
        ),
        archives=("stl10_binary.tar.gz",),
        mirrors=("http://ai.stanford.edu/~acoates/stl10/",),
    ),
    "usps": PublishedSet(
        title="USPS",
        reader="USPS",
        splits=_BY_TRAIN,
        images=7_291,
        channels=1,
        image_size=16,
        classes=10,
        files=("usps.bz2", "usps.t.bz2"),
        mirrors=("https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/",),
    ),
}
