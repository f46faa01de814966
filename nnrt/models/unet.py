"""U-Net. Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation", 2015.

    1 x H x W -> 64 ----------------------------------> (64 + 64) -> 64 -> num_classes x H x W
                  128 x H/2 -------------------> (128 + 128) -> 128
                     256 x H/4 ----------> (256 + 256) -> 256
                        512 x H/8 ---> (512 + 512) -> 512
                            1024 x H/16

31,030,658 parameters in the paper's form, UNet(norm=False, padding=0): 572 x 572 -> 388 x 388.
"""

from .. import cat, nn
from ..nn import functional as F


class UNet(nn.Module):
    """[N, in_channels, H, W] -> [N, num_classes, H, W], H and W divisible by 2**depth.

    width: channels of the first level, doubled at each of `depth` levels. norm: batch norm after each convolution.
    padding: 1 keeps the size, 0 loses a border; what comes over a skip is then cut to its middle.
    """

    def __init__(self, in_channels=1, num_classes=2, width=64, depth=4, norm=True, padding=1):
        super().__init__()
        widths = [width << i for i in range(depth + 1)]
        self.down = nn.ModuleList(
            _double(a, b, norm, padding) for a, b in zip([in_channels, *widths], widths)
        )
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in widths[-2::-1])
        self.merge = nn.ModuleList(_double(2 * w, w, norm, padding) for w in widths[-2::-1])
        self.head = nn.Conv2d(width, num_classes, 1)

    def forward(self, x):
        skips = []
        for i, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if i else x)
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge):
            x = up(x)
            x = merge(cat((_middle(skips.pop(), x.shape[2:]), x), 1))
        return self.head(x)


def _double(before, channels, norm, padding):
    """Two times 3 x 3, norm, ReLU."""
    layers = []
    for width in (before, channels):
        layers.append(nn.Conv2d(width, channels, 3, padding=padding, bias=not norm))
        layers += [nn.BatchNorm2d(channels)] if norm else []
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def _middle(x, size):
    """The middle of x, size (H, W)."""
    (height, width), (h, w) = x.shape[2:], size
    top, left = (height - h) // 2, (width - w) // 2
    return x[:, :, top : top + h, left : left + w]
