"""Sentences classified by convolutions. Kim, "Convolutional neural networks for sentence classification", 2014.

    ids [N, T] -> embedding -> for each width: convolution, ReLU, maximum over time -> dropout -> scores [N, num_classes]
"""

from .. import cat, nn
from ..nn import functional as F


class TextCNN(nn.Module):
    """Scores [N, num_classes] of ids [N, T].

    dim: size of the embedding; channels: filters of each of the widths; pad: a token whose vector stays 0 (None: there
    is none). ValueError where T is less than the largest width.
    """

    def __init__(self, vocab, num_classes=2, dim=128, widths=(3, 4, 5), channels=100, dropout=0.5, pad=None):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim, padding_idx=pad)
        self.convs = nn.ModuleList(nn.Conv1d(dim, channels, width) for width in widths)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(channels * len(widths), num_classes)

    def forward(self, ids):
        least = max(conv.kernel_size[0] for conv in self.convs)
        if ids.ndim != 2 or ids.shape[1] < least:
            raise ValueError(f"TextCNN: ids must be [N, T], T at least {least}, got shape {tuple(ids.shape)}")
        x = self.embedding(ids).transpose(1, 2)
        return self.out(self.dropout(cat([F.relu(conv(x)).amax(2) for conv in self.convs], 1)))
