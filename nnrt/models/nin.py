"""Network in Network. Lin, Chen, Yan, "Network in network", 2013.

A convolution is followed by two of 1 x 1, a small MLP at every pixel; global averages of num_classes maps
take the place of fully connected layers. The maps of the classes have no ReLU: behind the paper's, a class whose map
has become negative everywhere would never come back.

    form         image     maps       parameters
    "cifar"      32        8 x 8         966,986  (num_classes 10)
    "imagenet"   224       5 x 5       7,595,176  (num_classes 1000)
"""

from .. import nn
from ._layers import kaiming

# channels of the three convolutions, kernel, stride, padding of the first, pooling after; None: num_classes
FORMS = {
    "cifar": (
        ((192, 160, 96), 5, 1, 2, nn.MaxPool2d),
        ((192, 192, 192), 5, 1, 2, nn.AvgPool2d),
        ((192, 192, None), 3, 1, 1, None),
    ),
    "imagenet": (
        ((96, 96, 96), 11, 4, 0, nn.MaxPool2d),
        ((256, 256, 256), 5, 1, 2, nn.MaxPool2d),
        ((384, 384, 384), 3, 1, 1, nn.MaxPool2d),
        ((1024, 1024, None), 3, 1, 1, None),
    ),
}


class NiN(nn.Module):
    """Scores [N, num_classes] of images [N, in_channels, H, W]."""

    def __init__(self, num_classes=10, in_channels=3, dropout=0.5, form="cifar"):
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"NiN: form {form!r}; wanted {', '.join(map(repr, FORMS))}")
        layers = []
        for widths, *geometry, pool in FORMS[form]:
            for i, width in enumerate(widths):
                channels = width or num_classes
                conv = (*geometry,) if i == 0 else (1,)
                layers.append(nn.Conv2d(in_channels, channels, *conv))
                if width:
                    layers.append(nn.ReLU(inplace=True))
                in_channels = channels
            if pool:
                layers.append(pool(3, 2, padding=1) if form == "cifar" else pool(3, 2))
                layers.append(nn.Dropout(dropout))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1))
        kaiming(self, "fan_in")

    def forward(self, x):
        return self.features(x).flatten(1)
