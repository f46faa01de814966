"""docs/op-module-factory.md: f(x) = s(W2 s(W2 s(W1 s(W1 x)))), and recipes built from Sequential."""

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F
from nnrt import nn


def factory(n, activation):
    return nn.Sequential(nn.Linear(n, n, bias=False), activation)


def by_hand(x, w1, w2):
    """f(x) and its gradients for s = tanh and df = 1, in numpy."""
    ys = [x]
    for w in (w1, w1, w2, w2):
        ys.append(np.tanh(w @ ys[-1]))
    dws = [np.zeros_like(w1), np.zeros_like(w2)]
    dy = np.ones_like(x)
    for k, w in ((3, w2), (2, w2), (1, w1), (0, w1)):
        dz = dy * (1 - ys[k + 1] ** 2)
        dws[0 if w is w1 else 1] += np.outer(dz, ys[k])
        dy = w.T @ dz
    return ys[-1], *dws, dy


def test_parameters_are_shared_over_uses_and_separate_over_calls_of_the_factory(rng):
    module1, module2 = factory(3, nn.Tanh()).double(), factory(3, nn.Tanh()).double()
    w1, w2 = module1[0].weight, module2[0].weight
    assert w1 is not w2 and not np.array_equal(w1.detach().numpy(), w2.detach().numpy())
    x = nnrt.tensor(rng.standard_normal(3), requires_grad=True)
    op1 = module1(x)
    op2 = module1(op1)
    op3 = module2(op2)
    op4 = module2(op3)
    op4.sum().backward()
    y, dw1, dw2, dx = by_hand(x.detach().numpy(), w1.detach().numpy(), w2.detach().numpy())
    np.testing.assert_allclose(op4.detach().numpy(), y, rtol=1e-12)
    np.testing.assert_allclose(w1.grad.numpy(), dw1, rtol=1e-12)
    np.testing.assert_allclose(w2.grad.numpy(), dw2, rtol=1e-12)
    np.testing.assert_allclose(x.grad.numpy(), dx, rtol=1e-12)

    f = nn.Sequential(module1, module1, module2, module2)
    assert len(list(f.parameters())) == 2 and len(f.state_dict()) == 4
    for g in (f, copy.deepcopy(f), pickle.loads(pickle.dumps(f))):
        assert g[0] is g[1] and g[2] is g[3] and g[0] is not g[2]
        g.zero_grad()
        g(x).sum().backward()
        np.testing.assert_allclose(g[0][0].weight.grad.numpy(), dw1, rtol=1e-12)
    assert nnrt.autograd.gradcheck(f, [x])


def test_a_shared_module_learns_as_one(rng):
    """A step on f moves W1 by the sum of both uses' gradients."""
    module = factory(2, nn.Tanh()).double()
    w = module[0].weight
    before = w.detach().numpy().copy()
    x = nnrt.tensor(rng.standard_normal((5, 2)))
    module(module(x)).sum().backward()
    with nnrt.no_grad():
        for p in nn.Sequential(module, module).parameters():
            p -= 0.1 * p.grad
    np.testing.assert_allclose(w.detach().numpy(), before - 0.1 * w.grad.numpy())


def test_the_page_runs():
    page = (Path(__file__).parents[2] / "docs" / "op-module-factory.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.S)
    assert len(blocks) >= 3
    names = {}
    for block in blocks:
        exec(block, names)
    assert names["module1"][0].weight.grad.shape == (3, 3)


def test_one_module_in_two_parents_and_as_its_own_input():
    shared = nn.Linear(2, 2)
    a, b = nn.Sequential(shared), nn.ModuleDict({"x": shared})
    both = nn.ModuleList([a, b])
    assert [n for n, _ in both.named_parameters()] == ["0.0.weight", "0.0.bias"]
    assert len(both.state_dict()) == 4
    both.double()
    assert b["x"].weight.dtype == nnrt.float64
    layer = nn.Linear(3, 3, bias=False)
    layer(layer.weight).sum().backward()  # the weight is also the input
    w = layer.weight.detach().double().requires_grad_()
    (w @ w.t()).sum().backward()
    np.testing.assert_allclose(layer.weight.grad.numpy(), w.grad.numpy(), rtol=1e-4, atol=1e-5)


# Recipes: models put together from Sequential learn a toy problem by plain gradient descent.


def train(model, loss, x, target, steps, rate):
    for _ in range(steps):
        value = loss(model(x), target)
        model.zero_grad()
        value.backward()
        with nnrt.no_grad():
            for p in model.parameters():
                p -= rate * p.grad
    return value.item()


@pytest.fixture(autouse=True)
def seeded():
    nnrt.manual_seed(0)


def blobs(rng, classes, n=30):
    angle = 2 * np.pi * np.arange(classes) / classes
    centres = 3 * np.stack([np.cos(angle), np.sin(angle)], 1)
    label = np.repeat(np.arange(classes), n)
    points = centres[label] + 0.7 * rng.standard_normal((classes * n, 2))
    return nnrt.tensor(points.astype(np.float32)), label


def test_perceptron(rng):
    """Rosenblatt's rule is gradient descent on max(0, -t y), with a step at the output."""
    x, label = blobs(rng, 2)
    sign = nnrt.tensor((2 * label - 1).astype(np.float32))
    body = nn.Linear(2, 1)
    train(body, lambda y, t: F.relu(-t * y.squeeze(1) + 0.1).mean(), x, sign, 100, 0.5)
    perceptron = nn.Sequential(body, nn.Step(), nn.Flatten(0))
    assert (perceptron(x).detach().numpy() == label).mean() > 0.97


def test_linear_regression(rng):
    x = rng.standard_normal((50, 3)).astype(np.float32)
    w, b = np.array([[1.0, -2.0, 0.5]], np.float32), 0.3
    model = nn.Linear(3, 1)
    left = train(model, nn.MSELoss(), nnrt.tensor(x), nnrt.tensor(x @ w.T + b), 300, 0.1)
    assert left < 1e-8
    np.testing.assert_allclose(model.weight.detach().numpy(), w, atol=1e-3)
    assert abs(model.bias.item() - b) < 1e-3


def test_logistic_regression(rng):
    x, label = blobs(rng, 2)
    target = nnrt.tensor(label[:, None].astype(np.float32))
    model = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    assert train(model, nn.BCELoss(), x, target, 200, 0.5) < 0.05
    assert ((model(x).detach().numpy()[:, 0] > 0.5) == label).mean() > 0.97


def test_softmax_classifier(rng):
    x, label = blobs(rng, 4)
    model = nn.Linear(2, 4)
    assert train(model, nn.CrossEntropyLoss(), x, nnrt.tensor(label), 300, 0.5) < 0.15
    probabilities = nn.Sequential(model, nn.Softmax(dim=1))(x).detach().numpy()
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert (probabilities.argmax(1) == label).mean() > 0.95


def test_multilayer_perceptron_learns_exclusive_or():
    x = nnrt.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    target = nnrt.tensor([0, 1, 1, 0])
    linear = nn.Linear(2, 2)
    assert train(linear, nn.CrossEntropyLoss(), x, target, 500, 0.5) > 0.69  # no line separates them
    mlp = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Residual(nn.Linear(8, 8)), nn.Linear(8, 2))
    assert train(mlp, nn.CrossEntropyLoss(), x, target, 500, 0.5) < 0.05
    assert mlp(x).detach().numpy().argmax(1).tolist() == [0, 1, 1, 0]


def test_embeddings_learn_to_order_words():
    words = nnrt.arange(6)
    model = nn.Sequential(nn.Embedding(6, 3), nn.Linear(3, 1), nn.Flatten(0))
    assert train(model, nn.MSELoss(), words, words.float(), 400, 0.05) < 0.01
