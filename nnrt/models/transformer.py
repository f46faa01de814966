"""The transformer for translation. Vaswani et al., "Attention is all you need", 2017.

    source [N, S] -> embedding √dim + sinusoids -> encoder;  target [N, T] -> the same -> decoder -> logits [N, T, vocab]
"""

import math

from .. import arange, cat, full, nn
from ._layers import check_count, check_ids, evaluating


class Transformer(nn.Module):
    """Logits [N, T, target_vocab] of the tokens that follow those of target [N, T], for sources [N, S].

    pad: the token that fills sources; attention leaves it out (None: there is none). Targets need no mask: what
    follows a token is not seen by it. norm_first: as nn.TransformerEncoderLayer's. ValueError for sequences longer than
    `positions`.
    """

    def __init__(
        self, source_vocab, target_vocab, dim=512, heads=8, layers=6, hidden=2048, dropout=0.1, positions=1024, pad=0,
        norm_first=False,
    ):  # fmt: skip
        super().__init__()
        self.pad = pad
        self.positions = positions
        self.scale = math.sqrt(dim)
        self.source = nn.Embedding(source_vocab, dim)
        self.target = nn.Embedding(target_vocab, dim)
        self.place = nn.SinusoidalPositions(dim, positions)
        self.dropout = nn.Dropout(dropout)
        self.transformer = nn.Transformer(
            dim, heads, layers, layers, hidden, dropout, batch_first=True, norm_first=norm_first
        )
        self.out = nn.Linear(dim, target_vocab)
        for embedding in (self.source, self.target):
            nn.init.normal_(embedding.weight, std=dim**-0.5)

    def forward(self, source, target):
        return self.out(self.decode(target, *self.encode(source)))

    def encode(self, source):
        """(memory [N, S, dim], where it is padding)."""
        padding = self._padding(source)
        memory = self.transformer.encoder(self._embedded(self.source, source), src_key_padding_mask=padding)
        return memory, padding

    def decode(self, target, memory, padding):
        """Hidden states [N, T, dim]."""
        mask = ~(arange(target.shape[1]) <= arange(target.shape[1]).unsqueeze(1))
        return self.transformer.decoder(
            self._embedded(self.target, target), memory, mask, memory_key_padding_mask=padding, tgt_is_causal=True
        )

    def generate(self, source, bos, eos, count):
        """The likeliest tokens, one after the other: [N, at most count], eos where a sequence has ended."""
        check_count("Transformer", count)
        with evaluating(self):
            memory, padding = self.encode(source)
            mask = None if padding is None else ~padding.unsqueeze(1).unsqueeze(1)
            new, made, (n, _, dim) = full((source.shape[0], 1), bos), [], memory.shape
            ended, decoder = new != new, self.transformer.decoder
            layers = [
                (layer, nn.KeyValueCache(n, self.transformer.nhead, count, dim, memory.dtype), layer.remember(memory))
                for layer in decoder.layers
            ]
            for start in range(count):
                x = self._embedded(self.target, new, start)
                for layer, cache, seen in layers:
                    x = layer.step(x, cache, seen, mask)
                new = self.out(decoder.norm(x)).argmax(-1).masked_fill(ended, eos)
                made.append(new)
                ended = new == eos
                if bool(ended.all()):
                    break
        return cat(made, 1) if made else new[:, 1:]

    def _embedded(self, embedding, ids, *start):
        check_ids("Transformer", ids, self.positions, *start)
        return self.dropout(self.place(embedding(ids) * self.scale, *start))

    def _padding(self, source):
        return None if self.pad is None else source == self.pad
