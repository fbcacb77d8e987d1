"""Building blocks of the networks: NHWC, torch-style symmetric padding, norms in float32, no hidden random state.

Images in float64, which exist only where JAX has been told to have it, stay in float64 throughout.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.nn.initializers import Initializer, variance_scaling
from jaxtyping import Array, Float

from ssni_jax.core.rng import fold
from ssni_jax.core.types import Keys, Level
from ssni_jax.networks.convolution import convolve
from ssni_jax.networks.remat import convolved

# A leading underscore leaves a size unbound: layers change channels and resolutions.
Maps = Float[Array, "B _h _w _c"]
Features = Float[Array, "B _c"]
Heads = Float[Array, "B _n _heads _c"]


class Buffer(nnx.Variable):
    """A stored array that is not trained."""


def xavier(weight: float = 1.0) -> Initializer:
    """Xavier uniform times `weight`, the initialiser of score_sde and EDM; a `weight` near zero for last layers."""
    return variance_scaling(weight**2, "fan_avg", "uniform")


XAVIER = xavier()


def compute_type(x: Float[Array, "..."], dtype: str = "float32") -> Any:
    """The type in which a layer of `dtype` computes: that, or float64 for what is float64."""
    return x.dtype if x.dtype == jnp.float64 else dtype


class Linear(nnx.Module):
    """x W + b, with `kernel` [in, out]."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        rngs: nnx.Rngs,
        bias: bool = True,
        init: Initializer = XAVIER,
        dtype: str = "float32",
    ):
        self.kernel = nnx.Param(init(rngs.params(), (n_in, n_out), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(n_out)) if bias else None
        self.dtype = dtype

    def __call__(self, x: Float[Array, "B ... _c"]) -> Float[Array, "B ... _d"]:
        dtype = compute_type(x, self.dtype)
        x = x.astype(dtype) @ self.kernel[...].astype(dtype)
        return x if self.bias is None else x + self.bias[...].astype(dtype)


class Conv(nnx.Module):
    """Convolution with `kernel` [height, width, in, out], square or of size (height, width).

    `padding` zeros stand on every side, half the kernel's size unless given.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        size: int | tuple[int, int],
        *,
        rngs: nnx.Rngs,
        stride: int = 1,
        padding: int | None = None,
        bias: bool = True,
        init: Initializer = XAVIER,
        dtype: str = "float32",
    ):
        height, width = (size, size) if isinstance(size, int) else size
        self.kernel = nnx.Param(init(rngs.params(), (height, width, n_in, n_out), jnp.float32))
        self.bias = nnx.Param(jnp.zeros(n_out)) if bias else None
        self.stride, self.dtype = stride, dtype
        self.padding = (height // 2, width // 2) if padding is None else padding

    def __call__(self, x: Maps) -> Maps:
        dtype = compute_type(x, self.dtype)
        kernel = jnp.asarray(self.kernel[...], dtype)
        x = convolved(convolve(x.astype(dtype), kernel, self.stride, self.padding))
        return x if self.bias is None else x + self.bias[...].astype(dtype)


class GroupNorm(nnx.Module):
    """Group normalisation (Wu & He 2018) with min(32, C // 4) groups unless given, computed in float32."""

    def __init__(self, n: int, *, eps: float = 1e-6, n_groups: int | None = None):
        self.scale = nnx.Param(jnp.ones(n))
        self.bias = nnx.Param(jnp.zeros(n))
        self.eps, self.n_groups = eps, n_groups or max(1, min(32, n // 4))
        if n % self.n_groups:
            raise ValueError(f"{n} channels do not divide into {self.n_groups} groups: choose a multiple of it")

    def __call__(self, x: Maps) -> Maps:
        rows = x.astype(compute_type(x))
        # Channels first, groups second: a reduction over H and W alone vectorises, one that splits C does not.
        mean = self._grouped(jnp.mean(rows, (1, 2)))
        centred = rows - mean[:, None, None]
        var = self._grouped(jnp.mean(jnp.square(centred), (1, 2)))
        gain = self.scale[...] * jax.lax.rsqrt(var + self.eps)
        return (centred * gain[:, None, None] + self.bias[...]).astype(x.dtype)

    def _grouped(self, v: Features) -> Features:
        """Each channel's value replaced by the mean of its group."""
        size = v.shape[1] // self.n_groups
        means = jnp.mean(v.reshape(-1, self.n_groups, size), -1)
        return jnp.repeat(means, size, axis=1)


class BatchNorm(nnx.Module):
    """Batch normalisation (Ioffe & Szegedy 2015) in float32; running variance unbiased, momentum 0.1, as in torch."""

    def __init__(self, n: int, *, eps: float = 1e-5, momentum: float = 0.1):
        self.scale, self.bias = nnx.Param(jnp.ones(n)), nnx.Param(jnp.zeros(n))
        self.mean, self.var = nnx.BatchStat(jnp.zeros(n)), nnx.BatchStat(jnp.ones(n))
        self.eps, self.momentum = eps, momentum

    def __call__(self, x: Maps, train: bool) -> Maps:
        rows = x.astype(compute_type(x))
        mean, var = self._updated(rows) if train else (self.mean[...], self.var[...])
        gain = self.scale[...] * jax.lax.rsqrt(var + self.eps)
        return ((rows - mean) * gain + self.bias[...]).astype(x.dtype)

    def _updated(self, rows: Maps) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        mean, var = jnp.mean(rows, (0, 1, 2)), jnp.var(rows, (0, 1, 2))
        n = rows.size // rows.shape[-1]
        self.mean[...] += self.momentum * (mean - self.mean[...])
        self.var[...] += self.momentum * (var * (n / max(n - 1, 1)) - self.var[...])
        return mean, var


class LayerNorm(nnx.Module):
    """Layer normalisation (Ba et al. 2016) of the last axis, computed in float32."""

    def __init__(self, n: int, *, eps: float = 1e-6):
        self.scale, self.bias = nnx.Param(jnp.ones(n)), nnx.Param(jnp.zeros(n))
        self.eps = eps

    def __call__(self, x: Float[Array, "B ... _c"]) -> Float[Array, "B ... _c"]:
        rows = x.astype(compute_type(x))
        centred = rows - jnp.mean(rows, -1, keepdims=True)
        var = jnp.mean(jnp.square(centred), -1, keepdims=True)
        return (centred * jax.lax.rsqrt(var + self.eps) * self.scale[...] + self.bias[...]).astype(x.dtype)


class SelfAttention(nnx.Module):
    """Attention over the positions of an image, without the residual; `qkv` gives [q | k | v], each [head, channel]."""

    def __init__(
        self,
        n: int,
        *,
        rngs: nnx.Rngs,
        n_heads: int = 1,
        eps: float = 1e-6,
        n_groups: int | None = None,
        init: Initializer = xavier(np.sqrt(0.2)),
        last: Initializer = xavier(1e-5),
        dtype: str = "float32",
    ):
        if n % n_heads:
            raise ValueError(f"{n} channels do not divide into {n_heads} heads: choose a divisor of {n}")
        self.norm = GroupNorm(n, eps=eps, n_groups=n_groups)
        self.qkv = Linear(n, 3 * n, rngs=rngs, init=init, dtype=dtype)
        self.proj = Linear(n, n, rngs=rngs, init=last, dtype=dtype)
        self.n_heads = n_heads

    def __call__(self, x: Maps) -> Maps:
        b, h, w, c = x.shape
        qkv = self.qkv(self.norm(x)).reshape(b, h * w, 3, self.n_heads, c // self.n_heads)
        mixed = attended(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2])
        return self.proj(mixed.reshape(b, h, w, c))


def attended(query: Heads, key: Heads, value: Heads) -> Heads:
    """Scaled dot-product attention; JAX's own takes the softmax in float32, which float64 would not survive."""
    if query.dtype != jnp.float64:
        return jax.nn.dot_product_attention(query, key, value)
    weights = jax.nn.softmax(jnp.einsum("bqhc,bkhc->bhqk", query, key) / np.sqrt(query.shape[-1]))
    return jnp.einsum("bhqk,bkhc->bqhc", weights, value)


class FourierEmbedding(nnx.Module):
    """[sin, cos] of 2 pi f v for fixed random frequencies f, score_sde's Gaussian Fourier projection."""

    def __init__(self, n: int, *, rngs: nnx.Rngs, scale: float = 16.0):
        self.freqs = Buffer(scale * jax.random.normal(rngs.params(), (n // 2,)))

    def __call__(self, v: Level) -> Features:
        return _sin_cos(v, 2 * np.pi * self.freqs[...])


def positional_embedding(v: Level, n: int, max_period: float = 10000.0) -> Features:
    """[sin, cos] of v at n / 2 frequencies from 1 to 1 / max_period, both included (the DDPM embedding)."""
    exponents = np.arange(n // 2) / (n // 2 - 1)
    return _sin_cos(v, jnp.asarray(max_period**-exponents, jnp.float32))


def _sin_cos(v: Level, freqs: Float[Array, " F"]) -> Features:
    phase = v[:, None] * freqs[None]
    return jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], axis=1)


def pooled(x: Maps) -> Features:
    """Mean over all positions, in float32."""
    # Kept out of the convolution's fusion, which jax 0.12 gets wrong on the CPU: sums of bfloat16 came out as 1e35.
    return jnp.mean(jax.lax.optimization_barrier(x).astype(compute_type(x)), (1, 2))


def dropout(x: Float[Array, "B ..."], rate: float, keys: Keys | None) -> Float[Array, "B ..."]:
    """Zeroes a share `rate` of each row by that row's key and rescales the rest; without keys the identity."""
    if keys is None or rate == 0:
        return x
    keep = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - rate, x.shape[1:]))(keys)
    return jnp.where(keep, x / (1 - rate), 0)


def max_pool(x: Maps, size: int, stride: int, *, padding: int = 0, ceil: bool = False) -> Maps:
    """Largest value under every window, padding left out of it; `ceil` keeps a last window that leaves the map."""
    ends = [(padding, padding + (-(n + 2 * padding - size) % stride if ceil else 0)) for n in x.shape[1:3]]
    window, strides, pads = (1, size, size, 1), (1, stride, stride, 1), [(0, 0), *ends, (0, 0)]
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, strides, pads)


def folded(keys: Keys | None, index: int) -> Keys | None:
    """The keys of one of a network's dropouts, None without keys."""
    return None if keys is None else fold(keys, index)


def downsample(x: Maps, taps: Sequence[int], padding: int | None = None) -> Maps:
    """Half the size after the separable filter `taps`; [1, 1] averages 2 x 2, [1, 3, 3, 1] is the FIR of StyleGAN2."""
    pad = (len(taps) - 1) // 2 if padding is None else padding
    weights = np.asarray(taps) / np.sum(taps)
    x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    for axis in (1, 2):
        n = (x.shape[axis] - len(taps)) // 2 + 1
        parts = (w * _every_second(x, k, n, axis) for k, w in enumerate(weights.tolist()))
        x = sum(parts, start=jnp.zeros((), x.dtype))
    return x


def _every_second(x: Maps, start: int, n: int, axis: int) -> Maps:
    return jax.lax.slice_in_dim(x, start, start + 2 * n - 1, 2, axis)


def upsample(x: Maps, taps: Sequence[int]) -> Maps:
    """Twice the size by the transpose of `downsample` times 4; [1, 1] repeats pixels."""
    for axis in (1, 2):
        x = _upsample_axis(x, 2 * np.asarray(taps) / np.sum(taps), axis)
    return x


def _upsample_axis(x: Maps, weights: np.ndarray, axis: int) -> Maps:
    """Row 2 j + p sums w_k x_i over 2 i = 2 j + p + pad - k, one strided phase p at a time."""
    n, pad = x.shape[axis], (len(weights) - 1) // 2
    widths = [(0, 0)] * 4
    widths[axis] = (len(weights), len(weights))
    padded = jnp.pad(x, widths)
    phases = []
    for p in (0, 1):
        taps = [(k, w) for k, w in enumerate(weights.tolist()) if (p + pad - k) % 2 == 0]
        at = [len(weights) + (p + pad - k) // 2 for k, _ in taps]
        parts = (w * jax.lax.slice_in_dim(padded, i, i + n, axis=axis) for i, (_, w) in zip(at, taps, strict=True))
        phases.append(sum(parts, start=jnp.zeros((), x.dtype)))
    return jnp.stack(phases, axis + 1).reshape(*x.shape[:axis], 2 * n, *x.shape[axis + 1 :])
