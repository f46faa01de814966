"""Adversarial examples: a change too small to fool a person fools a network.

The gradient of the loss with respect to the image says how each pixel should change to make the network
err; a step of size epsilon along its sign is the fast gradient sign method (Goodfellow et al., 2014).
"""

from common import arguments, save_rows

import nnrt
import nnrt.nn.functional as F
from nnrt import optim
from nnrt.data import DataLoader, TensorDataset, load_digits
from nnrt.models import ResNetCIFAR
from nnrt.train import Accuracy, Trainer

args = arguments(__doc__, "adversarial", 8)
images, labels = load_digits("test")
model = ResNetCIFAR(depth=8, in_channels=1)
train = DataLoader(TensorDataset(*load_digits("train")), batch_size=32, shuffle=True)
trainer = Trainer(model, optim.Adam(model.parameters(), lr=2e-3), F.cross_entropy, [Accuracy()], progress="none")
trainer.fit(train, epochs=args.epochs)
model.eval()
for parameter in model.parameters():
    parameter.requires_grad_(False)  # only the image's gradient is wanted


def attack(x, labels, epsilon):
    """x moved by epsilon along the sign of the loss's gradient, kept in [0, 1]."""
    x = x.clone().requires_grad_()
    F.cross_entropy(model(x), labels).backward()
    return (x.detach() + epsilon * x.grad.sign()).clamp(0, 1)


print("epsilon  accuracy on the attacked test images   the same change with random signs")
for epsilon in (0.0, 0.05, 0.1, 0.15, 0.2, 0.3):
    noise = epsilon * nnrt.randn_like(images).sign()
    shares = [
        (model(x).argmax(1) == labels).float().mean().item()
        for x in (attack(images, labels, epsilon), (images + noise).clamp(0, 1))
    ]
    print(f"{epsilon:7.2f}  {shares[0]:37.1%}   {shares[1]:33.1%}")

EPSILON = 0.15
before = model(images).argmax(1)
attacked = attack(images, labels, EPSILON)
scores = model(attacked)
after = scores.argmax(1)
fooled = ((before == labels) & (after != labels)).nonzero()[:, 0][:10]
rows = {
    "digit": images[fooled],
    "change": (attacked - images)[fooled] / (2 * EPSILON) + 0.5,
    "digit + change": attacked[fooled],
}
sure = F.softmax(scores, 1).max(1)[0]
captions = {
    "digit": [f"a {c}" for c in before[fooled].tolist()],
    "digit + change": [f'"{c}", {p:.0%}' for c, p in zip(after[fooled].tolist(), sure[fooled].tolist())],
}
save_rows(args.out, rows, f"what the network sees; pixels changed by up to {EPSILON}", captions)
