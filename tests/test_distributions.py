"""Distributions against torch's: densities, entropies, divergences, their gradients; draws by their moments."""

import numpy as np
import pytest

import nnrt
from nnrt import distributions

A = np.linspace(-1.2, 1.1, 12).reshape(3, 4)
B = np.array([0.3, -0.5, 0.8, 0.1])
C = np.sin(np.arange(24.0)).reshape(2, 3, 4)
CASES = {
    "normal": lambda D, a, b, c: [
        (p := D.Normal(a, b.exp())).log_prob(c), p.entropy(), p.cdf(c), p.icdf(c.sigmoid()), p.variance,
        D.Normal(a, 2).log_prob(c),
    ],
    "uniform": lambda D, a, b, c: [(p := D.Uniform(a, a + b.exp())).log_prob(a + 0.1), p.entropy(), p.cdf(a + 0.2), p.stddev],
    "bernoulli": lambda D, a, b, c: [
        (p := D.Bernoulli(logits=a)).log_prob((c > 0).double()), p.entropy(),
        D.Bernoulli(b.sigmoid()).log_prob((a > 0).double()), D.kl_divergence(p, D.Bernoulli(c[0].sigmoid())),
    ],
    "categorical": lambda D, a, b, c: [
        (p := D.Categorical(logits=a)).log_prob((c[:, :, 0] > 0).long()), p.entropy(), p.perplexity(),
        D.Categorical(a.abs()).log_prob((a > 0).long().T), D.kl_divergence(p, D.Categorical(c[1].abs())),
    ],
    "independent": lambda D, a, b, c: [
        (p := D.Independent(D.Normal(a, b.exp()), 1)).log_prob(c), p.entropy(),
        D.kl_divergence(p, D.Independent(D.Normal(c[0], c[1].exp()), 1)),
    ],
    "multivariate": lambda D, a, b, c: [
        (p := D.MultivariateNormal(a, c[0].T @ c[0] + c[1].T @ c[1] + b.exp().diag())).log_prob(c), p.entropy(),
        p.variance, D.MultivariateNormal(b, scale_tril=p.scale_tril).log_prob(a),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_densities_and_gradients_are_torchs(case, torch):
    import torch.distributions as theirs

    ends = []
    for library, D in ((nnrt, distributions), (torch, theirs)):
        leaves = [library.tensor(x, requires_grad=True) for x in (A, B, C)]
        values = CASES[case](D, *leaves)
        sum((v * v).sum() for v in values).backward()
        ends.append([v.detach().numpy() for v in values] + [x.grad.numpy() for x in leaves if x.grad is not None])
    assert len(ends[0]) == len(ends[1])
    for got, want in zip(*ends):
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-10)


def test_draws():
    nnrt.manual_seed(0)
    D, n = distributions, 20000
    loc, scale = nnrt.tensor([1.0, -2.0], requires_grad=True), nnrt.tensor([0.5, 2.0])
    x = D.Normal(loc, scale).rsample((n,))
    assert np.abs(x.detach().mean(0).numpy() - [1, -2]).max() < 0.05 and np.abs(x.detach().std(0).numpy() - [0.5, 2]).max() < 0.05
    x.sum().backward()
    assert loc.grad.tolist() == [n, n] and not D.Normal(loc, scale).sample().requires_grad
    drawn = D.Categorical(nnrt.tensor([[1.0, 3.0], [1.0, 1.0]])).sample((n, 1))
    assert drawn.shape == (n, 1, 2) and np.abs(drawn.double().mean((0, 1)).numpy() - [0.75, 0.5]).max() < 0.02
    assert abs(D.Bernoulli(0.3).sample((n,)).mean().item() - 0.3) < 0.02 and D.Categorical(nnrt.ones(3)).sample().shape == ()
    assert abs(D.Uniform(2.0, 4).sample((n,)).mean().item() - 3) < 0.02
    wanted = nnrt.tensor([[2.0, 0.5], [0.5, 1.0]])
    found = nnrt.cov(D.MultivariateNormal(nnrt.zeros(2), wanted).sample((n,)).T)
    assert (found - wanted).abs().max().item() < 0.06
    assert D.Independent(D.Normal(nnrt.zeros(3, 2), 1.0), 1).sample((4,)).shape == (4, 3, 2)


def test_bad_parameters_and_values():
    D = distributions
    for make, text in (
        (lambda: D.Normal(0.0, -1.0), "Normal: scale must be greater than 0"),
        (lambda: D.Uniform(1, 0), "Uniform: low must be less"),
        (lambda: D.Categorical(nnrt.tensor([-1.0, 2])), "Categorical: probs must not be negative"),
        (lambda: D.Categorical(), "Categorical: wants either probs or logits"),
        (lambda: D.Bernoulli(2.0), "Bernoulli: probs must"),
        (lambda: D.Categorical(nnrt.ones(3)).log_prob(nnrt.tensor(3)), "value must be the number of a class"),
        (lambda: D.Bernoulli(0.5).log_prob(nnrt.tensor(0.2)), "value must be 0 or 1"),
        (lambda: D.MultivariateNormal(nnrt.zeros(2)), "wants either covariance_matrix or scale_tril"),
        (lambda: D.Independent(D.Normal(0.0, 1.0), 1), "reinterpreted_batch_ndims must be within 0 and 0"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            make()
    assert D.Normal(0.0, -1.0, validate_args=False).scale.item() == -1
    for call in (lambda: D.Bernoulli(0.5).rsample(), lambda: D.kl_divergence(D.Normal(0.0, 1.0), D.Bernoulli(0.5))):
        with pytest.raises(NotImplementedError):
            call()
