"""Distributions under torch.distributions' names: log_prob and entropy have gradients, rsample too, sample none.

Parameters are tensors or numbers and broadcast to batch_shape; event_shape is that of one draw. ValueError for
parameters and values outside their range, unless validate_args is False. Formulas: Bishop, 2006, appendix B.
"""

import math

from . import autograd, linalg
from .dtypes import finfo
from .nn import functional as F
from .ops.create import as_tensor
from .ops.random import multinomial, rand, randn
from .ops.shape import broadcast_shapes, broadcast_tensors
from .ops.ternary import where
from .tensor import Tensor


def _tensors(*values):
    """Of one shape and floating."""
    like = next((v for v in values if isinstance(v, Tensor) and v.is_floating_point()), as_tensor(0.0))
    return broadcast_tensors(*[v if isinstance(v, Tensor) else as_tensor(v, dtype=like.dtype) for v in values])


class Distribution:
    """What all share. Subclasses have rsample, or sample, and log_prob."""

    event_shape = ()
    has_rsample = False

    def __init__(self, batch_shape, validate_args):
        self.batch_shape = tuple(batch_shape)
        self._validates = validate_args is not False

    def _check(self, good, what):
        if self._validates and not bool(good.all()):
            raise ValueError(f"{type(self).__name__}: {what}")

    def _extended(self, sample_shape):
        return (*sample_shape, *self.batch_shape, *self.event_shape)

    def sample(self, sample_shape=()):
        """Draws of shape sample_shape + batch_shape + event_shape, off the tape."""
        with autograd.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=()):
        raise NotImplementedError(f"{type(self).__name__}: draws have no gradients; use sample")

    @property
    def stddev(self):
        return self.variance.sqrt()

    def perplexity(self):
        return self.entropy().exp()

    def __repr__(self):
        return f"{type(self).__name__}(batch_shape={self.batch_shape}, event_shape={self.event_shape})"


class Normal(Distribution):
    """The normal distribution with mean loc and standard deviation scale."""

    has_rsample = True

    def __init__(self, loc, scale, validate_args=None):
        self.loc, self.scale = _tensors(loc, scale)
        super().__init__(self.loc.shape, validate_args)
        self._check(self.loc == self.loc, "loc must not be NaN")
        self._check(self.scale > 0, "scale must be greater than 0")

    mean = mode = property(lambda self: self.loc)
    stddev = property(lambda self: self.scale)
    variance = property(lambda self: self.scale**2)

    def rsample(self, sample_shape=()):
        return self.loc + randn(self._extended(sample_shape), dtype=self.loc.dtype) * self.scale

    def log_prob(self, value):
        return -((value - self.loc) ** 2) / (2 * self.variance) - self.scale.log() - 0.5 * math.log(2 * math.pi)

    def cdf(self, value):
        return 0.5 * (1 + ((value - self.loc) / (self.scale * math.sqrt(2))).erf())

    def icdf(self, value):
        return self.loc + self.scale * (2 * value - 1).erfinv() * math.sqrt(2)

    def entropy(self):
        return 0.5 + 0.5 * math.log(2 * math.pi) + self.scale.log()


class Uniform(Distribution):
    """Between low and high."""

    has_rsample = True

    def __init__(self, low, high, validate_args=None):
        self.low, self.high = _tensors(low, high)
        super().__init__(self.low.shape, validate_args)
        self._check(self.low < self.high, "low must be less than high")

    mean = property(lambda self: (self.low + self.high) / 2)
    variance = property(lambda self: (self.high - self.low) ** 2 / 12)

    def rsample(self, sample_shape=()):
        return self.low + rand(self._extended(sample_shape), dtype=self.low.dtype) * (self.high - self.low)

    def log_prob(self, value):
        self._check((value >= self.low) & (value <= self.high), "value must be within low and high")
        within = (value >= self.low) & (value < self.high)
        return where(within, -self.entropy(), -math.inf)

    def cdf(self, value):
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def entropy(self):
        return (self.high - self.low).log()


class _Discrete(Distribution):
    """One of probs and logits is given, the other one follows."""

    def _take(self, probs, logits):
        if (probs is None) == (logits is None):
            raise ValueError(f"{type(self).__name__}: wants either probs or logits")
        (given,) = _tensors(logits if probs is None else probs)
        return given

    def _logs(self):
        eps = float(finfo(self.probs.dtype).eps)
        return self.probs.clamp(eps, 1 - eps)


class Bernoulli(_Discrete):
    """1 with the probability probs, which is sigmoid(logits), else 0."""

    def __init__(self, probs=None, logits=None, validate_args=None):
        given = self._take(probs, logits)
        super().__init__(given.shape, validate_args)
        if logits is None:
            self.probs = given
            self._check((given >= 0) & (given <= 1), "probs must be within 0 and 1")
            kept = self._logs()
            self.logits = kept.log() - (-kept).log1p()
        else:
            self.probs, self.logits = given.sigmoid(), given

    mean = property(lambda self: self.probs)
    variance = property(lambda self: self.probs * (1 - self.probs))

    def sample(self, sample_shape=()):
        return (rand(self._extended(sample_shape), dtype=self.probs.dtype) < self.probs.detach()).to(self.probs.dtype)

    def log_prob(self, value):
        self._check((value == 0) | (value == 1), "value must be 0 or 1")
        logits, value = _tensors(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value.to(logits.dtype), reduction="none")

    def entropy(self):
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")


class Categorical(_Discrete):
    """Class i with the probability probs[..., i] over their sum, or softmax(logits)[..., i]."""

    def __init__(self, probs=None, logits=None, validate_args=None):
        given = self._take(probs, logits)
        if given.ndim < 1:
            raise ValueError("Categorical: probs or logits must have at least 1 dimension")
        super().__init__(given.shape[:-1], validate_args)
        if logits is None:
            self._check(given >= 0, "probs must not be negative or NaN")
            self._check(given.sum(-1) > 0, "probs must not be 0 in all classes")
            self.probs = given / given.sum(-1, keepdim=True)
            self.logits = self._logs().log()
        else:
            self._check(given == given, "logits must not be NaN")
            self.logits = given - given.logsumexp(-1, keepdim=True)
            self.probs = self.logits.softmax(-1)

    mode = property(lambda self: self.probs.argmax(-1))

    def sample(self, sample_shape=()):
        count = math.prod(sample_shape)
        rows = self.probs.detach().reshape(-1, self.probs.shape[-1])
        return multinomial(rows, count, True).T.reshape(self._extended(sample_shape))

    def log_prob(self, value):
        value = as_tensor(value)
        self._check((value >= 0) & (value < self.logits.shape[-1]), "value must be the number of a class")
        value = value.long().unsqueeze(-1)
        size = broadcast_shapes(value.shape[:-1], self.batch_shape)
        logits = self.logits.expand(*size, self.logits.shape[-1])
        return logits.gather(-1, value.expand(*size, 1)).squeeze(-1)

    def entropy(self):
        return -(self.logits.clamp(min=float(finfo(self.logits.dtype).min)) * self.probs).sum(-1)


class MultivariateNormal(Distribution):
    """Normal vectors with mean loc [..., D] and a covariance_matrix, or its Cholesky factor scale_tril."""

    has_rsample = True

    def __init__(self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        if precision_matrix is not None or (covariance_matrix is None) == (scale_tril is None):
            raise ValueError("MultivariateNormal: wants either covariance_matrix or scale_tril")
        self.scale_tril = linalg.cholesky(covariance_matrix) if scale_tril is None else scale_tril
        batch = broadcast_shapes(loc.shape[:-1], self.scale_tril.shape[:-2])
        super().__init__(batch, validate_args)
        self.event_shape = tuple(loc.shape[-1:])
        self.loc = loc.expand(*batch, *self.event_shape)

    mean = mode = property(lambda self: self.loc)
    covariance_matrix = property(lambda self: self.scale_tril @ self.scale_tril.mT)
    variance = property(lambda self: (self.scale_tril**2).sum(-1).expand(*self.batch_shape, *self.event_shape))

    def rsample(self, sample_shape=()):
        noise = randn(self._extended(sample_shape), dtype=self.loc.dtype)
        return self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def _half_log_det(self):
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value):
        away = (value - self.loc).unsqueeze(-1)
        size = broadcast_shapes(away.shape[:-2], self.scale_tril.shape[:-2])
        factor = self.scale_tril.expand(*size, *self.scale_tril.shape[-2:])
        distance = (linalg.solve(factor, away.expand(*size, *away.shape[-2:])) ** 2).sum((-2, -1))
        return -0.5 * (self.loc.shape[-1] * math.log(2 * math.pi) + distance) - self._half_log_det()

    def entropy(self):
        size = 0.5 * self.loc.shape[-1] * (1 + math.log(2 * math.pi))
        return (size + self._half_log_det()).expand(self.batch_shape)


class Independent(Distribution):
    """base_distribution with its last reinterpreted_batch_ndims axes of batch_shape as axes of one draw."""

    def __init__(self, base_distribution, reinterpreted_batch_ndims, validate_args=None):
        self.base_dist, self._axes = base_distribution, reinterpreted_batch_ndims
        shape = base_distribution.batch_shape
        if not 0 <= self._axes <= len(shape):
            raise ValueError(f"Independent: reinterpreted_batch_ndims must be within 0 and {len(shape)}, got {self._axes}")
        cut = len(shape) - self._axes
        super().__init__(shape[:cut], validate_args)
        self.event_shape = shape[cut:] + base_distribution.event_shape
        self.has_rsample = base_distribution.has_rsample

    mean = property(lambda self: self.base_dist.mean)
    mode = property(lambda self: self.base_dist.mode)
    variance = property(lambda self: self.base_dist.variance)

    def sample(self, sample_shape=()):
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape=()):
        return self.base_dist.rsample(sample_shape)

    def _summed(self, x):
        return x.sum(tuple(range(-self._axes, 0))) if self._axes else x

    def log_prob(self, value):
        return self._summed(self.base_dist.log_prob(value))

    def entropy(self):
        return self._summed(self.base_dist.entropy())


def kl_divergence(p, q):
    """The Kullback-Leibler divergence of p from q, two distributions of one kind."""
    if type(p) is type(q) is Independent and p._axes == q._axes:
        return p._summed(kl_divergence(p.base_dist, q.base_dist))
    if type(p) is type(q) and type(p) in _DIVERGENCES:
        return _DIVERGENCES[type(p)](p, q)
    raise NotImplementedError(f"kl_divergence: none for {type(p).__name__} from {type(q).__name__}")


def _normal(p, q):
    ratio = (p.scale / q.scale) ** 2
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale) ** 2 - 1 - ratio.log())


def _bernoulli(p, q):
    one = p.probs * (F.softplus(-q.logits) - F.softplus(-p.logits))
    return one + (1 - p.probs) * (F.softplus(q.logits) - F.softplus(p.logits))


def _categorical(p, q):
    t = p.probs * (p.logits - q.logits)
    return t.masked_fill(q.probs == 0, math.inf).masked_fill(p.probs == 0, 0).sum(-1)


_DIVERGENCES = {Normal: _normal, Bernoulli: _bernoulli, Categorical: _categorical}
