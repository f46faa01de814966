"""The generator of SEGAN. Pascual, Bonafonte, Serrà, "SEGAN: speech enhancement generative adversarial network", 2017.

    1 x T -> 64 x T/4 -> 128 x T/16 -> 256 x T/64 -> 512 x T/256 -> 256 x T/64 -> 128 x T/16 -> 64 x T/4 -> 1 x T

Noisy speech becomes clean speech. 10,671,361 parameters. The paper has eleven levels of stride 2, up to 1024 channels,
PReLU, latent noise and skips that are concatenated; here are four of stride 4, ReLU, no noise and skips that are added.
"""

from .. import nn
from ..nn import functional as F


class SEGANGenerator(nn.Module):
    """[N, 1, T] -> [N, 1, T], T divisible by pooling ** len(enc_fmaps); kwidth is pooling or more."""

    def __init__(self, enc_fmaps=(64, 128, 256, 512), kwidth=31, pooling=4):
        super().__init__()
        widths = (1, *enc_fmaps)
        pairs = list(zip(widths, widths[1:]))
        self.enc = nn.ModuleList(DownConv1dBlock(a, b, kwidth, pooling) for a, b in pairs)
        self.dec = nn.ModuleList(UpConv1dBlock(b, a, kwidth, pooling, act=a > 1) for a, b in reversed(pairs))

    def forward(self, x):
        skips = []
        for block in self.enc:
            x = block(x)
            skips.append(x)
        skips.pop()
        for i, block in enumerate(self.dec):
            x = block(x + skips.pop() if i else x)
        return x


class DownConv1dBlock(nn.Module):
    """[N, ninp, T] -> [N, fmap, T / stride]."""

    def __init__(self, ninp, fmap, kwidth, stride):
        super().__init__()
        self.padding = (kwidth // 2 - 1, kwidth // 2)
        self.conv = nn.Conv1d(ninp, fmap, kwidth, stride)

    def forward(self, x):
        return F.relu(self.conv(F.pad(x, self.padding)), inplace=True)


class UpConv1dBlock(nn.Module):
    """[N, ninp, T] -> [N, fmap, T * stride]."""

    def __init__(self, ninp, fmap, kwidth, stride, act=True):
        super().__init__()
        self.deconv = nn.ConvTranspose1d(ninp, fmap, kwidth, stride, padding=(kwidth - stride) // 2)
        self.stride = stride
        self.act = act

    def forward(self, x):
        y = self.deconv(x)[:, :, : x.shape[-1] * self.stride]  # of an odd kernel and an even stride, one sample more
        return F.relu(y, inplace=True) if self.act else y
