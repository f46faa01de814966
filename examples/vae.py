"""A variational autoencoder of digits: what it rebuilds, what it invents, and what lies between two digits.

The encoder sees a digit as a cloud in 8 dimensions, the decoder draws a digit from a point. Points drawn from
N(0, 1) give new digits; on the way from one digit's point to another's the drawings pass from one to the other.
"""

from common import arguments, batches, save_rows

import nnrt
from nnrt import optim
from nnrt.data import load_digits
from nnrt.models import ConvVAE, vae_loss

args = arguments(__doc__, "vae", 60)
images, labels = load_digits("all")
model = ConvVAE(size=8, width=32, latent=8)
optimizer = optim.Adam(model.parameters(), lr=2e-3)
print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(images)} digits")

for epoch in range(1, args.epochs + 1):
    total, chosen = 0.0, batches(len(images), 64)
    for batch in chosen:
        x = images[batch]
        optimizer.zero_grad()
        rebuilt, mu, logvar = model(x)
        loss = vae_loss(rebuilt, x, mu, logvar, beta=0.25)  # 1 would blur: grey pixels are no coin tosses
        loss.backward()
        optimizer.step()
        total += loss.item()
    if epoch == 1 or epoch % 20 == 0:
        print(f"epoch {epoch:3}  loss {total / len(chosen):.2f}")

with nnrt.no_grad():
    first = [int((labels == digit).nonzero()[0]) for digit in range(10)]
    points = model.encode(images[first])[0]
    rows = {"digits": images[first], "rebuilt": model.decode(points)}
    for i in (1, 2, 3):
        rows[f"invented {i}"] = model.decode(nnrt.randn(10, 8))
    for a, b in ((0, 6), (1, 7), (3, 8), (4, 9)):
        share = nnrt.linspace(0, 1, 10)[:, None]
        rows[f"from {a} to {b}"] = model.decode((1 - share) * points[a] + share * points[b])
save_rows(args.out, rows, "a variational autoencoder of 8 x 8 digits")
