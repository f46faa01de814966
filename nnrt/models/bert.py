"""BERT. Devlin et al., "BERT: pre-training of deep bidirectional transformers for language understanding", 2018.

    ids [N, T] -> embedding + positions + segments -> norm -> layers x transformer encoder -> hidden [N, T, dim]

109,514,298 parameters (base, with the head that fills masks).
"""

from .. import arange, nn, zeros_like
from ..nn import functional as F
from ._layers import check_ids


class Masked(nn.Module):
    """A model whose predict(forward(ids)) are logits over `vocab` tokens, trained by hiding some."""

    def masked_loss(self, ids, mask_id, p=0.15, special=(), generator=None, **given):
        """The loss of filling in tokens that mask_tokens hid; `given` goes to forward."""
        inputs, targets = mask_tokens(ids, mask_id, self.vocab, p, special, generator)
        at = (targets >= 0).flatten().nonzero()[:, 0]
        hidden = self(inputs, **given).flatten(0, 1)[at]
        return F.cross_entropy(self.predict(hidden), targets.flatten()[at])


class BERT(Masked):
    """Hidden states [N, T, dim] of ids [N, T]; `predict` makes of them logits [N, T, vocab] of the tokens.

    hidden: size of the feed-forward parts, by default 4 dim; eps: of the norms.
    forward(ids, segments=None, padding_mask=None): segments [N, T], 0 by default; padding_mask [N, T], True at padding.
    ValueError for sequences longer than `positions`, IndexError for ids out of range.
    """

    def __init__(
        self, vocab, layers=12, heads=12, dim=768, positions=512, segments=2, hidden=None, dropout=0.1, eps=1e-12
    ):
        super().__init__()
        self.vocab = vocab
        self.positions = positions
        self.embeddings = nn.ModuleDict(
            {
                "word": nn.Embedding(vocab, dim),
                "position": nn.Embedding(positions, dim),
                "segment": nn.Embedding(segments, dim),
                "norm": nn.LayerNorm(dim, eps),
                "dropout": nn.Dropout(dropout),
            }
        )
        layer = nn.TransformerEncoderLayer(
            dim, heads, 4 * dim if hidden is None else hidden, dropout, F.gelu, eps, batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.ModuleDict({"dense": nn.Linear(dim, dim), "norm": nn.LayerNorm(dim, eps), "out": nn.Linear(dim, vocab)})
        self.head.out.weight = self.embeddings.word.weight
        for name, p in self.named_parameters():
            if p.ndim > 1:
                nn.init.normal_(p, std=0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, ids, segments=None, padding_mask=None):
        check_ids("BERT", ids, self.positions)
        e = self.embeddings
        x = e.word(ids) + e.position(arange(ids.shape[1])) + e.segment(zeros_like(ids) if segments is None else segments)
        return self.encoder(e.dropout(e.norm(x)), src_key_padding_mask=padding_mask)

    def predict(self, hidden):
        """Logits [..., vocab] of hidden states [..., dim]."""
        return self.head.out(self.head.norm(F.gelu(self.head.dense(hidden))))


def mask_tokens(ids, mask_id, vocab, p=0.15, special=(), generator=None):
    """(inputs, targets): of the ids, except those in `special`, a share p is to be guessed; other targets are -100.

    Of those, 8 in 10 become mask_id, 1 in 10 a random one of `vocab` tokens, 1 in 10 stays. At least one is taken wherever
    one can be. ids and both results: integers of one shape. Negative ids are never taken.
    """
    from .. import from_numpy, rand

    a = ids.numpy()
    free = a >= 0
    for token in special:
        free &= a != token
    draws = rand(3, *a.shape, generator=generator).numpy()
    chosen = free & (draws[0] < p)
    if not chosen.any() and free.any():
        chosen.flat[(free * (1 - draws[0])).argmax()] = True
    inputs = a.copy()
    inputs[chosen & (draws[1] < 0.8)] = mask_id
    swapped = chosen & (draws[1] >= 0.9)
    inputs[swapped] = (draws[2] * vocab).astype(a.dtype)[swapped]
    targets = a.copy()
    targets[~chosen] = -100
    return from_numpy(inputs), from_numpy(targets)
