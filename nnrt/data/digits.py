"""The UCI optical digits: 1,797 handwritten digits as 8 x 8 images of 17 grey levels.

E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
Repository, 1998, https://doi.org/10.24432/C50P49; licensed CC BY 4.0. The images are the
dataset's test part as scikit-learn carries it, stored here losslessly compressed and
otherwise unchanged.
"""

from importlib import resources

import numpy as np

from ..tensor import wrap

CLASSES = tuple("0123456789")


def load_digits(split="train", raw=False):
    """(images, labels): float32 (N, 1, 8, 8) in [0, 1] with the ink at 1, and int64 (N,).

    split: "train" (1,437 images), "test" (360, 36 of each class) or "all" (1,797). The split is
    stratified, was drawn once with a fixed seed and is part of the data file: it never changes.
    raw=True gives numpy arrays as stored, uint8 (N, 8, 8) with values 0 to 16 and uint8 (N,).
    Raises ValueError for another split.
    """
    if split not in ("train", "test", "all"):
        raise ValueError(f"load_digits: split {split!r}; wanted 'train', 'test' or 'all'")
    file = resources.files(__package__).joinpath("digits.npz")
    with file.open("rb") as stream, np.load(stream) as stored:
        images, labels, test = stored["images"], stored["labels"], stored["test"]
    if split != "all":
        chosen = test if split == "test" else ~test
        images, labels = images[chosen], labels[chosen]
    if raw:
        return images, labels
    return wrap(images[:, None].astype(np.float32) / np.float32(16)), wrap(labels.astype(np.int64))
