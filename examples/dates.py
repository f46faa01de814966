"""Dates in words become dates in digits: "tuesday, 3 march 1998" -> "1998-03-03", character by character.

The translator reads with a bidirectional LSTM and writes with a second one that attends to what was read (Bahdanau et al.,
2014), or is a transformer (--model transformer). Days of the held-out dates never occur in training. The picture shows, for
some of them, how much each character read counts for each one written: how much less likely it is if that one is blotted out.
"""

import datetime
import random
import time

from common import arguments, save_rows

import nnrt
import nnrt.nn.functional as F
from nnrt import models, optim

args = arguments(__doc__, "dates", 10, model=("lstm", "transformer"))
PAD, START, END = 0, 1, 2
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789 ,./-"
CODES = {letter: i + 3 for i, letter in enumerate(LETTERS)}
NAMES = {i + 3: letter for i, letter in enumerate(LETTERS)}
MONTHS = [datetime.date(2000, m, 1).strftime("%B").lower() for m in range(1, 13)]
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
LENGTH, WRITTEN = 28, 11  # of the longest "wednesday, 30 september 1998", and of a date with its end

random.seed(args.seed)


def written(day):
    """A date in one of the ways in which people write it."""
    month, name = MONTHS[day.month - 1], DAYS[day.weekday()]
    return random.choice(
        [
            f"{day.day} {month} {day.year}",
            f"{month} {day.day}, {day.year}",
            f"{name}, {day.day} {month} {day.year}",
            f"{day.day} {month[:3]} {day.year % 100:02}",
            f"{day.day}.{day.month}.{day.year}",
            f"{day.month:02}/{day.day:02}/{day.year}",
            f"{name[:3]} {month[:3]} {day.day} {day.year}",
        ]
    )


def encoded(texts, length):
    rows = [[CODES[c] for c in text] for text in texts]
    return nnrt.tensor([row + [PAD] * (length - len(row)) for row in rows]), [len(row) for row in rows]


every_day = [datetime.date(1950, 1, 1) + datetime.timedelta(n) for n in range(36524)]  # to the end of 2049
random.shuffle(every_day)
held_out, known = every_day[:500], every_day[500:]


def batch(days):
    """(sources, their lengths, targets) of days."""
    sources, lengths = encoded([written(day) for day in days], LENGTH)
    digits, _ = encoded([day.isoformat() for day in days], 10)
    ends = nnrt.full((len(days), 1), END)
    return sources, lengths, nnrt.cat([digits, ends], 1)


size = len(LETTERS) + 3
if args.model == "lstm":
    model = models.Seq2Seq(size, size, dim=32, hidden=128)
else:
    model = models.Transformer(size, size, dim=64, heads=4, layers=2, hidden=128, dropout=0.0, positions=LENGTH, norm_first=True)


def scores(sources, lengths, targets):
    """Logits of the targets, each character predicted from those before it."""
    given = nnrt.cat([nnrt.full((len(sources), 1), START), targets[:, :-1]], 1)
    return model(sources, given, lengths) if args.model == "lstm" else model(sources, given)


def translated(sources, lengths):
    options = {"lengths": lengths} if args.model == "lstm" else {}
    made = model.generate(sources, START, END, WRITTEN, **options)
    return ["".join(NAMES.get(c, "") for c in row) for row in made.tolist()]


print(f"{args.model}: {sum(p.numel() for p in model.parameters())} parameters")
optimizer = optim.Adam(model.parameters(), lr=3e-3 if args.model == "lstm" else 2e-3)
BATCHES, SIZE = 40, 64
schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * BATCHES)
tests = batch(held_out)
start = time.perf_counter()
for epoch in range(args.epochs):
    model.train()
    total = 0.0
    for _ in range(BATCHES):
        sources, lengths, targets = batch(random.choices(known, k=SIZE))
        optimizer.zero_grad()
        loss = F.cross_entropy(scores(sources, lengths, targets).flatten(0, 1), targets.flatten())
        loss.backward()
        nnrt.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        total += loss.item() / BATCHES
    model.eval()
    right = sum(a == day.isoformat() for a, day in zip(translated(*tests[:2]), held_out))
    seconds = time.perf_counter() - start
    print(f"epoch {epoch + 1:2}: loss {total:.4f}, {right / 5:.1f} % of the held-out dates right, {seconds:.0f} s")


def influence(text, day):
    """[1, written, read] in [0, 1]: by how much each character written becomes less likely without each one read."""
    source, (length,) = encoded([text], LENGTH)
    copies = source.repeat(length + 1, 1)
    for i in range(length):
        copies[i, i] = CODES[" "] if text[i] != " " else CODES["-"]
    targets = batch([day])[2].repeat(length + 1, 1)
    with nnrt.no_grad():
        sure = F.softmax(scores(copies, [length] * (length + 1), targets), -1).gather(2, targets.unsqueeze(2))
    lost = (sure[length] - sure[:length]).clamp(0, 1)[:, :10, 0]
    shown = nnrt.zeros(10, LENGTH)
    shown[:, :length] = lost.t()
    return shown.repeat_interleave(4, 0).repeat_interleave(4, 1).unsqueeze(0)


rows, captions = {}, {}
for day in held_out[:5]:
    text = written(day)
    source, lengths = encoded([text], LENGTH)
    made = translated(source, lengths)[0]
    print(f"{text:>30} -> {made:10}{'' if made == day.isoformat() else '  (wrong)'}")
    rows[text] = influence(text, day).unsqueeze(0)
    captions[text] = [f"{text} -> {made}"]
save_rows(args.out, rows, "each character written (down),\nowed to those read (across)", captions, height=1.2, labels=False)
