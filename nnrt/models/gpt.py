"""Decoders that predict the next token: GPT-2 and relatives.

    ids [N, T] -> embedding + positions -> layers x (attention to what came before, feed-forward) -> norm -> logits [N, T, vocab]

GPT: Radford et al., "Language models are unsupervised multitask learners", 2019; norms come first, the output shares the
embedding's weight; 124,439,808 parameters as GPT-2 small. MoEGPT: experts in place of every other feed-forward part,
Fedus et al., "Switch transformers", 2021. Primer: squared ReLU, and convolutions in the attention, So et al., 2021.
"""

import math

from .. import cat, nn
from ..nn import functional as F
from ._layers import check_count, check_ids, evaluating, plain


class GPT(nn.Module):
    """Logits [N, T, vocab] of the next token for ids [N, T], T at most `positions`.

    hidden: size of the feed-forward part, by default 4 dim. tie: the output's weight is the embedding's. Names are those
    of GPT-2 (transformer.wte, .wpe, .h.i.attn.c_attn, ..., lm_head), matrices lie as nn.Linear's. ValueError for longer
    sequences and for a dim that is no multiple of heads, IndexError for ids out of range.
    """

    def __init__(
        self, vocab, layers=12, heads=12, dim=768, positions=1024, hidden=None, dropout=0.0, bias=True, tie=True
    ):
        super().__init__()
        if dim % heads:
            raise ValueError(f"{type(self).__name__}: dim must be a multiple of heads, got {dim} and {heads}")
        self.vocab = vocab
        self.positions = positions
        hidden = 4 * dim if hidden is None else hidden
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocab, dim),
                "wpe": nn.Embedding(positions, dim),
                "drop": nn.Dropout(dropout),
                "h": nn.ModuleList(self.block(i, heads, dim, hidden, dropout, bias) for i in range(layers)),
                "ln_f": nn.LayerNorm(dim, bias=bias),
            }
        )
        self.lm_head = nn.Linear(dim, vocab, bias=False)
        if tie:
            self.lm_head.weight = self.transformer.wte.weight
        draw_weights(self, layers)

    def block(self, i, heads, dim, hidden, dropout, bias):
        """The layer i."""
        return Block(dim, Attention(dim, heads, dropout, bias), FeedForward(dim, hidden, dropout, bias, nn.GELU()), bias)

    def forward(self, ids, caches=None):
        """caches: an nn.KeyValueCache for each layer, which hold the tokens before these and take these in."""
        t, start = self.transformer, caches[0].length if caches else 0
        check_ids(type(self).__name__, ids, self.positions, start)
        x = t.drop(t.wte(ids) + t.wpe.weight[start : start + ids.shape[1]])
        blocks = list(t.h)
        norms = [block.ln_1 for block in blocks] + [t.ln_f]
        y = norms[0](x)
        for i, (block, norm) in enumerate(zip(blocks, norms[1:])):
            y, x = block(x, y, norm, cache=caches[i]) if caches else block(x, y, norm)
        return self.lm_head(y)

    def generate(self, ids, count, temperature=1.0, top_k=None, top_p=None, generator=None, stop=None):
        """ids [N, T] with `count` sampled tokens more, or fewer where all sequences have met the token `stop`.

        temperature 0 takes the likeliest, top_k and top_p leave out what is unlikely; see ops.sampling. What follows
        `stop` in a sequence is `stop` again.
        """
        check_count(type(self).__name__, count)
        check_ids(type(self).__name__, ids, self.positions, count)
        with evaluating(self):
            caches = self.caches(ids.shape[0], ids.shape[1] + count)
            made, new, ended, decoder = [ids], ids, None, None
            for i in range(count):
                if i == 1 and caches:
                    decoder = self._decoder(caches)
                if decoder is None:
                    logits = self.forward(new if caches else cat(made, 1), caches)[:, -1]
                else:
                    logits = decoder(new.flatten())
                new = draw(logits, temperature, top_k, top_p, generator).unsqueeze(1)
                if stop is not None:
                    new = new if ended is None else new.masked_fill(ended, stop)
                    ended = new == stop
                made.append(new)
                if stop is not None and bool(ended.all()):
                    break
        return cat(made, 1)

    def _decoder(self, caches):
        """What gives logits [N, vocab] for one token [N] more; None where a module is not the one that its place is for."""
        kinds = Block, Attention, FeedForward, nn.Linear, nn.LayerNorm, nn.Embedding, nn.Dropout, nn.GELU
        kinds += nn.ModuleDict, nn.ModuleList
        parts = [m for m in self.modules() if m is not self]
        if not all([any([plain(kind, m) for kind in kinds]) and "forward" not in vars(m) for m in parts]):
            return None
        t = self.transformer
        if type(self).forward is not GPT.forward or t.wte.max_norm is not None or t.wte.weight.array.dtype.char not in "fd":
            return None
        from ..ops.decoder import Decoder

        def affine(linear):
            return linear.weight, linear.bias

        def scaled(norm):
            return norm.weight, norm.bias, norm.eps

        blocks, layers = list(t.h), []
        for block, after in zip(blocks, [*[block.ln_1 for block in blocks[1:]], t.ln_f]):
            attn, mlp = block.attn, block.mlp
            up = affine(mlp.c_fc), "gelu" if mlp.act.approximate == "none" else "gelu_tanh", affine(mlp.c_proj)
            layers.append((affine(attn.c_attn), affine(attn.c_proj), scaled(block.ln_2), *up, scaled(after)))
        first, rooms = scaled(blocks[0].ln_1), [cache.seen for cache in caches]
        return Decoder(t.wte.weight, t.wpe.weight, first, layers, affine(self.lm_head), rooms, caches[0].length)

    def caches(self, n, length):
        """An nn.KeyValueCache for each layer, for n sequences of at most this length; None: there is no such thing here."""
        weight = self.transformer.wte.weight
        return [nn.KeyValueCache(n, b.attn.heads, length, weight.shape[1], weight.dtype) for b in self.transformer.h]


def draw_weights(model, layers):
    """GPT-2's initial values: N(0, 0.02²), less for what adds to the residual stream; biases are 0."""
    for name, p in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(p)
        elif p.ndim > 1:
            nn.init.normal_(p, std=0.02 / (math.sqrt(2 * layers) if name.endswith("c_proj.weight") else 1))


class Block(nn.Module):
    """One layer: y, x -> the sum x + attn(y) + mlp(norm of that), first normalised for what comes next, then as it is.

    What else is given goes to attn.
    """

    def __init__(self, dim, attn, mlp, bias):
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim, bias=bias)
        self.attn = attn
        self.ln_2 = nn.LayerNorm(dim, bias=bias)
        self.mlp = mlp

    def forward(self, x, y, norm, **given):
        if "cache" in given and not self.training and type(self.mlp) is FeedForward:
            a, mlp = self.attn, self.mlp
            return given["cache"].layer(x, y, a.c_attn, a.c_proj, self.ln_2, mlp.c_fc, mlp.act, mlp.c_proj, norm)
        y, x = _added(x, self.attn(y, **given), self.ln_2)
        return _added(x, self.mlp(y), norm)


def _added(x, y, norm):
    return F.add_layer_norm(x, y, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


class Attention(nn.Module):
    """Attention of each token, [N, T, dim], to itself and those before it, or to those that a pattern names."""

    def __init__(self, dim, heads, dropout, bias, pattern=None):
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.how = {"is_causal": True} if pattern is None else {"pattern": pattern}
        self.c_attn = nn.Linear(dim, 3 * dim, bias=bias)
        self.c_proj = nn.Linear(dim, dim, bias=bias)
        self.resid_dropout = nn.Dropout(dropout)

    def forward(self, x, cache=None, mask=None):
        if mask is None and cache is None and "pattern" not in self.how and plain(nn.Linear, self.c_attn, self.c_proj):
            p, read, write = self.dropout if self.training else 0.0, self.c_attn, self.c_proj
            y = F.projected_attention(
                x, None, self.heads, read.weight, read.bias, write.weight, write.bias, dropout_p=p, is_causal=True
            )
            return self.resid_dropout(y)
        qkv = self.c_attn(x)
        if cache:
            return self.c_proj(cache.attend(qkv))
        n, length, dim = x.shape
        q, k, v = qkv.reshape(n, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v, mask, self.dropout if self.training else 0.0, **self.how)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(n, length, dim)))


class FeedForward(nn.Module):
    """Two linear layers with an activation between."""

    def __init__(self, dim, hidden, dropout, bias, activation):
        super().__init__()
        self.c_fc = nn.Linear(dim, hidden, bias=bias)
        self.act = activation
        self.c_proj = nn.Linear(hidden, dim, bias=bias)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        up, act, down = self.c_fc, self.act, self.c_proj
        if plain(nn.Linear, up, down) and plain(nn.GELU, act):
            kind = "gelu" if act.approximate == "none" else "gelu_tanh"
            return self.dropout(F.feed_forward(x, up.weight, up.bias, down.weight, down.bias, kind))
        return self.dropout(down(act(up(x))))


def draw(logits, temperature, top_k, top_p, generator):
    """Tokens [N] drawn from logits [N, vocab]."""
    if temperature == 0:
        return logits.argmax(-1)
    from ..ops.sampling import sample

    return sample(logits, temperature, top_k, top_p, generator)


class MoEGPT(GPT):
    """GPT with `experts` feed-forward networks in every second layer, of which a token sees k.

    balance_loss(), after a call, is to be added to what is trained: it keeps experts in use alike, as far as `balance`
    weighs it. Other arguments: GPT's.
    """

    def __init__(self, vocab, *args, experts=8, k=2, balance=1e-2, **kwargs):
        self.__dict__["_experts"] = (experts, k, balance)  # layers are made before Module knows attributes
        super().__init__(vocab, *args, **kwargs)

    def block(self, i, heads, dim, hidden, dropout, bias):
        if i % 2 == 0:
            return super().block(i, heads, dim, hidden, dropout, bias)
        experts, k, balance = self._experts
        mixture = nn.MoE(
            dim, experts, k, balance=balance, expert=lambda: FeedForward(dim, hidden, dropout, bias, nn.GELU())
        )
        return Block(dim, Attention(dim, heads, dropout, bias), mixture, bias)

    def balance_loss(self):
        """The sum of what the layers' experts add to the loss, a scalar."""
        return sum(m.loss for m in self.modules() if isinstance(m, nn.MoE))


class Primer(GPT):
    """GPT with squared ReLU and a convolution of width 3 over queries, keys and values. Arguments: GPT's."""

    def block(self, i, heads, dim, hidden, dropout, bias):
        attention = nn.PrimerAttention(dim, heads, dropout=dropout, bias=bias)
        return Block(dim, attention, FeedForward(dim, hidden, dropout, bias, nn.SquaredReLU()), bias)

    def caches(self, n, length):
        return None
