"""Optimisers and learning-rate schedules.

| file | holds |
|--|--|
| optimizer.py | Optimizer: parameter groups, state, checkpoints |
| sgd.py, adam.py, adaptive.py, matrix.py, sparse_adam.py, lbfgs.py | the rules |
| lr_scheduler/ | learning-rate schedules |
| swa_utils.py | averages of weights, imported when first named |
| _gather.py, _rows.py | from parameters to the lists a fused kernel takes |
"""

import importlib

from . import lr_scheduler
from .adam import Adam, Adamax, AdamW, NAdam, RAdam
from .adaptive import Adadelta, Adagrad, RMSprop, Rprop
from .lbfgs import LBFGS
from .matrix import Adafactor, Muon
from .optimizer import Optimizer
from .sgd import ASGD, SGD
from .sparse_adam import SparseAdam

__all__ = [
    "ASGD",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LBFGS",
    "Muon",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SparseAdam",
    "lr_scheduler",
    "swa_utils",
]


def __getattr__(name):
    if name == "swa_utils":
        return importlib.import_module(".swa_utils", __name__)
    raise AttributeError(f"module 'nnrt.optim' has no attribute {name!r}")
