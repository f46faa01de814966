"""Training: the loop, what is measured, what is written down."""

from .batch_norm import update_bn
from .callbacks import Callback, EarlyStopping, SaveBest, WriteCSV
from .history import History
from .metrics import F1, Accuracy, ConfusionMatrix, Mean, Metric, Precision, Recall, TopK
from .trainer import Trainer

__all__ = [
    "Accuracy",
    "Callback",
    "ConfusionMatrix",
    "EarlyStopping",
    "F1",
    "History",
    "Mean",
    "Metric",
    "Precision",
    "Recall",
    "SaveBest",
    "Trainer",
    "TopK",
    "WriteCSV",
    "update_bn",
]
