"""Convolutions as products of spectra: for filters so long that summing over their taps costs more.

    Y = X conj(W)        y's element o is the sum at t = o s - p
    X = Y W              the adjoint: y's elements stand at t, zeros between them
    W = X conj(Y)        the filter's gradient: its tap k is the sum at k d

X, Y, W: discrete Fourier transforms over the spatial axes, so long that nothing of x, y and w that t + k d brings
together meets anything else around the end (Oppenheim and Schafer, Discrete-Time Signal Processing, section 8.7).
Legend: N batch, C channels in, O channels out, G groups, F frequencies. The transforms are numpy's, on one thread.
"""

import numpy as np

from ._packed import packed

AXES = (1, 2, 3)


def forward(y, x, w, cell, b, residual, g):
    """y = x * w + b + residual."""
    sizes = _lengths(g)
    full = _merged(_split(_transformed(x, sizes), g) @ _filter(w, cell, g, sizes).conj(), sizes)
    y[...] = full[_at(g, sizes)]
    for term in (b, residual):
        if term is not None:
            y += term


def adjoint(x, y, w, cell, b, g):
    """x = y *ᵀ w + b."""
    sizes = _lengths(g)
    full = _merged(_split(_spread(y, g, sizes), g) @ _filter(w, cell, g, sizes).swapaxes(-1, -2), sizes)
    x[...] = full[(slice(None), *map(slice, g.x[1:4]))]
    if b is not None:
        x += b


def filter_grad(dw, x, dy, g):
    """dw = Σ_{n, t} dy x."""
    sizes = _lengths(g)
    product = _split(_transformed(x, sizes), g).swapaxes(-1, -2) @ _split(_spread(dy, g, sizes), g).conj()
    dw[...] = _merged(product, sizes)[_taps(g)].transpose(4, 0, 1, 2, 3)


def _lengths(g):
    """The transforms' lengths."""
    lengths = []
    for n, o, s, p, k, d in zip(g.x[1:], g.y[1:], g.stride, g.padding, g.w[2:], g.dilation):
        reach = (k - 1) * d + 1
        lengths.append(_fast(max(n + max(p, 0), (o - 1) * s - p + reach, reach)))
    return tuple(lengths)


def _fast(n):
    """The least 2^i 3^j 5^k from n on."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def _axes(sizes):
    return [axis for axis in AXES if sizes[axis - 1] > 1] or [3]


def _frequencies(sizes):
    """A spectrum's sizes: of the last axis that is transformed, half suffices."""
    half = _axes(sizes)[-1]
    return [n // 2 + 1 if axis == half else n for axis, n in zip(AXES, sizes)]


def _transformed(a, sizes):
    """a[N, D, H, W, C] as its spectrum [N, F, F, F, C]."""
    axes = _axes(sizes)
    return np.fft.rfftn(a, [sizes[axis - 1] for axis in axes], axes)


def _split(spectrum, g):
    """[N, F, F, F, C] as [F, F, F, G, N, C/G]."""
    return spectrum.reshape(*spectrum.shape[:4], g.groups, spectrum.shape[4] // g.groups).transpose(1, 2, 3, 4, 0, 5)


def _merged(product, sizes):
    """The array [N, D, H, W, C] of a spectrum [F, F, F, G, N, C/G]."""
    spectrum = product.transpose(4, 0, 1, 2, 3, 5)
    spectrum = spectrum.reshape(*spectrum.shape[:4], product.shape[3] * product.shape[5])
    axes = _axes(sizes)
    return np.fft.irfftn(spectrum, [sizes[axis - 1] for axis in axes], axes)


def _at(g, sizes):
    """The index of y's elements among all sums: t, from the end where it is negative."""
    steps = zip(g.y[1:], g.stride, g.padding, sizes)
    return (slice(None), *np.ix_(*[(np.arange(o) * s - p) % size for o, s, p, size in steps]))


def _taps(g):
    return (slice(None), *[slice(0, (k - 1) * d + 1, d) for k, d in zip(g.w[2:], g.dilation)])


def _spread(y, g, sizes):
    """The spectrum of y's elements at t."""
    full = np.zeros((y.shape[0], *sizes, y.shape[-1]), y.dtype)
    full[_at(g, sizes)] = y
    return _transformed(full, sizes)


def _filter(w, cell, g, sizes):
    """w's spectrum [F, F, F, G, C/G, O/G]."""
    shape = (*_frequencies(sizes), g.groups, g.w[1], g.w[0] // g.groups)
    key = ("fft", sizes, g.dilation, g.groups)
    p = packed(cell, w, key, _transform_filter, lambda: 2 * int(np.prod(shape)), g, sizes)
    return p.view(f"c{2 * w.itemsize}").reshape(shape)


def _transform_filter(p, w, g, sizes):
    """Stores w's spectrum in p, as pairs of real numbers."""
    full = np.zeros((g.w[1], *sizes, g.w[0]), w.dtype)
    full[_taps(g)] = w.transpose(1, 2, 3, 4, 0)
    spectrum = _split(_transformed(full, sizes), g)
    p.view(spectrum.dtype).reshape(spectrum.shape)[...] = spectrum
