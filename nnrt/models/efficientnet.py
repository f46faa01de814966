"""EfficientNet. Tan, Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019.

    3 x 224 x 224 -> 32 x 112 x 112 -> ... -> 320 x 7 x 7 -> 1280 x 7 x 7 -> num_classes

B0: 5,288,548 parameters under torchvision's names; the larger ones are B0 with more channels and more blocks.
"""

import math

from .. import nn, rand
from ._layers import conv_norm, divisible, kaiming

# expansion, kernel, stride of the first block, channels, blocks
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class EfficientNet(nn.Module):
    """Scores [N, num_classes] of images [N, 3, H, W].

    width_mult scales the channels, depth_mult the blocks of each stage. stochastic_depth_prob: with which
    probability the last block is left out while training; it rises linearly from 0 at the first.
    """

    def __init__(
        self, num_classes=1000, width_mult=1.0, depth_mult=1.0, dropout=0.2, stochastic_depth_prob=0.2
    ):
        super().__init__()
        counts = [math.ceil(row[-1] * depth_mult) for row in STAGES]
        before, done = divisible(32 * width_mult), 0
        features = [conv_norm(3, before, 3, 2, activation=nn.SiLU)]
        for (expansion, kernel, stride, width, _), count in zip(STAGES, counts):
            channels, blocks = divisible(width * width_mult), []
            for i in range(count):
                drop = stochastic_depth_prob * done / sum(counts)
                blocks.append(MBConv(before, channels, expansion, kernel, 1 if i else stride, drop))
                before, done = channels, done + 1
            features.append(nn.Sequential(*blocks))
        features.append(conv_norm(before, 4 * before, 1, activation=nn.SiLU))
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(4 * before, num_classes))
        kaiming(self)
        bound = 1 / math.sqrt(num_classes)
        nn.init.uniform_(self.classifier[1].weight, -bound, bound)
        nn.init.zeros_(self.classifier[1].bias)

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class MBConv(nn.Module):
    """1x1 to more channels, depthwise, squeeze and excitation, linear 1x1; x is added where the shape stays."""

    def __init__(self, before, channels, expansion, kernel, stride, drop):
        super().__init__()
        hidden = divisible(before * expansion)
        layers = [] if hidden == before else [conv_norm(before, hidden, 1, activation=nn.SiLU)]
        self.block = nn.Sequential(
            *layers,
            conv_norm(hidden, hidden, kernel, stride, groups=hidden, activation=nn.SiLU),
            SqueezeExcitation(hidden, max(1, before // 4)),
            conv_norm(hidden, channels, 1, activation=None),
        )
        self.stochastic_depth = StochasticDepth(drop)
        self.adds = stride == 1 and before == channels

    def forward(self, x):
        y = self.block(x)
        return x + self.stochastic_depth(y) if self.adds else y


class SqueezeExcitation(nn.Module):
    """Each channel times a gate that the means of all channels decide. Hu et al., 2017."""

    def __init__(self, channels, squeezed):
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.activation = nn.SiLU(inplace=True)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.scale_activation = nn.Sigmoid()

    def forward(self, x):
        gate = self.fc2(self.activation(self.fc1(self.avgpool(x))))
        return x * self.scale_activation(gate)


class StochasticDepth(nn.Module):
    """While training, zeroes each sample with probability p and divides the others by 1 - p. Huang et al., 2016."""

    def __init__(self, p):
        super().__init__()
        self.p = p

    def forward(self, x):
        if not self.training or not self.p:
            return x
        kept = rand(x.shape[0], *[1] * (x.ndim - 1), dtype=x.dtype) >= self.p
        return x * (kept.to(x.dtype) / (1 - self.p))

    def extra_repr(self):
        return f"p={self.p:.3g}"


def efficientnet_b0(**options):
    """EfficientNet(**options)."""
    return EfficientNet(**options)
