"""feature_extractor: what inner layers return, and that nothing after them is computed."""

import copy
import pickle
import threading

import numpy as np
import pytest

import nnrt
from nnrt import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
        self.head = nn.Linear(3, 2)
        self.spare = nn.Linear(1, 1)
        self.calls = 0

    def forward(self, x):
        x = self.body(x)
        self.calls += 1
        try:
            return self.head(x)
        except Exception:
            return None


X = nnrt.tensor(np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32))


def test_output_of_a_layer():
    net = Net()
    want = net.body[1](net.body[0](X)).detach().numpy()
    for layer in ("body.1", net.body[1]):
        features = nnrt.feature_extractor(net, layer)
        np.testing.assert_array_equal(features(X).detach().numpy(), want)
    assert net.calls == 0  # what comes after was not run
    assert not net.body[1]._hooks or not net.body[1]._hooks.after


def test_several_layers():
    net = Net()
    found = nn.feature_extractor(net, ["head", net.body[0], "body"])(X)
    assert list(found) == ["head", "body.0", "body"]
    np.testing.assert_array_equal(found["head"].detach().numpy(), net(X).detach().numpy())
    np.testing.assert_array_equal(found["body.0"].detach().numpy(), net.body[0](X).detach().numpy())


def test_a_head_is_trained_on_a_frozen_body():
    net = Net()
    net.requires_grad_(False)
    model = nn.Sequential(nnrt.feature_extractor(net, "body"), nn.Linear(3, 2))
    model(X).sum().backward()
    assert net.body[0].weight.grad is None and model[1].weight.grad is not None
    net.requires_grad_(True)
    model(X).sum().backward()
    assert net.body[0].weight.grad is not None and net.head.weight.grad is None


def test_copies_and_threads():
    features = nnrt.feature_extractor(Net(), "body")
    want = features(X).detach().numpy()
    for other in (copy.deepcopy(features), pickle.loads(pickle.dumps(features))):
        np.testing.assert_array_equal(other(X).detach().numpy(), want)
    whole = features.module(X).detach().numpy()
    wrong = []

    def extract():
        for _ in range(200):
            if not np.array_equal(features(X).detach().numpy(), want):
                wrong.append("features")

    thread = threading.Thread(target=extract)
    thread.start()
    for _ in range(200):
        if not np.array_equal(features.module(X).detach().numpy(), whole):
            wrong.append("whole")
    thread.join()
    assert not wrong


def test_errors():
    net = Net()
    with pytest.raises(ValueError, match="feature_extractor: no layer 'tail' in the module, which has body, body.0"):
        nnrt.feature_extractor(net, "tail")
    with pytest.raises(ValueError, match="no layer Linear in the module"):
        nnrt.feature_extractor(net, nn.Linear(1, 1))
    with pytest.raises(ValueError, match="named once each"):
        nnrt.feature_extractor(net, ["head", net.head])
    with pytest.raises(RuntimeError, match="forward does not call spare"):
        nnrt.feature_extractor(net, "spare")(X)
    with pytest.raises(RuntimeError, match="linear"):
        nnrt.feature_extractor(net, "body")(X[:, :2])
    assert not net.body._hooks or not net.body._hooks.after
