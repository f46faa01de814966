"""A small U-Net takes noise out of digits, measured on digits that it has not seen.

PSNR = -10 log10(mean squared error), in decibels: 3 dB more is half the error.
"""

import math

from common import arguments, batches, save_rows

import nnrt
import nnrt.nn.functional as F
from nnrt import optim
from nnrt.data import load_digits
from nnrt.models import UNet

SIGMA = 0.4

args = arguments(__doc__, "unet_denoise", 30)
train, test = load_digits("train")[0], load_digits("test")[0]
model = UNet(in_channels=1, num_classes=1, width=16, depth=2)
optimizer = optim.Adam(model.parameters(), lr=2e-3)
schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters; noise of standard deviation {SIGMA}")


def psnr(x):
    return -10 * math.log10(F.mse_loss(x, test).item())


for epoch in range(1, args.epochs + 1):
    total, chosen = 0.0, batches(len(train), 64)
    for batch in chosen:
        x = train[batch]
        optimizer.zero_grad()
        loss = F.mse_loss(model(x + SIGMA * nnrt.randn_like(x)), x)
        loss.backward()
        optimizer.step()
        total += loss.item()
    schedule.step()
    if epoch == 1 or epoch % 5 == 0:
        print(f"epoch {epoch:3}  mean squared error {total / len(chosen):.4f}")

model.eval()
with nnrt.no_grad():
    noisy = test + SIGMA * nnrt.randn_like(test)
    cleaned = model(noisy).clamp(0, 1)
    blur = F.conv2d(noisy, nnrt.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None] / 16, padding=1)
print(f"PSNR on {len(test)} new digits: noisy {psnr(noisy):.1f} dB, blurred {psnr(blur):.1f} dB, U-Net {psnr(cleaned):.1f} dB")
rows = {"noisy": noisy, "blurred": blur, "U-Net": cleaned, "the digit": test}
save_rows(args.out, {label: images[:12] for label, images in rows.items()}, f"noise {SIGMA}: taken out by a U-Net")
