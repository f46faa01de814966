"""Whole programs, written once for torch's names and run with both libraries: what they print along the way agrees."""

import math

import numpy as np
import pytest

import nnrt


def fill(torch, module, rng, scale=0.3):
    """The same random parameters in both libraries."""
    with torch.no_grad():
        for _, p in sorted(module.named_parameters()):
            p.copy_(torch.from_numpy((rng.standard_normal(tuple(p.shape)) * scale).astype(np.float32)))
    return module


def floats(torch, rng, *shape):
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def language_model(torch, rng):
    """Causal attention, tied weights, two groups of parameters, accumulated and clipped gradients, a warm-up, greedy text."""
    nn, F = torch.nn, torch.nn.functional

    class Layer(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width)
            self.wide = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))

        def forward(self, x):
            n, t, c = x.size()
            parts = [p.view(n, t, self.heads, -1).transpose(1, 2) for p in self.qkv(self.before(x)).chunk(3, dim=-1)]
            y = F.scaled_dot_product_attention(*parts, is_causal=True).transpose(1, 2).reshape(n, t, c)
            x = x + self.out(y)
            return x + self.wide(self.between(x))

    class Model(nn.Module):
        def __init__(self, symbols, width, length):
            super().__init__()
            self.tokens, self.places = nn.Embedding(symbols, width), nn.Embedding(length, width)
            self.layers = nn.ModuleList(Layer(width, 2) for _ in range(2))
            self.head = nn.Linear(width, symbols, bias=False)
            self.head.weight = self.tokens.weight
            self.register_buffer("steps", torch.arange(length), persistent=False)

        def forward(self, ids):
            x = self.tokens(ids) + self.places(self.steps[: ids.size(1)])
            for layer in self.layers:
                x = layer(x)
            return self.head(x)

    model = fill(torch, Model(13, 8, 10), rng)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0, "lr": 2e-2}]
    optimiser = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95))
    warm = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda t: min(1.0, (t + 1) / 3))
    for _ in range(5):
        loss = 0.0
        for _ in range(2):
            ids = torch.from_numpy(rng.integers(0, 13, (3, 10)))
            part = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0) / 2
            part.backward()
            loss += part.item()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimiser.step()
        warm.step()
        optimiser.zero_grad(set_to_none=True)
        yield [loss, norm.item(), *warm.get_last_lr()]
    model.eval()
    ids = torch.tensor([[3]])
    with torch.no_grad():
        for _ in range(8):
            logits = model(ids)[:, -1]
            least = logits.topk(4).values[:, [-1]]
            probabilities = logits.masked_fill(logits < least, -math.inf).softmax(-1)
            ids = torch.cat((ids, probabilities.argmax(-1, keepdim=True)), axis=1)
    yield ids[0].tolist()
    yield [sum(p.numel() for p in model.parameters()), len(model.state_dict())]


def generator(torch, rng):
    """An autoencoder that samples, and a critic of its pictures: transposed convolutions, batch norm, two optimisers."""
    nn, F = torch.nn, torch.nn.functional
    encoder = nn.Sequential(nn.Conv2d(1, 4, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True), nn.Flatten(), nn.LazyLinear(6))
    encoder(torch.zeros(1, 1, 8, 8))
    decoder = nn.Sequential(nn.Linear(3, 64), nn.ReLU(True), nn.Unflatten(1, (4, 4, 4)), nn.BatchNorm2d(4))
    decoder.extend([nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Sigmoid()])
    critic = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    critic.append(nn.Linear(4, 1))
    for net in (encoder, decoder, critic):
        fill(torch, net, rng)
    makers = [*encoder.parameters(), *decoder.parameters()]
    first, second = torch.optim.Adam(makers, lr=1e-2), torch.optim.RMSprop(critic.parameters(), lr=1e-3)
    images = floats(torch, rng, 5, 1, 8, 8).sigmoid()
    for _ in range(4):
        mean, spread = encoder(images).split(3, dim=1)
        made = decoder(mean + floats(torch, rng, 5, 3) * torch.exp(0.5 * spread))
        divergence = -0.5 * torch.sum(1 + spread - mean.pow(2) - spread.exp(), axis=1)
        cheat = F.binary_cross_entropy_with_logits(critic(made), torch.ones(5, 1))
        loss = F.binary_cross_entropy(made, images, reduction="sum") / len(images) + divergence.mean() + cheat
        first.zero_grad()
        loss.backward()
        first.step()
        second.zero_grad()
        wrong = torch.cat([critic(images) - 1, critic(made.detach())]).square().mean()
        wrong.backward()
        second.step()
        with torch.no_grad():
            for p in critic.parameters():
                p.clamp_(-0.2, 0.2)
        yield [loss.item(), wrong.item(), critic[1].running_var.sum().item()]


def translator(torch, rng):
    """Packed sequences in, attention over them, words out one by one, with a mask and a padding index."""
    nn, F = torch.nn, torch.nn.functional

    class Translator(nn.Module):
        def __init__(self, symbols, width):
            super().__init__()
            self.words = nn.Embedding(symbols, width, padding_idx=0)
            self.reader = nn.GRU(width, width, bidirectional=True, batch_first=True)
            self.join, self.writer = nn.Linear(2 * width, width), nn.GRUCell(3 * width, width)
            self.score, self.out = nn.Bilinear(width, 2 * width, 1), nn.Linear(width, symbols)

        def forward(self, source, lengths, target):
            packed = nn.utils.rnn.pack_padded_sequence(self.words(source), lengths, batch_first=True, enforce_sorted=False)
            states, last = self.reader(packed)
            states, _ = nn.utils.rnn.pad_packed_sequence(states, batch_first=True)
            h = torch.tanh(self.join(torch.cat(list(last), -1)))
            found = torch.zeros(*target.shape, self.out.out_features)
            for t in range(target.size(1)):
                scores = self.score(h.unsqueeze(1).expand(-1, states.size(1), -1).contiguous(), states).squeeze(-1)
                weights = scores.masked_fill(source == 0, -1e9).softmax(1)
                h = self.writer(torch.cat([self.words(target[:, t]), (weights.unsqueeze(1) @ states).squeeze(1)], 1), h)
                found[:, t] = self.out(h)
            return found

    sentences = [torch.from_numpy(rng.integers(1, 11, n)) for n in (4, 7, 2)]
    source = nn.utils.rnn.pad_sequence(sentences, batch_first=True)
    target = torch.from_numpy(rng.integers(1, 11, (3, 5)))
    model = fill(torch, Translator(11, 6), rng)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9, nesterov=True)
    plan = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.5, total_steps=6)
    for _ in range(5):
        optimiser.zero_grad()
        logits = model(source, torch.tensor([len(s) for s in sentences]), target[:, :-1])
        loss = F.cross_entropy(logits.transpose(1, 2), target[:, 1:], label_smoothing=0.1)
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.1)
        optimiser.step()
        plan.step()
        right = (logits.argmax(-1) == target[:, 1:]).float().mean(axis=0, keepdims=True)
        yield [loss.item(), optimiser.param_groups[0]["momentum"], *right[0].tolist()]


@pytest.mark.parametrize("program", [language_model, generator, translator])
def test_programs_agree_with_torch(program, torch):
    for step, (got, want) in enumerate(zip(*(program(t, np.random.default_rng(5)) for t in (nnrt, torch)), strict=True)):
        np.testing.assert_allclose(got, want, rtol=2e-3, atol=1e-5, err_msg=f"step {step}")
