"""Makes nnrt/data/digits.npz from scikit-learn's copy of the UCI optical digits.

    python tools/make_digits.py          (needs scikit-learn)

The file holds images (1797, 8, 8) and labels (1797,) as uint8 in scikit-learn's order, and
test (1797,), a mask of 36 images per class drawn with seed 0: the split is data, so that it
stays the same whatever a later numpy's generators draw.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parent.parent / "nnrt" / "data" / "digits.npz"

digits = load_digits()
images = digits.images.astype(np.uint8)
labels = digits.target.astype(np.uint8)
rng = np.random.default_rng(0)
test = np.zeros(len(labels), bool)
for label in range(10):
    test[rng.choice(np.flatnonzero(labels == label), 36, replace=False)] = True
np.savez_compressed(TARGET, images=images, labels=labels, test=test)
print(f"{TARGET}: {TARGET.stat().st_size} bytes, {(~test).sum()} training and {test.sum()} test images")
