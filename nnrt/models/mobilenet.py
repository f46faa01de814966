"""MobileNet v1 and v2: depthwise convolutions followed by 1 x 1.

Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision applications", 2017, 4,231,976
parameters. Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", 2018, 3,504,872 parameters
under torchvision's names.

    v1  3 x 224 x 224 -> 32 x 112 x 112 -> ... -> 1024 x 7 x 7 -> num_classes
    v2  3 x 224 x 224 -> 32 x 112 x 112 -> ... -> 320 x 7 x 7 -> 1280 x 7 x 7 -> num_classes
"""

from .. import nn
from ..nn import functional as F
from ._layers import conv_norm, divisible, kaiming

# v1: channels, stride
SEPARABLE = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)
# v2: t expansion, c channels, n blocks, s stride of the first
INVERTED = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


class MobileNetV1(nn.Module):
    """Scores [N, num_classes] of images [N, 3, H, W]; width_mult scales all channels."""

    def __init__(self, num_classes=1000, width_mult=1.0, dropout=0.001):
        super().__init__()
        before = divisible(32 * width_mult)
        features = [conv_norm(3, before, 3, 2)]
        for width, stride in SEPARABLE:
            channels = divisible(width * width_mult)
            features.append(conv_norm(before, before, 3, stride, groups=before))
            features.append(conv_norm(before, channels, 1))
            before = channels
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(before, num_classes))
        kaiming(self)

    def forward(self, x):
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


class MobileNetV2(nn.Module):
    """Scores [N, num_classes] of images [N, 3, H, W].

    width_mult scales the channels, in multiples of round_nearest; inverted_residual_setting: rows as INVERTED.
    """

    def __init__(
        self, num_classes=1000, width_mult=1.0, inverted_residual_setting=INVERTED, round_nearest=8, dropout=0.2
    ):
        super().__init__()
        before = divisible(32 * width_mult, round_nearest)
        last = divisible(1280 * max(1.0, width_mult), round_nearest)
        features = [conv_norm(3, before, 3, 2, activation=nn.ReLU6)]
        for t, c, n, s in inverted_residual_setting:
            channels = divisible(c * width_mult, round_nearest)
            for i in range(n):
                features.append(InvertedResidual(before, channels, 1 if i else s, t))
                before = channels
        features.append(conv_norm(before, last, 1, activation=nn.ReLU6))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, num_classes))
        kaiming(self)
        nn.init.normal_(self.classifier[1].weight, 0, 0.01)
        nn.init.zeros_(self.classifier[1].bias)

    def forward(self, x):
        return self.classifier(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


class InvertedResidual(nn.Module):
    """1x1 to t times the channels, depthwise 3x3, linear 1x1 back; x is added where the shape stays."""

    def __init__(self, before, channels, stride, expand_ratio):
        super().__init__()
        hidden = before * expand_ratio
        layers = [] if expand_ratio == 1 else [conv_norm(before, hidden, 1, activation=nn.ReLU6)]
        self.conv = nn.Sequential(
            *layers,
            conv_norm(hidden, hidden, 3, stride, groups=hidden, activation=nn.ReLU6),
            nn.Conv2d(hidden, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.adds = stride == 1 and before == channels

    def forward(self, x):
        return x + self.conv(x) if self.adds else self.conv(x)


def mobilenet_v1(**options):
    """MobileNetV1(**options)."""
    return MobileNetV1(**options)


def mobilenet_v2(**options):
    """MobileNetV2(**options)."""
    return MobileNetV2(**options)
