"""The data room: images as arrays, from the disk, the network or the program's own pen. Numpy and Pillow; never torch.

`load_dataset` gives a `Dataset` for `DataSettings`; `count_classes` says how many classes it will have.
"""

from archsearch.data.dataset import Dataset as Dataset
from archsearch.data.dataset import Images as Images
from archsearch.data.load import count_classes as count_classes
from archsearch.data.load import load_dataset as load_dataset
