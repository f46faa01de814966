"""Residual networks for CIFAR. He et al., "Deep residual learning for image recognition", 2015, section 4.2.

    3 x 32 x 32 -> 16 x 32 x 32 -> n blocks -> 32 x 16 x 16 -> n blocks -> 64 x 8 x 8 -> n blocks -> num_classes

6n + 2 layers with weights. Shortcuts have no parameters: where the shape changes they take every second pixel
and fill the new channels with zeros (option A).

    depth 20 269,722   32 464,154   44 658,586   56 853,018   110 1,727,962 parameters
"""

from .. import nn
from ..nn import functional as F
from ._layers import kaiming, rectified


class CIFARBlock(nn.Module):
    """y = relu(shortcut(x) + f(x)), f = 3x3, 3x3."""

    fusable = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, before, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride = stride
        self.new = planes - before

    def forward(self, x):
        return rectified(self.conv2, self.bn2, rectified(self.conv1, self.bn1, x), residual=self.shortcut(x))

    def shortcut(self, x):
        if self.new:
            x = x[:, :, :: self.stride, :: self.stride]
            x = F.pad(x, (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))
        return x


class ResNetCIFAR(nn.Module):
    """Scores [N, num_classes] of images [N, in_channels, H, W]; depth: 6n + 2; width: channels of the first layer."""

    fusable = (("conv1", "bn1"),)

    def __init__(self, depth=20, num_classes=10, in_channels=3, width=16):
        super().__init__()
        n, rest = divmod(depth - 2, 6)
        if rest or n < 1:
            raise ValueError(f"ResNetCIFAR: depth {depth}; wanted 6n + 2: 8, 14, 20, 32, ...")
        self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        before = width
        for i in range(3):
            planes, stride = width << i, 2 if i else 1
            blocks = [CIFARBlock(before if j == 0 else planes, planes, stride if j == 0 else 1) for j in range(n)]
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
            before = planes
        self.fc = nn.Linear(before, num_classes)
        kaiming(self)

    def forward(self, x):
        x = rectified(self.conv1, self.bn1, x)
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def resnet20(**options):
    """ResNetCIFAR(20, **options)."""
    return ResNetCIFAR(20, **options)
