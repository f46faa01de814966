"""DCGAN. Radford, Metz, Chintala, "Unsupervised representation learning with deep convolutional GANs", 2015.

    generator      nz x 1 x 1 -> 512 x 4 x 4 -> 256 x 8 x 8 -> 128 x 16 x 16 -> 64 x 32 x 32 -> nc x 64 x 64
    discriminator  the same back: nc x 64 x 64 -> ... -> 1 x 1 x 1

3,576,704 and 2,765,568 parameters with nz = 100, ngf = ndf = 64, nc = 3; names as in torch's example. Another
`size`, a power of 2 of at least 8, has fewer or more levels.
"""

from .. import nn


class Generator(nn.Module):
    """Images [N, nc, size, size] in (-1, 1) from noise [N, nz, 1, 1]. ngf: channels of the last hidden level."""

    def __init__(self, nz=100, ngf=64, nc=3, size=64):
        super().__init__()
        widths = _widths(ngf, size)[::-1]
        layers = []
        for i, (before, width) in enumerate(zip([nz, *widths], widths)):
            geometry = (4, 2, 1) if i else (4, 1, 0)
            layers += [nn.ConvTranspose2d(before, width, *geometry, bias=False), nn.BatchNorm2d(width)]
            layers.append(nn.ReLU(inplace=True))
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(ngf, nc, 4, 2, 1, bias=False), nn.Tanh())
        _initialise(self)

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    """Probabilities [N, 1, 1, 1] that images [N, nc, size, size] are real; logits=True leaves the sigmoid out."""

    def __init__(self, ndf=64, nc=3, size=64, logits=False):
        super().__init__()
        widths = _widths(ndf, size)
        layers = []
        for before, width in zip([nc, *widths], widths):
            layers.append(nn.Conv2d(before, width, 4, 2, 1, bias=False))
            layers += [nn.BatchNorm2d(width)] if before != nc else []
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        layers.append(nn.Conv2d(widths[-1], 1, 4, 1, 0, bias=False))
        self.main = nn.Sequential(*layers, *([] if logits else [nn.Sigmoid()]))
        _initialise(self)

    def forward(self, x):
        return self.main(x)


def _widths(width, size):
    """Channels at size/2, size/4, ... 4."""
    if size < 8 or size & (size - 1):
        raise ValueError(f"DCGAN: size {size}; wanted a power of 2 of at least 8")
    return [width << i for i in range(size.bit_length() - 3)]


def _initialise(model):
    """The paper's: N(0, 0.02) for filters, N(1, 0.02) for the scales of the norms."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02)
