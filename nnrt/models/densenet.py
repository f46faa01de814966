"""DenseNet. Huang, Liu, van der Maaten, Weinberger, "Densely connected convolutional networks", 2016.

    x_l = [x_0, ..., x_(l-1), f_l([x_0, ..., x_(l-1)])]     f = norm, relu, 1x1 to 4k, norm, relu, 3x3 to k

    3 x 224 x 224 -> 64 x 56 x 56 -> block 1 at 56 -> block 2 at 28 -> block 3 at 14 -> block 4 at 7 -> num_classes

k: growth rate. Between blocks a transition halves channels (1x1) and size. Parameter names are torchvision's;
those of its published files (norm.1 for norm1) load, too.
"""

import re
from collections import OrderedDict

from .. import cat, nn
from ..nn import functional as F
from ._layers import kaiming, rectified


class DenseNet(nn.Module):
    """Scores [N, num_classes] of images [N, 3, H, W], H and W at least 29.

    block_config: how many layers each block has. bn_size: channels of a bottleneck over growth_rate.
    drop_rate: dropout after each layer.
    """

    def __init__(
        self,
        growth_rate=32,
        block_config=(6, 12, 24, 16),
        num_init_features=64,
        bn_size=4,
        drop_rate=0.0,
        num_classes=1000,
    ):
        super().__init__()
        channels = num_init_features
        self.features = _named(
            conv0=nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False),
            norm0=nn.BatchNorm2d(channels),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, stride=2, padding=1),
        )
        for i, layers in enumerate(block_config, 1):
            if i > 1:
                self.features.add_module(f"transition{i - 1}", _transition(channels, channels // 2))
                channels //= 2
            block = {
                f"denselayer{j + 1}": DenseLayer(channels + j * growth_rate, growth_rate, bn_size, drop_rate)
                for j in range(layers)
            }
            self.features.add_module(f"denseblock{i}", _named(**block))
            channels += layers * growth_rate
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, num_classes)
        kaiming(self, "fan_in")
        nn.init.zeros_(self.classifier.bias)

    def _load_from_state_dict(self, state_dict, *args):
        # The files that torchvision publishes have norm.1 for norm1.
        for key in list(state_dict):
            state_dict[re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key)] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, *args)

    def forward(self, x):
        x = F.relu(self.features(x), inplace=True)
        return self.classifier(F.adaptive_avg_pool2d(x, 1).flatten(1))


class DenseLayer(nn.Module):
    """x joined with growth_rate new channels made from it."""

    fusable = (("conv1", "norm2"),)

    def __init__(self, channels, growth_rate, bn_size, drop_rate):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels, bn_size * growth_rate, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(bn_size * growth_rate)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(bn_size * growth_rate, growth_rate, 3, padding=1, bias=False)
        self.drop_rate = drop_rate

    def forward(self, x):
        y = rectified(self.conv1, self.norm2, self.relu1(self.norm1(x)), self.relu2)
        y = self.conv2(y)
        if self.drop_rate:
            y = F.dropout(y, self.drop_rate, self.training)
        return cat((x, y), 1)


def _transition(channels, fewer):
    return _named(
        norm=nn.BatchNorm2d(channels),
        relu=nn.ReLU(inplace=True),
        conv=nn.Conv2d(channels, fewer, 1, bias=False),
        pool=nn.AvgPool2d(2, 2),
    )


def _named(**layers):
    return nn.Sequential(OrderedDict(layers))


def densenet121(**options):
    """7,978,856 parameters."""
    return DenseNet(32, (6, 12, 24, 16), 64, **options)


def densenet161(**options):
    """28,681,000 parameters."""
    return DenseNet(48, (6, 12, 36, 24), 96, **options)


def densenet169(**options):
    """14,149,480 parameters."""
    return DenseNet(32, (6, 12, 32, 32), 64, **options)


def densenet201(**options):
    """20,013,928 parameters."""
    return DenseNet(32, (6, 12, 48, 32), 64, **options)
