"""Sequences from sequences by recurrence and attention. Sutskever et al., 2014; Bahdanau et al., 2014.

    source [N, S] -> embedding -> bidirectional LSTM -> memory [N, S, 2 hidden]
    token t-1, what was read at t-1 -> LSTM cell -> query; read its attention to the memory -> logits of token t

Tagger: a label for each token, by a bidirectional LSTM. Huang et al., "Bidirectional LSTM-CRF models for sequence
tagging", 2015, without the CRF.
"""

from .. import cat, full, nn, stack, tanh, zeros
from ._layers import check_count, evaluating


class Seq2Seq(nn.Module):
    """Logits [N, T, target_vocab] of the tokens that follow those of target [N, T], for sources [N, S].

    lengths: of the sources, a list or [N] (None: all are S long). hidden: of the decoder; each direction of the encoder
    has half of it, so that it must be even (ValueError). dim: of both embeddings.
    """

    def __init__(self, source_vocab, target_vocab, dim=64, hidden=128, dropout=0.0):
        super().__init__()
        if hidden % 2:
            raise ValueError(f"Seq2Seq: hidden must be even, got {hidden}")
        self.source = nn.Embedding(source_vocab, dim)
        self.target = nn.Embedding(target_vocab, dim)
        self.encoder = nn.LSTM(dim, hidden // 2, batch_first=True, bidirectional=True)
        self.start = nn.Linear(hidden, hidden)
        self.cell = nn.LSTMCell(dim + hidden, hidden)
        self.attention = nn.AdditiveAttention(hidden, hidden, hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * hidden, target_vocab)

    def forward(self, source, target, lengths=None):
        if source.shape[0] != target.shape[0]:
            raise ValueError(f"Seq2Seq: {source.shape[0]} sources came with {target.shape[0]} targets")
        if target.ndim != 2 or not target.shape[1]:
            raise ValueError(f"Seq2Seq: target must be [N, T], T > 0, got shape {tuple(target.shape)}")
        state = self.encode(source, lengths)
        embedded = self.dropout(self.target(target))
        outputs = []
        for t in range(target.shape[1]):
            output, state = self.step(embedded[:, t], state)
            outputs.append(output)
        return self.out(self.dropout(stack(outputs, 1)))

    def encode(self, source, lengths=None):
        """The decoder's state at the start, as `step` takes it."""
        memory, (h, _) = self.encoder(self.dropout(self.source(source)), lengths=lengths)
        h = tanh(self.start(h.transpose(0, 1).flatten(1)))
        padding = None if lengths is None else padding_of(lengths, source.shape[1])
        return h, zeros(h.shape, dtype=h.dtype), zeros(h.shape, dtype=h.dtype), memory, self.attention.project(memory), padding

    def step(self, x, state):
        """(what the next token is predicted from [N, 2 hidden], the state behind it) for an embedded token x [N, dim]."""
        h, c, read, memory, projected, padding = state
        h, c = self.cell(cat([x, read], 1), (h, c))
        read, _ = self.attention(h, memory, key_padding_mask=padding, projected=projected)
        return cat([h, read], 1), (h, c, read, memory, projected, padding)

    def generate(self, source, bos, eos, count, lengths=None):
        """The likeliest tokens, one after the other: [N, at most count], eos where a sequence has ended."""
        check_count("Seq2Seq", count)
        with evaluating(self):
            state = self.encode(source, lengths)
            new = full((source.shape[0],), bos)
            made, ended = [], new != new
            for _ in range(count):
                output, state = self.step(self.target(new), state)
                new = self.out(output).argmax(-1).masked_fill(ended, eos)
                made.append(new)
                ended = new == eos
                if bool(ended.all()):
                    break
        return stack(made, 1) if made else full((source.shape[0], 0), eos)


class Tagger(nn.Module):
    """Scores [N, T, tags] of the tags of ids [N, T]; lengths as Seq2Seq's. Scores behind a sequence's end mean nothing.

    dim: size of the embedding; hidden: units of each direction of each of the layers.
    """

    def __init__(self, vocab, tags, dim=64, hidden=64, layers=1, dropout=0.0):
        super().__init__()
        self.embedding = nn.Embedding(vocab, dim)
        self.lstm = nn.LSTM(
            dim, hidden, layers, batch_first=True, bidirectional=True, dropout=dropout if layers > 1 else 0.0
        )
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * hidden, tags)

    def forward(self, ids, lengths=None):
        y, _ = self.lstm(self.dropout(self.embedding(ids)), lengths=lengths)
        return self.out(self.dropout(y))


def padding_of(lengths, size):
    """[N, size], True from each length on."""
    from .. import arange, as_tensor

    return arange(size) >= as_tensor(lengths).reshape(-1, 1)
