"""Augmentation of training images: one policy, two executors, and the normalisation at the end of both.

It owns the processing of pixels between data set and network, and must not import `training`, `data` or a command.
"""

from archsearch.augment.make import Augmenter as Augmenter
from archsearch.augment.make import make_augmenter as make_augmenter
from archsearch.augment.normalise import Normaliser as Normaliser
from archsearch.augment.normalise import normalise as normalise
from archsearch.augment.samples import augmented_samples as augmented_samples
from archsearch.augment.samples import write_samples as write_samples
