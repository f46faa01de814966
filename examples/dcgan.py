"""A DCGAN draws digits: two networks play against each other.

The discriminator learns to tell real digits from drawn ones, the generator to draw digits that pass for real.
The digits are enlarged to 16 x 16.
"""

from common import arguments, batches, save_rows

import nnrt
import nnrt.nn.functional as F
from nnrt import optim
from nnrt.data import load_digits
from nnrt.models import Discriminator, Generator

NOISE = 16

args = arguments(__doc__, "dcgan", 30)
images, labels = load_digits("all")
real = F.interpolate(images, scale_factor=2, mode="bilinear", align_corners=False) * 2 - 1  # the tanh's range
generator = Generator(nz=NOISE, ngf=32, nc=1, size=16)
discriminator = Discriminator(ndf=32, nc=1, size=16, logits=True)
paint = optim.Adam(generator.parameters(), lr=5e-4, betas=(0.5, 0.999))
judge = optim.Adam(discriminator.parameters(), lr=5e-4, betas=(0.5, 0.999))
fixed = nnrt.randn(12, NOISE, 1, 1)
rows = {"real": real[:12] / 2 + 0.5}


def passes_for(scores, truth):
    """The loss of scores that should say `truth`; 0.9 instead of 1 keeps the discriminator from being too sure."""
    return F.binary_cross_entropy_with_logits(scores, nnrt.full_like(scores, 0.9 if truth else 0.0))


for epoch in range(1, args.epochs + 1):
    chosen = batches(len(real), 32)
    sums = [0.0, 0.0]
    for batch in chosen:
        drawn = generator(nnrt.randn(len(batch), NOISE, 1, 1))

        judge.zero_grad()
        loss = passes_for(discriminator(real[batch]), True) + passes_for(discriminator(drawn.detach()), False)
        loss.backward()
        judge.step()
        sums[0] += loss.item()

        paint.zero_grad()
        loss = passes_for(discriminator(drawn), True)
        loss.backward()
        paint.step()
        sums[1] += loss.item()
    if epoch in (1, 5, args.epochs) or epoch % 10 == 0:
        print(f"epoch {epoch:3}  discriminator {sums[0] / len(chosen):.2f}  generator {sums[1] / len(chosen):.2f}")
        generator.eval()
        with nnrt.no_grad():
            rows[f"epoch {epoch}"] = generator(fixed) / 2 + 0.5
        generator.train()

save_rows(args.out, rows, "a DCGAN: the same twelve points of noise as training goes on")
