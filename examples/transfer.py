"""Transfer: a network that knows the digits 0 to 4 learns 5 to 9 in fewer steps than a new one.

20 examples of each new digit, 48 steps with 32 of them. "all layers" starts from the network that knows 0 to 4,
with a new last layer; "the last layer" keeps all others as they are; "from nothing" starts with random weights.
Accuracy on all test images of 5 to 9, means over draws of the examples: the start differs, the end does not.
"""

import copy

from common import arguments, batches, save_curves

import nnrt
import nnrt.nn.functional as F
from nnrt import nn, optim
from nnrt.data import load_digits

STEPS, DRAWS = (0, 1, 2, 4, 8, 12, 16, 24, 32, 48), 3

args = arguments(__doc__, "transfer", 8)
images, labels = load_digits("train")
test_images, test_labels = load_digits("test")


def network():
    layers, before = [], 1
    for channels, pool in ((32, 1), (32, 2), (64, 2)):
        layers += [nn.Conv2d(before, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(pool)]
        before = channels
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 5))


def classes(images, labels, first):
    """The images of five classes, labelled 0 to 4."""
    chosen = (labels >= first) & (labels < first + 5)
    return images[chosen], labels[chosen] - first


def step(model, optimizer, x, y):
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def accuracy(model, x, y):
    model.eval()
    with nnrt.no_grad():
        share = (model(x).argmax(1) == y).float().mean().item()
    model.train()
    return share


known = network()
optimizer = optim.Adam(known.parameters(), lr=2e-3)
x, y = classes(images, labels, 0)
for _ in range(args.epochs):
    for batch in batches(len(x), 32):
        step(known, optimizer, x[batch], y[batch])
print(f"0 to 4: accuracy {accuracy(known, *classes(test_images, test_labels, 0)):.1%} on new images")


def from_known():
    model = copy.deepcopy(known)
    model[-1] = nn.Linear(256, 5)
    return model


# the model to begin with, the layers that learn, the learning rate
WAYS = {
    "all layers": (from_known, slice(None), 2e-3),
    "the last layer": (from_known, slice(-1, None), 1e-2),
    "from nothing": (network, slice(None), 2e-3),
}

x, y = classes(images, labels, 5)
test = classes(test_images, test_labels, 5)
curves = {way: [0.0] * len(STEPS) for way in WAYS}
for _ in range(DRAWS):
    few = nnrt.cat([c[nnrt.randperm(len(c))[:20]] for c in ((y == k).nonzero()[:, 0] for k in range(5))])
    for way, (begin, learning, lr) in WAYS.items():
        model = begin()
        optimizer = optim.Adam(model[learning].parameters(), lr=lr)
        for done in range(STEPS[-1] + 1):
            if done in STEPS:
                curves[way][STEPS.index(done)] += 100 * accuracy(model, *test) / DRAWS
            batch = few[nnrt.randperm(100)[:32]]
            step(model, optimizer, x[batch], y[batch])

print("5 to 9, after steps" + "".join(f"{n:6}" for n in STEPS))
for way, curve in curves.items():
    print(f"{way:19}" + "".join(f"{value:6.1f}" for value in curve))
save_curves(args.out, STEPS, curves, "steps", "test accuracy, %", "learning 5 to 9, knowing 0 to 4 or not")
