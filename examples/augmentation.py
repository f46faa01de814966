"""Augmentation: from 5 examples of each digit, more is learned when every epoch sees them a little changed.

Crops (a border of one pixel, then an 8 x 8 window at a random place, for half of the images) keep the digit what it
is and help. Flips, which help with photographs, make digits that do not exist. Accuracy on all test images, means
over draws of the examples.
"""

from common import arguments, save_rows

import nnrt
import nnrt.nn.functional as F
from nnrt import optim
from nnrt.data import DataLoader, TensorDataset, load_digits, transforms
from nnrt.models import ResNetCIFAR
from nnrt.train import Accuracy, Trainer

EXAMPLES, DRAWS = 5, 3

args = arguments(__doc__, "augmentation", 100)
images, labels = load_digits("train")
test = DataLoader(TensorDataset(*load_digits("test")), batch_size=360)


crop = transforms.RandomCrop(8, padding=1)


def crops(x):
    """Half of the images moved by up to a pixel in both directions, what comes in is black."""
    return nnrt.where(nnrt.rand(len(x), 1, 1, 1) < 0.5, crop(x), x)


def accuracy(x, y, augment):
    nnrt.manual_seed(args.seed)
    model = ResNetCIFAR(depth=8, in_channels=1)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    loader = DataLoader(TensorDataset(x, y), batch_size=20, shuffle=True)
    trainer = Trainer(model, optimizer, F.cross_entropy, [Accuracy()], augment=augment, progress="none")
    trainer.fit(loader, epochs=args.epochs)
    return trainer.evaluate(test)["accuracy"]


draws = [
    nnrt.cat([c[nnrt.randperm(len(c))[:EXAMPLES]] for c in ((labels == k).nonzero()[:, 0] for k in range(10))])
    for _ in range(DRAWS)
]
both = transforms.Compose([crops, transforms.RandomHorizontalFlip()])
rows, kinds = {}, {"as they are": None, "crops": crops, "crops and flips": both}
for name, augment in kinds.items():
    shares = [accuracy(images[few], labels[few], augment) for few in draws]
    mean = sum(shares) / DRAWS
    print(f"{name:16} {mean:.1%}  ({', '.join(f'{share:.1%}' for share in shares)})")
    shown = images[draws[0][::EXAMPLES]]
    rows[f"{name}: {mean:.1%}"] = shown if augment is None else augment(shown)
save_rows(args.out, rows, f"test accuracy from {EXAMPLES} examples of each digit")
