"""LeNet-5. LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", 1998.

    1 x 28 x 28 -> 6 x 28 x 28 -> 6 x 14 x 14 -> 16 x 10 x 10 -> 16 x 5 x 5 -> 120 -> 84 -> num_classes

61,706 parameters. The second convolution sees all six maps (the paper's sees chosen ones), and the output is linear.
"""

from .. import nn


class LeNet(nn.Sequential):
    """Scores [N, num_classes] of images [N, in_channels, 28, 28], or 32 x 32 with padding=0, the paper's size."""

    def __init__(self, num_classes=10, in_channels=1, padding=2):
        super().__init__(
            nn.Conv2d(in_channels, 6, 5, padding=padding),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.Tanh(),
            nn.Linear(120, 84),
            nn.Tanh(),
            nn.Linear(84, num_classes),
        )
