"""Transformers for long sequences, whose attention computes only the pairs that a pattern names (nn.attention_patterns).

    Longformer         a window, and tokens that meet all: Beltagy, Peters, Cohan, "Longformer", 2020
    BigBird            blocks: a window, some that meet all, random ones: Zaheer et al., "Big Bird", 2020
    SparseTransformer  causal, in strides: Child et al., "Generating long sequences with sparse transformers", 2019

Norms come first, and what all have in common is GPT's layer.
"""

from .. import arange, nn
from ._layers import check_ids
from .bert import Masked
from .gpt import GPT, Attention, Block, FeedForward, draw_weights


class SparseEncoder(Masked):
    """Hidden states [N, T, dim] of ids [N, T]; `predict` makes of them logits [N, T, vocab] with the embedding's weight.

    pattern: of nn.attention_patterns. forward(ids, padding_mask=None): padding_mask [N, T], True at padding. ValueError
    for sequences longer than `positions`, IndexError for ids out of range.
    """

    def __init__(self, vocab, pattern, layers=12, heads=12, dim=768, positions=4096, hidden=None, dropout=0.0, bias=True):
        super().__init__()
        if dim % heads:
            raise ValueError(f"{type(self).__name__}: dim must be a multiple of heads, got {dim} and {heads}")
        self.vocab = vocab
        self.positions = positions
        self.word = nn.Embedding(vocab, dim)
        self.position = nn.Embedding(positions, dim)
        self.dropout = nn.Dropout(dropout)
        hidden = 4 * dim if hidden is None else hidden
        self.layers = nn.ModuleList(sparse_block(dim, heads, hidden, dropout, bias, pattern) for _ in range(layers))
        self.norm = nn.LayerNorm(dim, bias=bias)
        self.out = nn.Linear(dim, vocab)
        self.out.weight = self.word.weight
        draw_weights(self, layers)

    def forward(self, ids, padding_mask=None):
        check_ids(type(self).__name__, ids, self.positions)
        mask = None
        if padding_mask is not None:
            if padding_mask.shape != ids.shape:
                got, wanted = tuple(padding_mask.shape), tuple(ids.shape)
                raise ValueError(f"{type(self).__name__}: padding_mask has shape {got}, wanted {wanted} as ids")
            mask = ~padding_mask.unsqueeze(1).unsqueeze(1)
        x = self.dropout(self.word(ids) + self.position(arange(ids.shape[1])))
        norms = [layer.ln_1 for layer in self.layers] + [self.norm]
        y = norms[0](x)
        for layer, norm in zip(self.layers, norms[1:]):
            y, x = layer(x, y, norm, mask=mask)
        return y

    def predict(self, hidden):
        """Logits [..., vocab] of hidden states [..., dim]."""
        return self.out(hidden)


def sparse_block(dim, heads, hidden, dropout, bias, pattern):
    """A layer of GPT's with a pattern in its attention."""
    return Block(dim, Attention(dim, heads, dropout, bias, pattern), FeedForward(dim, hidden, dropout, bias, nn.GELU()), bias)


class Longformer(SparseEncoder):
    """A SparseEncoder in which a token meets window // 2 on either side; global_tokens (positions, or how many first ones)
    meet all.

    dilation: the distance between the tokens of a window. Other arguments: SparseEncoder's from `layers` on.
    """

    def __init__(self, vocab, *args, window=512, global_tokens=1, dilation=1, **kwargs):
        super().__init__(vocab, nn.attention_patterns.Longformer(window, global_tokens, dilation), *args, **kwargs)


class BigBird(SparseEncoder):
    """A SparseEncoder over blocks of `block` tokens: each meets `window` around it, the first global_blocks and
    random_blocks others, drawn from seed.

    Other arguments: SparseEncoder's from `layers` on.
    """

    def __init__(self, vocab, *args, block=64, window=3, global_blocks=1, random_blocks=3, seed=0, **kwargs):
        pattern = nn.attention_patterns.BigBird(block, window, global_blocks, random_blocks, seed)
        super().__init__(vocab, pattern, *args, **kwargs)


class SparseTransformer(GPT):
    """GPT in which a token meets the last `stride` and every stride-th before ("strided"), or those of its stretch of
    `stride` and the last `summary` of the stretches before ("fixed").

    Other arguments: GPT's. ValueError for another form.
    """

    def __init__(self, vocab, *args, form="strided", stride=64, summary=1, **kwargs):
        patterns = nn.attention_patterns
        if form not in ("strided", "fixed"):
            raise ValueError(f"SparseTransformer: form {form!r}; wanted 'strided' or 'fixed'")
        made = patterns.Strided(stride) if form == "strided" else patterns.Fixed(stride, summary)
        self.__dict__["_pattern"] = made  # layers are made before Module knows attributes
        super().__init__(vocab, *args, **kwargs)

    def block(self, i, heads, dim, hidden, dropout, bias):
        return sparse_block(dim, heads, hidden, dropout, bias, self._pattern)

    def caches(self, n, length):
        return None
