"""Recurrent language models: the next character (or any token) from those before it.

    ids [N, T] -> embedding, or one-hot -> LSTM, GRU, RNN or QRNN -> linear -> logits [N, T, vocab]

Mikolov et al., "Recurrent neural network based language model", 2010; Graves, "Generating sequences with recurrent neural
networks", 2013; with QRNN, Bradbury et al., 2016.
"""

from .. import cat, nn, no_grad
from ..nn import functional as F
from ._layers import check_count, evaluating, read

CELLS = ("lstm", "gru", "rnn", "qrnn")


class CharRNN(nn.Module):
    """(logits [N, T, vocab], state) for ids [N, T] and the state behind the ids before them (None: there are none).

    cell: lstm, gru, rnn or qrnn; dim: size of the embedding, 0 for one-hot vectors. dropout: between the layers, and of what
    leaves them. The state is that of the recurrent layer; detach it before a backward pass goes through it again. ValueError for
    another cell.
    """

    def __init__(self, vocab, hidden=256, layers=2, cell="lstm", dim=64, dropout=0.0):
        super().__init__()
        if cell not in CELLS:
            raise ValueError(f"CharRNN: cell must be one of {', '.join(CELLS)}, got {cell!r}")
        self.vocab = vocab
        self.embedding = nn.Embedding(vocab, dim) if dim else None
        made = getattr(nn, cell.upper())
        self.rnn = made(dim or vocab, hidden, layers, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, vocab)

    def forward(self, ids, state=None):
        if ids.ndim != 2:
            raise ValueError(f"CharRNN: ids must be [N, T], got shape {tuple(ids.shape)}")
        ids = ids.transpose(0, 1)  # recurrent layers go by time first
        if self.embedding is None:
            y, state = self.rnn(F.one_hot(ids, self.vocab).to(self.out.weight.dtype), state)
        else:
            y, state = read(ids, self.embedding, self.rnn, state)
        return self.out(self.dropout(y)).transpose(0, 1), state

    def generate(self, ids, count, temperature=1.0, top_k=None, top_p=None, generator=None, state=None):
        """ids [N, T], T at least 1, with `count` sampled ids more. state: what came before ids.

        temperature 0 takes the likeliest, top_k and top_p leave out what is unlikely; see ops.sampling.
        """
        check_count("CharRNN", count)
        if ids.ndim != 2 or not ids.shape[1]:
            raise ValueError(f"CharRNN.generate: wants ids [N, T] with T at least 1, got shape {tuple(ids.shape)}")
        made, new = [ids], ids
        with evaluating(self):
            for _ in range(count):
                new, state = self.step(new, state, temperature, top_k, top_p, generator)
                made.append(new)
        return cat(made, 1)

    def step(self, ids, state, temperature=1.0, top_k=None, top_p=None, generator=None):
        """(the next id of each sequence, sampled, [N, 1], the state behind ids)."""
        from ..ops.sampling import sample

        with no_grad():
            logits, state = self.forward(ids, state)
            return sample(logits[:, -1], temperature, top_k, top_p, generator).unsqueeze(1), state


def detached(state):
    """A state (None, a Tensor, or tuples of them) without its tape."""
    if isinstance(state, tuple):
        return tuple([detached(s) for s in state])
    return None if state is None else state.detach()
