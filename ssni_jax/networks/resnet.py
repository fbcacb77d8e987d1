"""Residual networks with the norm after the convolution (He et al. 2016, arXiv:1512.03385), for ImageNet and CIFAR.

Reads torchvision's ResNets, whose bottlenecks stride in the 3x3 convolution, its wide ones (arXiv:1605.07146), and the
CIFAR ResNets of akamaster/pytorch_resnet_cifar10.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn.initializers import variance_scaling

from ssni_jax.core.types import Images, Logits
from ssni_jax.networks.choices import DTYPES, check_choices
from ssni_jax.networks.layers import BatchNorm, Conv, Features, Linear, Maps, max_pool, pooled

KAIMING = variance_scaling(2.0, "fan_out", "normal")
EXPANSION = {"basic": 1, "bottleneck": 4}


@dataclasses.dataclass(frozen=True)
class ResNetConfig:
    """Shape of a ResNet; the defaults are ResNet-50.

    `stages` are numbers of blocks; stage i has `width` 2^i channels inside its blocks, times `EXPANSION` between them.
    `widen_factor` multiplies the channels inside bottlenecks, 2 in the wide ones. `stem` is "pool" (7x7 of stride 2 and
    a max-pool, for ImageNet) or "plain" (3x3, for CIFAR); `shortcut` is "conv" (option B) or "pad" (option A: every
    second pixel, and zero channels on both sides). `dtype` is the compute type of the convolutions; parameters, norms
    and logits stay float32.
    """

    block: str = "bottleneck"
    stages: Sequence[int] = (3, 4, 6, 3)
    width: int = 64
    widen_factor: int = 1
    stem: str = "pool"
    shortcut: str = "conv"
    n_classes: int = 1000
    in_channels: int = 3
    dtype: str = "float32"

    def __post_init__(self):
        object.__setattr__(self, "stages", tuple(self.stages))
        if not self.stages or min(self.stages) < 1:
            raise ValueError(f"stages {self.stages} leave nothing to compute: give every stage one block or more")
        check_choices(self, CHOICES)
        if self.block == "basic" and self.widen_factor != 1:
            raise ValueError(f"basic blocks have no widen_factor {self.widen_factor}: leave it at 1 and change width")

    def make(self, *, rngs: nnx.Rngs) -> "ResNet":
        """The network of this shape, freshly initialised."""
        return ResNet(self, rngs=rngs)


CHOICES = {
    "block": tuple(EXPANSION),
    "stem": ("pool", "plain"),
    "shortcut": ("conv", "pad"),
    "dtype": DTYPES,
}


class BlockShape(NamedTuple):
    """One residual block and its place."""

    name: str
    n_in: int
    n_inner: int
    n_out: int
    stride: int


class ResNet(nnx.Module):
    """Normalised images to logits; any image size, global average pool."""

    def __init__(self, config: ResNetConfig, *, rngs: nnx.Rngs):
        self.config = config
        shapes = block_shapes(config)
        size, stride = (7, 2) if config.stem == "pool" else (3, 1)
        conv = partial(Conv, rngs=rngs, bias=False, init=KAIMING, dtype=config.dtype)
        self.conv, self.norm = conv(config.in_channels, config.width, size, stride=stride), BatchNorm(config.width)
        make_block = Basic if config.block == "basic" else Bottleneck
        self.blocks = nnx.Dict({shape.name: make_block(config, shape, rngs=rngs) for shape in shapes})
        self.head = Linear(shapes[-1].n_out, config.n_classes, rngs=rngs)

    def __call__(self, x: Images, *, train: bool = False) -> Logits:
        """`train` normalises by the batch and updates the running statistics of this module in place."""
        return self.head(self.penultimate(x, train=train))

    def penultimate(self, x: Images, *, train: bool = False) -> Features:
        """The pooled features that the head reads, float32."""
        return pooled(self.taps(x, train=train)[-1])

    def taps(self, x: Images, *, train: bool = False) -> list[Maps]:
        """The rectified output of every block."""
        x, maps = jax.nn.relu(self.norm(self.conv(x), train)), []
        if self.config.stem == "pool":
            x = max_pool(x, 3, 2, padding=1)
        for shape in block_shapes(self.config):
            x = self.blocks[shape.name](x, train)
            maps.append(x)
        return maps


def block_shapes(config: ResNetConfig) -> list[BlockShape]:
    """Every block in order; a stage's first block changes the width and, from the second stage on, the resolution."""
    shapes, n = [], config.width
    for stage, n_blocks in enumerate(config.stages):
        width = config.width * 2**stage
        n_inner, n_out = width * config.widen_factor, width * EXPANSION[config.block]
        for index in range(n_blocks):
            stride = 2 if stage and not index else 1
            shapes.append(BlockShape(f"stage{stage}_block{index}", n, n_inner, n_out, stride))
            n = n_out
    return shapes


class Basic(nnx.Module):
    """Two 3x3 convolutions, each followed by a norm; the sum is rectified."""

    def __init__(self, config: ResNetConfig, shape: BlockShape, *, rngs: nnx.Rngs):
        conv = partial(Conv, rngs=rngs, bias=False, init=KAIMING, dtype=config.dtype)
        self.conv0, self.norm0 = conv(shape.n_in, shape.n_out, 3, stride=shape.stride), BatchNorm(shape.n_out)
        self.conv1, self.norm1 = conv(shape.n_out, shape.n_out, 3), BatchNorm(shape.n_out)
        self.shortcut = _shortcut(config, shape, rngs)

    def __call__(self, x: Maps, train: bool = False) -> Maps:
        h = jax.nn.relu(self.norm0(self.conv0(x), train))
        return jax.nn.relu(self.norm1(self.conv1(h), train) + self.shortcut(x, train))


class Bottleneck(nnx.Module):
    """Convolutions 1x1, 3x3 (which carries the stride) and 1x1, each followed by a norm; the sum is rectified."""

    def __init__(self, config: ResNetConfig, shape: BlockShape, *, rngs: nnx.Rngs):
        conv = partial(Conv, rngs=rngs, bias=False, init=KAIMING, dtype=config.dtype)
        n = shape.n_inner
        self.conv0, self.norm0 = conv(shape.n_in, n, 1), BatchNorm(n)
        self.conv1, self.norm1 = conv(n, n, 3, stride=shape.stride), BatchNorm(n)
        self.conv2, self.norm2 = conv(n, shape.n_out, 1), BatchNorm(shape.n_out)
        self.shortcut = _shortcut(config, shape, rngs)

    def __call__(self, x: Maps, train: bool = False) -> Maps:
        h = jax.nn.relu(self.norm0(self.conv0(x), train))
        h = jax.nn.relu(self.norm1(self.conv1(h), train))
        return jax.nn.relu(self.norm2(self.conv2(h), train) + self.shortcut(x, train))


def _shortcut(config: ResNetConfig, shape: BlockShape, rngs: nnx.Rngs) -> nnx.Module:
    if shape.stride == 1 and shape.n_in == shape.n_out:
        return Padded(0, 1)
    if config.shortcut == "pad":
        return Padded((shape.n_out - shape.n_in) // 2, shape.stride)
    return Projected(config, shape, rngs=rngs)


class Padded(nnx.Module):
    """Option A of He et al.: every `stride`-th pixel, `n` zero channels before and `n` after; nothing to learn."""

    def __init__(self, n: int, stride: int):
        self.n, self.stride = n, stride

    def __call__(self, x: Maps, train: bool = False) -> Maps:
        return jnp.pad(x[:, :: self.stride, :: self.stride], ((0, 0), (0, 0), (0, 0), (self.n, self.n)))


class Projected(nnx.Module):
    """Option B: a 1x1 convolution and a norm."""

    def __init__(self, config: ResNetConfig, shape: BlockShape, *, rngs: nnx.Rngs):
        options = {"stride": shape.stride, "bias": False, "init": KAIMING, "dtype": config.dtype}
        self.conv, self.norm = Conv(shape.n_in, shape.n_out, 1, rngs=rngs, **options), BatchNorm(shape.n_out)

    def __call__(self, x: Maps, train: bool = False) -> Maps:
        return self.norm(self.conv(x), train)
