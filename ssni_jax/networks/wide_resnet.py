"""Pre-activation WideResNet (Zagoruyko & Komodakis 2016, arXiv:1605.07146).

Reads RobustBench's "Standard" WRN-28-10 and DeepMind's swish networks (Gowal et al. 2020, arXiv:2010.03593).
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn.initializers import variance_scaling

from ssni_jax.core.types import Images, Keys, Logits
from ssni_jax.networks.choices import DTYPES, check_choices
from ssni_jax.networks.layers import BatchNorm, Conv, Features, Linear, Maps, dropout, folded, pooled

KAIMING = variance_scaling(2.0, "fan_out", "normal")
ACTIVATIONS = {"relu": jax.nn.relu, "swish": jax.nn.silu}


@dataclasses.dataclass(frozen=True)
class WideResNetConfig:
    """Shape of a WideResNet.

    `activation` is "relu" or "swish". `padding` says where a 3x3 convolution of stride 2 sees zeros: on "both" ends of
    an axis, or at the "end" only, as DeepMind's do. `dtype` is the compute type of the convolutions; parameters, norms
    and logits stay float32.
    """

    depth: int = 28
    widen_factor: int = 10
    n_classes: int = 10
    in_channels: int = 3
    dropout: float = 0.0
    activation: str = "relu"
    padding: str = "both"
    dtype: str = "float32"

    def __post_init__(self):
        if self.depth < 10 or (self.depth - 4) % 6:
            raise ValueError(f"a WideResNet cannot have depth {self.depth}: use 6 n + 4, for example 10, 16 or 28")
        check_choices(self, CHOICES)

    def make(self, *, rngs: nnx.Rngs) -> "WideResNet":
        """The network of this shape, freshly initialised."""
        return WideResNet(self, rngs=rngs)


CHOICES = {"activation": tuple(ACTIVATIONS), "padding": ("both", "end"), "dtype": DTYPES}


class WideResNet(nnx.Module):
    """Normalised images to logits; any image size, strides 1, 2, 2 and a global average pool."""

    def __init__(self, config: WideResNetConfig, *, rngs: nnx.Rngs):
        self.config = config
        shapes = block_shapes(config)
        self.conv = Conv(config.in_channels, 16, 3, rngs=rngs, bias=False, init=KAIMING, dtype=config.dtype)
        blocks = (ResidualBlock(config, *shape, rngs=rngs) for shape in shapes)
        self.blocks = nnx.Dict({f"block{index}": block for index, block in enumerate(blocks)})
        self.norm = BatchNorm(shapes[-1][1])
        self.head = Linear(shapes[-1][1], config.n_classes, rngs=rngs)

    def __call__(self, x: Images, *, train: bool = False, dropout_keys: Keys | None = None) -> Logits:
        """`train` normalises by the batch and updates the running statistics of this module in place."""
        return self.head(self.penultimate(x, train=train, dropout_keys=dropout_keys))

    def penultimate(self, x: Images, *, train: bool = False, dropout_keys: Keys | None = None) -> Features:
        """The pooled features that the head reads, float32."""
        last = self.taps(x, train=train, dropout_keys=dropout_keys)[-1]
        return pooled(ACTIVATIONS[self.config.activation](self.norm(last, train)))

    def taps(self, x: Images, *, train: bool = False, dropout_keys: Keys | None = None) -> list[Maps]:
        """The output of every block, not yet normalised or rectified."""
        x, maps = self.conv(x), []
        for index in range(len(self.blocks)):
            x = self.blocks[f"block{index}"](x, train, folded(dropout_keys, index))
            maps.append(x)
        return maps


def block_shapes(config: WideResNetConfig) -> list[tuple[int, int, int]]:
    """(n_in, n_out, stride) of every block: three groups, each changing width and resolution in its first block."""
    widths = [16] + [16 * config.widen_factor * 2**group for group in range(3)]
    shapes = []
    for n_in, n_out, stride in zip(widths, widths[1:], (1, 2, 2), strict=False):
        shapes += [(n_in, n_out, stride)] + [(n_out, n_out, 1)] * ((config.depth - 4) // 6 - 1)
    return shapes


class ResidualBlock(nnx.Module):
    """Norm, activation, conv, twice; where the width changes the shortcut also starts from the first activation."""

    def __init__(self, config: WideResNetConfig, n_in: int, n_out: int, stride: int, *, rngs: nnx.Rngs):
        conv = partial(Conv, rngs=rngs, bias=False, init=KAIMING, dtype=config.dtype)
        self.config = config
        self.shifted = config.padding == "end" and stride == 2
        self.norm0, self.norm1 = BatchNorm(n_in), BatchNorm(n_out)
        self.conv0 = conv(n_in, n_out, 3, stride=stride, padding=0 if self.shifted else 1)
        self.conv1 = conv(n_out, n_out, 3)
        self.shortcut = conv(n_in, n_out, 1, stride=stride) if n_in != n_out else None

    def __call__(self, x: Maps, train: bool = False, keys: Keys | None = None) -> Maps:
        activate = ACTIVATIONS[self.config.activation]
        active = activate(self.norm0(x, train))
        h = self.conv0(jnp.pad(active, ((0, 0), (0, 1), (0, 1), (0, 0))) if self.shifted else active)
        h = dropout(activate(self.norm1(h, train)), self.config.dropout, keys)
        return self.conv1(h) + (x if self.shortcut is None else self.shortcut(active))
