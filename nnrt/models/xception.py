"""Xception. Chollet, "Xception: deep learning with depthwise separable convolutions", 2016.

    3 x 299 x 299 -> 64 x 147 x 147 -> entry 128 x 74 x 74, 256 x 37 x 37, 728 x 19 x 19
    -> 8 middle blocks -> exit 1024 x 10 x 10 -> 2048 x 10 x 10 -> num_classes

22,855,952 parameters. A separable convolution is a 3 x 3 per channel, then a 1 x 1 across them, nothing between.
"""

from .. import nn
from ..nn import functional as F
from ._layers import kaiming

# input channels, channels of the separable convolutions, stride, whether a ReLU comes first
BLOCKS = (
    (64, (128, 128), 2, False),
    (128, (256, 256), 2, True),
    (256, (728, 728), 2, True),
    *[(728, (728, 728, 728), 1, True)] * 8,
    (728, (728, 1024), 2, True),
)


class Xception(nn.Module):
    """Scores [N, num_classes] of images [N, 3, H, W], H and W at least 7; dropout comes before the last layer."""

    def __init__(self, num_classes=1000, dropout=0.5):
        super().__init__()
        self.entry = nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(*(XceptionBlock(*row) for row in BLOCKS))
        self.exit = nn.Sequential(
            _separable(1024, 1536),
            nn.BatchNorm2d(1536),
            nn.ReLU(inplace=True),
            _separable(1536, 2048),
            nn.BatchNorm2d(2048),
            nn.ReLU(inplace=True),
        )
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes)
        kaiming(self)

    def forward(self, x):
        x = self.exit(self.blocks(self.entry(x)))
        return self.fc(self.dropout(F.adaptive_avg_pool2d(x, 1).flatten(1)))


class XceptionBlock(nn.Module):
    """Separable convolutions around which x passes, by a strided 1 x 1 where they change the shape."""

    def __init__(self, before, widths, stride, relu_first):
        super().__init__()
        layers, channels = [], before
        for i, width in enumerate(widths):
            if i or relu_first:
                layers.append(nn.ReLU())  # x is needed beside it
            layers += [_separable(channels, width), nn.BatchNorm2d(width)]
            channels = width
        if stride > 1:
            layers.append(nn.MaxPool2d(3, stride, padding=1))
        self.body = nn.Sequential(*layers)
        self.skip = None
        if stride > 1:
            self.skip = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x):
        return self.body(x) + (x if self.skip is None else self.skip(x))


def _separable(before, channels):
    return nn.Sequential(
        nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False), nn.Conv2d(before, channels, 1, bias=False)
    )
