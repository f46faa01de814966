"""GoogLeNet. Szegedy et al., "Going deeper with convolutions", 2014; with batch norm, as torchvision has it.

    3 x 224 x 224 -> 192 x 28 x 28 -> 480 x 14 x 14 -> 832 x 7 x 7 -> 1024 -> num_classes

6,624,904 parameters, 13,004,888 with both auxiliary heads (7,005,832 and more with the paper's kernel=5); names are
torchvision's.
"""

from collections import namedtuple

from .. import as_tensor, cat, nn
from ..nn import functional as F
from ._layers import rectified

# name, input channels, 1x1, 3x3 after its 1x1, 5x5 after its 1x1, 1x1 after the pool; "pool": kernel of a pool of
# stride 2
MODULES = (
    ("inception3a", 192, 64, 96, 128, 16, 32, 32),
    ("inception3b", 256, 128, 128, 192, 32, 96, 64),
    ("maxpool3", 3),
    ("inception4a", 480, 192, 96, 208, 16, 48, 64),
    ("inception4b", 512, 160, 112, 224, 24, 64, 64),
    ("inception4c", 512, 128, 128, 256, 24, 64, 64),
    ("inception4d", 512, 112, 144, 288, 32, 64, 64),
    ("inception4e", 528, 256, 160, 320, 32, 128, 128),
    ("maxpool4", 2),
    ("inception5a", 832, 256, 160, 320, 32, 128, 128),
    ("inception5b", 832, 384, 192, 384, 48, 128, 128),
)
AUXILIARY = {"inception4a": "aux1", "inception4d": "aux2"}  # the head that looks at the output of a module

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours

GoogLeNetOutputs = namedtuple("GoogLeNetOutputs", ["logits", "aux_logits2", "aux_logits1"])


class GoogLeNet(nn.Module):
    """Scores [N, num_classes] of images [N, 3, H, W], H and W at least 15.

    aux_logits: two more heads on inner modules. While training the output is then GoogLeNetOutputs, all three
    scores; the paper adds their losses with weight 0.3. kernel: of the "5x5" branch; torchvision has 3, the paper 5.
    transform_input: images come normalised with MEAN and STD and are brought to (x - 0.5) / 0.5, with which the weights
    that torchvision publishes were trained.
    """

    def __init__(self, num_classes=1000, aux_logits=True, dropout=0.2, dropout_aux=0.7, kernel=3, transform_input=False):
        super().__init__()
        self.transform_input = transform_input
        self.conv1 = BasicConv2d(3, 64, 7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = BasicConv2d(64, 64, 1)
        self.conv3 = BasicConv2d(64, 192, 3, padding=1)
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        for name, *sizes in MODULES:
            pool = len(sizes) == 1
            self.add_module(name, nn.MaxPool2d(*sizes, 2, ceil_mode=True) if pool else Inception(*sizes, kernel))
        self.aux1 = InceptionAux(512, num_classes, dropout_aux) if aux_logits else None
        self.aux2 = InceptionAux(528, num_classes, dropout_aux) if aux_logits else None
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(1024, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.01)

    def forward(self, x):
        if self.transform_input:
            mean, std = (as_tensor(a, dtype=x.dtype)[:, None, None] for a in (MEAN, STD))
            x = (x * std + mean - 0.5) / 0.5
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        extra = {}
        for name, *_ in MODULES:
            x = getattr(self, name)(x)
            head = AUXILIARY.get(name)
            if head and self.training and getattr(self, head) is not None:
                extra[head] = getattr(self, head)(x)
        x = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return GoogLeNetOutputs(x, extra["aux2"], extra["aux1"]) if extra else x


class Inception(nn.Module):
    """Four views of the same input, joined along the channels."""

    def __init__(self, channels, ch1x1, ch3x3red, ch3x3, ch5x5red, ch5x5, pool_proj, kernel=3):
        super().__init__()
        self.branch1 = BasicConv2d(channels, ch1x1, 1)
        self.branch2 = nn.Sequential(BasicConv2d(channels, ch3x3red, 1), BasicConv2d(ch3x3red, ch3x3, 3, padding=1))
        self.branch3 = nn.Sequential(
            BasicConv2d(channels, ch5x5red, 1), BasicConv2d(ch5x5red, ch5x5, kernel, padding=kernel // 2)
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), BasicConv2d(channels, pool_proj, 1))

    def forward(self, x):
        return cat((self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)), 1)


class InceptionAux(nn.Module):
    """A small classifier on inner features, against vanishing gradients."""

    def __init__(self, channels, num_classes, dropout=0.7):
        super().__init__()
        self.conv = BasicConv2d(channels, 128, 1)
        self.fc1 = nn.Linear(2048, 1024)
        self.fc2 = nn.Linear(1024, num_classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = self.conv(F.adaptive_avg_pool2d(x, (4, 4))).flatten(1)
        return self.fc2(self.dropout(F.relu(self.fc1(x), inplace=True)))


class BasicConv2d(nn.Module):
    """Convolution, batch norm, ReLU."""

    fusable = (("conv", "bn"),)

    def __init__(self, in_channels, out_channels, kernel_size, **options):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel_size, bias=False, **options)
        self.bn = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x):
        return rectified(self.conv, self.bn, x)


def googlenet(**options):
    """GoogLeNet(**options)."""
    return GoogLeNet(**options)
