"""Pre-activation WideResNet (Zagoruyko & Komodakis 2016, arXiv:1605.07146), RobustBench's "Standard" WRN-28-10."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn.initializers import variance_scaling
from jaxtyping import Array, Float

from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys, Logits
from ssni_jax.networks.layers import Conv, Linear, Maps, dropout

KAIMING = variance_scaling(2.0, "fan_out", "normal")


@dataclasses.dataclass(frozen=True)
class WideResNetConfig:
    """Shape of a WideResNet; `mean` and `std`, one value or one a channel, normalise [0, 1] images inside.

    `dtype` is the compute type of the convolutions; parameters, norms and logits stay float32.
    """

    depth: int = 28
    widen_factor: int = 10
    n_classes: int = 10
    in_channels: int = 3
    dropout: float = 0.0
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)
    dtype: str = "float32"

    def __post_init__(self):
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if len(getattr(self, name)) not in (1, self.in_channels):
                raise ValueError(f"{name} has {len(getattr(self, name))} values, but needs 1 or {self.in_channels}")
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"a WideResNet cannot have depth {self.depth}: use 6 n + 4, for example 10, 16 or 28")

    def make(self, *, rngs: nnx.Rngs) -> "WideResNet":
        """The network of this shape, freshly initialised."""
        return WideResNet(self, rngs=rngs)


class WideResNet(nnx.Module):
    """Images in [0, 1] to logits; any image size, strides 1, 2, 2 and a global average pool."""

    def __init__(self, config: WideResNetConfig, *, rngs: nnx.Rngs):
        self.config = config
        shapes = block_shapes(config)
        self.conv = Conv(config.in_channels, 16, 3, rngs=rngs, bias=False, init=KAIMING, dtype=config.dtype)
        blocks = (ResidualBlock(*shape, rngs=rngs, dtype=config.dtype) for shape in shapes)
        self.blocks = nnx.Dict({f"block{index}": block for index, block in enumerate(blocks)})
        self.norm = BatchNorm(shapes[-1][1])
        self.head = Linear(shapes[-1][1], config.n_classes, rngs=rngs)

    def __call__(self, x: Images, *, train: bool = False, dropout_keys: Keys | None = None) -> Logits:
        """`train` normalises by the batch and updates the running statistics of this module in place."""
        x = self.conv((x - jnp.asarray(self.config.mean)) / jnp.asarray(self.config.std))
        for index in range(len(self.blocks)):
            keys = None if dropout_keys is None else fold(dropout_keys, index)
            x = self.blocks[f"block{index}"](x, train, self.config.dropout, keys)
        x = jax.nn.relu(self.norm(x, train))
        return self.head(jnp.mean(x.astype(jnp.float32), (1, 2)))


def block_shapes(config: WideResNetConfig) -> list[tuple[int, int, int]]:
    """(n_in, n_out, stride) of every block: three groups, each changing width and resolution in its first block."""
    widths = [16] + [16 * config.widen_factor * 2**group for group in range(3)]
    shapes = []
    for n_in, n_out, stride in zip(widths, widths[1:], (1, 2, 2), strict=False):
        shapes += [(n_in, n_out, stride)] + [(n_out, n_out, 1)] * ((config.depth - 4) // 6 - 1)
    return shapes


class ResidualBlock(nnx.Module):
    """BN, ReLU, conv, BN, ReLU, conv; where the width changes the shortcut also starts from the first activation."""

    def __init__(self, n_in: int, n_out: int, stride: int, *, rngs: nnx.Rngs, dtype: str = "float32"):
        conv = partial(Conv, rngs=rngs, bias=False, init=KAIMING, dtype=dtype)
        self.norm0, self.norm1 = BatchNorm(n_in), BatchNorm(n_out)
        self.conv0 = conv(n_in, n_out, 3, stride=stride)
        self.conv1 = conv(n_out, n_out, 3)
        self.shortcut = conv(n_in, n_out, 1, stride=stride) if n_in != n_out else None

    def __call__(self, x: Maps, train: bool, rate: float, keys: Keys | None) -> Maps:
        active = jax.nn.relu(self.norm0(x, train))
        h = jax.nn.relu(self.norm1(self.conv0(active), train))
        h = self.conv1(dropout(h, rate, keys))
        return h + (x if self.shortcut is None else self.shortcut(active))


class BatchNorm(nnx.Module):
    """Batch normalisation (Ioffe & Szegedy 2015) in float32; running variance unbiased, momentum 0.1, as in torch."""

    def __init__(self, n: int, *, eps: float = 1e-5, momentum: float = 0.1):
        self.scale, self.bias = nnx.Param(jnp.ones(n)), nnx.Param(jnp.zeros(n))
        self.mean, self.var = nnx.BatchStat(jnp.zeros(n)), nnx.BatchStat(jnp.ones(n))
        self.eps, self.momentum = eps, momentum

    def __call__(self, x: Maps, train: bool) -> Maps:
        rows = x.astype(jnp.float32)
        mean, var = self._updated(rows) if train else (self.mean[...], self.var[...])
        gain = self.scale[...] * jax.lax.rsqrt(var + self.eps)
        return ((rows - mean) * gain + self.bias[...]).astype(x.dtype)

    def _updated(self, rows: Maps) -> tuple[Float[Array, " C"], Float[Array, " C"]]:
        mean, var = jnp.mean(rows, (0, 1, 2)), jnp.var(rows, (0, 1, 2))
        n = rows.size // rows.shape[-1]
        self.mean[...] += self.momentum * (mean - self.mean[...])
        self.var[...] += self.momentum * (var * (n / max(n - 1, 1)) - self.var[...])
        return mean, var
