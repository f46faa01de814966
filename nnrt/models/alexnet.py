"""AlexNet in three forms. Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep CNNs", 2012.

    form             image   features        parameters
    "torchvision"    224     256 x 6 x 6     61,100,840   one tower: Krizhevsky, "One weird trick", 2014
    "2012"           227     256 x 6 x 6     60,965,224   two towers as groups of 2, local response norm
    "pooled"         224     512 x 2 x 2     33,334,376   a pool after each convolution, widths that double

"torchvision" has torchvision's parameter names.
"""

from .. import nn

# channels, kernel, stride, padding, groups, what follows the ReLU
FORMS = {
    "torchvision": (
        (64, 11, 4, 2, 1, "pool"),
        (192, 5, 1, 2, 1, "pool"),
        (384, 3, 1, 1, 1, ""),
        (256, 3, 1, 1, 1, ""),
        (256, 3, 1, 1, 1, "pool"),
    ),
    "2012": (
        (96, 11, 4, 0, 1, "norm pool"),
        (256, 5, 1, 2, 2, "norm pool"),
        (384, 3, 1, 1, 1, ""),
        (384, 3, 1, 1, 2, ""),
        (256, 3, 1, 1, 2, "pool"),
    ),
    "pooled": (
        (64, 11, 4, 2, 1, "padded pool"),
        (128, 5, 1, 1, 1, "padded pool"),
        (256, 3, 1, 1, 1, "padded pool"),
        (512, 3, 1, 1, 1, "padded pool"),
        (512, 3, 1, 1, 1, "padded pool"),
    ),
}
SIDES = {"torchvision": 6, "2012": 6, "pooled": 2}


class AlexNet(nn.Module):
    """Scores [N, num_classes] of images [N, 3, H, W]; features of another size are averaged to the form's.

    hidden: size of the two layers before the last.
    """

    def __init__(self, num_classes=1000, dropout=0.5, form="torchvision", hidden=4096):
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"AlexNet: form {form!r}; wanted {', '.join(map(repr, FORMS))}")
        channels, side = FORMS[form][-1][0], SIDES[form]
        self.features = nn.Sequential(*_features(FORMS[form]))
        self.avgpool = nn.AdaptiveAvgPool2d((side, side))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(channels * side * side, hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _features(rows):
    before = 3
    for channels, kernel, stride, padding, groups, then in rows:
        yield nn.Conv2d(before, channels, kernel, stride, padding, groups=groups)
        yield nn.ReLU(inplace=True)
        if "norm" in then:
            yield nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2)
        if "pool" in then:
            yield nn.MaxPool2d(3, 2, padding=1 if "padded" in then else 0)
        before = channels


def alexnet(**options):
    """The form of torchvision."""
    return AlexNet(**options)
