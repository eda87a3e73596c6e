"""Data sets as arrays: published ones, folders of images, and the embedded set. Numpy, Pillow; torchvision to decode.

`load_dataset` returns the `Dataset` of `DataSettings`; `count_classes` returns its number of classes.
"""

from archsearch.data.dataset import Dataset as Dataset
from archsearch.data.dataset import Images as Images
from archsearch.data.load import count_classes as count_classes
from archsearch.data.load import load_dataset as load_dataset
