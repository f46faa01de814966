"""Residual networks: ResNet, ResNeXt, Wide ResNet; parameter names are torchvision's.

He et al., "Deep residual learning for image recognition", 2015; Xie et al., "Aggregated residual
transformations", 2016; Zagoruyko, Komodakis, "Wide residual networks", 2016.

    3 x 224 x 224 -> 64 x 56 x 56 -> layer1 56 -> layer2 28 -> layer3 14 -> layer4 7 -> num_classes

    y = relu(x + f(x)); x is projected by 1 x 1 where f changes the shape. A bottleneck's stride is in its 3 x 3.
"""

from .. import nn
from ._layers import kaiming, rectified


class BasicBlock(nn.Module):
    """3x3, 3x3."""

    expansion = 1
    fusable = (("conv1", "bn1"), ("conv2", "bn2"))

    def __init__(self, inplanes, planes, stride, downsample, groups, base_width, dilation, norm_layer):
        super().__init__()
        if groups != 1 or base_width != 64 or dilation > 1:
            raise ValueError("BasicBlock: has no groups, width_per_group or dilation; Bottleneck has")
        self.conv1 = _conv3x3(inplanes, planes, stride)
        self.bn1 = norm_layer(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(planes, planes)
        self.bn2 = norm_layer(planes)
        self.downsample = downsample

    def forward(self, x):
        y = rectified(self.conv1, self.bn1, x, self.relu)
        return rectified(self.conv2, self.bn2, y, self.relu, self.shortcut(x))

    def shortcut(self, x):
        return x if self.downsample is None else self.downsample(x)


class Bottleneck(nn.Module):
    """1x1 to `width` channels, 3x3 in groups, 1x1 to 4 planes."""

    expansion = 4
    fusable = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))

    def __init__(self, inplanes, planes, stride, downsample, groups, base_width, dilation, norm_layer):
        super().__init__()
        width = planes * base_width // 64 * groups
        self.conv1 = nn.Conv2d(inplanes, width, 1, bias=False)
        self.bn1 = norm_layer(width)
        self.conv2 = _conv3x3(width, width, stride, groups, dilation)
        self.bn2 = norm_layer(width)
        self.conv3 = nn.Conv2d(width, planes * self.expansion, 1, bias=False)
        self.bn3 = norm_layer(planes * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x):
        y = rectified(self.conv1, self.bn1, x, self.relu)
        y = rectified(self.conv2, self.bn2, y, self.relu)
        return rectified(self.conv3, self.bn3, y, self.relu, self.shortcut(x))

    def shortcut(self, x):
        return x if self.downsample is None else self.downsample(x)


def _conv3x3(inplanes, planes, stride=1, groups=1, dilation=1):
    return nn.Conv2d(inplanes, planes, 3, stride, dilation, dilation, groups, bias=False)


class ResNet(nn.Module):
    """Scores [N, num_classes] of images [N, 3, H, W].

    block: BasicBlock or Bottleneck; layers: how many blocks each of the four layers has. groups and
    width_per_group make ResNeXt and Wide ResNet. zero_init_residual: every block begins as the identity.
    replace_stride_with_dilation: for layer2 to layer4, dilate instead of halving the image.
    """

    fusable = (("conv1", "bn1"),)

    def __init__(
        self,
        block,
        layers,
        num_classes=1000,
        zero_init_residual=False,
        groups=1,
        width_per_group=64,
        replace_stride_with_dilation=None,
        norm_layer=nn.BatchNorm2d,
    ):
        super().__init__()
        dilate = replace_stride_with_dilation or (False, False, False)
        if len(dilate) != 3:
            raise ValueError(f"ResNet: replace_stride_with_dilation wants 3 truth values, got {dilate!r}")
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = norm_layer(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        inplanes, dilation = 64, 1
        for i, count in enumerate(layers):
            planes, stride = 64 << i, 2 if i else 1
            first_dilation = dilation
            if i and dilate[i - 1]:
                dilation, stride = dilation * stride, 1
            blocks = []
            for j in range(count):
                step = (stride, first_dilation) if j == 0 else (1, dilation)
                downsample = None
                if step[0] != 1 or inplanes != planes * block.expansion:
                    downsample = nn.Sequential(
                        nn.Conv2d(inplanes, planes * block.expansion, 1, step[0], bias=False),
                        norm_layer(planes * block.expansion),
                    )
                blocks.append(
                    block(inplanes, planes, step[0], downsample, groups, width_per_group, step[1], norm_layer)
                )
                inplanes = planes * block.expansion
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(inplanes, num_classes)
        kaiming(self)
        for module in self.modules() if zero_init_residual else ():
            if isinstance(module, (BasicBlock, Bottleneck)):
                last = module.bn2 if isinstance(module, BasicBlock) else module.bn3
                nn.init.zeros_(last.weight)

    def forward(self, x):
        x = self.maxpool(rectified(self.conv1, self.bn1, x, self.relu))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def resnet18(**options):
    """11,689,512 parameters."""
    return ResNet(BasicBlock, (2, 2, 2, 2), **options)


def resnet34(**options):
    """21,797,672 parameters."""
    return ResNet(BasicBlock, (3, 4, 6, 3), **options)


def resnet50(**options):
    """25,557,032 parameters."""
    return ResNet(Bottleneck, (3, 4, 6, 3), **options)


def resnet101(**options):
    """44,549,160 parameters."""
    return ResNet(Bottleneck, (3, 4, 23, 3), **options)


def resnet152(**options):
    """60,192,808 parameters."""
    return ResNet(Bottleneck, (3, 8, 36, 3), **options)


def resnext50_32x4d(**options):
    """25,028,904 parameters; 32 groups of 4 channels."""
    return ResNet(Bottleneck, (3, 4, 6, 3), **{"groups": 32, "width_per_group": 4, **options})


def resnext101_32x8d(**options):
    """88,791,336 parameters; 32 groups of 8 channels."""
    return ResNet(Bottleneck, (3, 4, 23, 3), **{"groups": 32, "width_per_group": 8, **options})


def resnext101_64x4d(**options):
    """83,455,272 parameters; 64 groups of 4 channels."""
    return ResNet(Bottleneck, (3, 4, 23, 3), **{"groups": 64, "width_per_group": 4, **options})


def wide_resnet50_2(**options):
    """68,883,240 parameters; inner layers twice as wide."""
    return ResNet(Bottleneck, (3, 4, 6, 3), **{"width_per_group": 128, **options})


def wide_resnet101_2(**options):
    """126,886,696 parameters; inner layers twice as wide."""
    return ResNet(Bottleneck, (3, 4, 23, 3), **{"width_per_group": 128, **options})
