"""CharRNN: the state carries on, generation is what forward says, and every cell learns."""

import pytest

import nnrt
from nnrt import models, optim
from nnrt.models.char_rnn import CELLS, detached
from nnrt.nn import functional as F


def first(state):
    return state[0] if isinstance(state, tuple) else state


@pytest.mark.parametrize("dim", [0, 5])
@pytest.mark.parametrize("cell", CELLS)
def test_pieces_with_their_state_are_the_whole(cell, dim):
    model, ids = models.CharRNN(11, 8, 2, cell, dim), nnrt.randint(0, 11, (3, 9))
    whole, last = model(ids)
    assert whole.shape == (3, 9, 11)
    head, state = model(ids[:, :4])
    tail, state = model(ids[:, 4:], detached(state))
    assert nnrt.allclose(nnrt.cat([head, tail], 1), whole, atol=1e-5)
    assert nnrt.allclose(first(state), first(last), atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_generation(cell):
    model = models.CharRNN(11, 8, 2, cell, dropout=0.5)
    ids = nnrt.randint(0, 11, (2, 3))
    made = model.generate(ids, 5, temperature=0)
    assert made.shape == (2, 8) and nnrt.equal(made[:, :3], ids) and model.training
    assert nnrt.equal(model.generate(ids, 5, temperature=0), made)  # without dropout
    model.eval()
    with nnrt.no_grad():
        for t in range(3, 8):
            assert nnrt.equal(model(made[:, :t])[0][:, -1].argmax(-1), made[:, t])
    assert nnrt.equal(model.generate(ids, 0), ids)
    a, b = (model.generate(ids, 6, 1.0, 4, 0.9, nnrt.Generator().manual_seed(3)) for _ in range(2))
    assert nnrt.equal(a, b)


@pytest.mark.parametrize("cell", CELLS)
def test_it_learns_a_cycle(cell):
    nnrt.manual_seed(0)
    model = models.CharRNN(5, 24, 1, cell, 8)
    ids = (nnrt.arange(4 * 21).reshape(4, 21)) % 5
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(ids[:, :-1])[0].reshape(-1, 5), ids[:, 1:].reshape(-1))
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    assert model.generate(ids[:1, :4], 6, 0)[0].tolist() == [i % 5 for i in range(10)]


def test_bad_input():
    with pytest.raises(ValueError, match="cell must be one of lstm, gru, rnn, qrnn, got 'sru'"):
        models.CharRNN(5, cell="sru")
    with pytest.raises(ValueError, match=r"T at least 1, got shape \(2, 0\)"):
        models.CharRNN(5, 8).generate(nnrt.zeros(2, 0, dtype=nnrt.int64), 3)
    with pytest.raises(ValueError, match="CharRNN.generate: count must be at least 0, got -1"):
        models.CharRNN(5, 8).generate(nnrt.zeros(2, 1, dtype=nnrt.int64), -1)
