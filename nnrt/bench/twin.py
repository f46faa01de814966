"""The files of nnrt.models with another library in nnrt's place: their `from .. import nn` then finds its layers."""

import importlib.util
import sys
from types import ModuleType


def models_of(t):
    """The package nnrt.models, made of the layers of t (nnrt, or torch, whose missing names are made of those it has)."""
    from .. import models

    if t.__name__ == "nnrt":
        return models
    package = f"{t.__name__}_in_place_of_nnrt"
    name = package + ".models"
    if name not in sys.modules:
        functional = _copied(package + ".nn.functional", t.nn.functional, add_layer_norm=_add_layer_norm(t))
        more = {"SinusoidalPositions": _sinusoidal_positions(t), "KeyValueCache": _key_value_cache(t)}
        nn = _copied(package + ".nn", t.nn, functional=functional, **more)
        # No module runs with another as one op.
        several = dict.fromkeys(("fused", "embedded", "activation_of"), lambda *args: None)
        _copied(package + ".nn.fused", ModuleType("fused"), **several)
        _copied(package, t, nn=nn)
        spec = importlib.util.spec_from_file_location(name, models.__file__)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def _copied(name, module, **more):
    """A module of this name with what `module` has, and more."""
    made = ModuleType(name)
    made.__dict__.update({key: value for key, value in vars(module).items() if not key.startswith("__")}, **more)
    sys.modules[name] = made
    return made


def _add_layer_norm(t):
    def add_layer_norm(x, residual, *args):
        total = x + residual
        return t.nn.functional.layer_norm(total, *args), total

    return add_layer_norm


def _sinusoidal_positions(t):
    class SinusoidalPositions(t.nn.Module):
        def __init__(self, dim, max_length):
            super().__init__()
            even = t.arange(0, dim, 2)
            angles = t.arange(max_length).unsqueeze(1) * 10000.0 ** (-even.double() / dim)
            table = t.stack([t.sin(angles), t.cos(angles)], 2).flatten(1)[:, :dim]
            self.register_buffer("table", table.float(), persistent=False)

        def forward(self, x):
            return x + self.table[: x.shape[-2]]

    return SinusoidalPositions


def _key_value_cache(t):
    class KeyValueCache:
        def __init__(self, n, heads, room, dim, dtype):
            self.keys, self.values = t.zeros(2, n, heads, room, dim // heads, dtype=dtype)
            self.length = 0

        def attend(self, qkv):
            n, length, width = qkv.shape
            heads = self.keys.shape[1]
            q, k, v = qkv.view(n, length, 3, heads, width // (3 * heads)).permute(2, 0, 3, 1, 4).unbind(0)
            end = self.length + length
            self.keys[:, :, self.length : end] = k
            self.values[:, :, self.length : end] = v
            mask = None
            if self.length and length > 1:
                mask = t.arange(end) <= t.arange(self.length, end).unsqueeze(1)
            causal = length > 1 and mask is None
            y = t.nn.functional.scaled_dot_product_attention(
                q, self.keys[:, :, :end], self.values[:, :, :end], mask, is_causal=causal
            )
            self.length = end
            return y.transpose(1, 2).reshape(n, length, width // 3)

        def layer(self, x, y, qkv, out, norm, up, activation, down, after):
            x = x + out(self.attend(qkv(y)))
            x = x + down(activation(up(norm(x))))
            return after(x), x

    return KeyValueCache
