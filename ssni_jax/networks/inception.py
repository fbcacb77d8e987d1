"""Inception v3 (Szegedy et al. 2016, arXiv:1512.00567): the network whose pooled features FID and KID are quoted in.

Reads the weights of pytorch-fid, which are those of TensorFlow's 2015-12-05 graph, and torchvision's inception_v3.
Units are named as in both files.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from ssni_jax.core.types import Images, Logits
from ssni_jax.networks.choices import DTYPES, check_choices
from ssni_jax.networks.layers import BatchNorm, Conv, Features, Linear, Maps, max_pool, pooled

N_RGB, SMALLEST = 3, 75


@dataclasses.dataclass(frozen=True)
class InceptionConfig:
    """Which Inception v3.

    `variant` "fid" averages 3x3 neighbourhoods over the pixels inside the map and takes the largest one in the last
    block; "torchvision" averages everywhere and counts the outside as zeros. `dtype` is the compute type of the
    convolutions; parameters, norms, features and logits stay float32.
    """

    variant: str = "fid"
    n_classes: int = 1008
    dtype: str = "float32"

    def __post_init__(self):
        check_choices(self, {"variant": tuple(LAYOUTS), "dtype": DTYPES})

    def make(self, *, rngs: nnx.Rngs) -> "Inception":
        """The network of this shape, freshly initialised."""
        return Inception(self, rngs=rngs)


class ConvolutionUnit(NamedTuple):
    """A convolution without bias, its norm and a ReLU; `padded` keeps the size at stride 1."""

    name: str
    n_out: int
    size: tuple[int, int] = (1, 1)
    stride: int = 1
    padded: bool = True


class Fork(NamedTuple):
    """Units that read the same maps; their outputs stand side by side."""

    units: tuple[ConvolutionUnit, ...]


class Pool(NamedTuple):
    """A 3x3 pooling; at stride 1 it keeps the size."""

    reduce: Callable[[Maps, int], Maps]
    stride: int = 1


Branch = tuple[ConvolutionUnit | Fork | Pool, ...]
Block = tuple[Branch, ...]
SQUARE, WIDE, TALL = (3, 3), (1, 7), (7, 1)


def largest(x: Maps, stride: int) -> Maps:
    """The largest of nine neighbours; at stride 1 those outside the map are left out."""
    return max_pool(x, 3, stride, padding=int(stride == 1))


def mean_with_zeros(x: Maps, stride: int) -> Maps:
    """A ninth of the sum of nine neighbours, those outside the map being zero."""
    return (_sums(x, stride) / 9).astype(x.dtype)


def mean_inside(x: Maps, stride: int) -> Maps:
    """The mean of the neighbours inside the map."""
    return (_sums(x, stride) / _sums(jnp.ones_like(x[:1, ..., :1]), stride)).astype(x.dtype)


def _sums(x: Maps, stride: int) -> Maps:
    window, strides, pads = (1, 3, 3, 1), (1, stride, stride, 1), ((0, 0), (1, 1), (1, 1), (0, 0))
    return jax.lax.reduce_window(x.astype(jnp.float32), 0.0, jax.lax.add, window, strides, pads)


DOWN = Pool(largest, 2)
STEM: Branch = (
    ConvolutionUnit("Conv2d_1a_3x3", 32, SQUARE, 2, padded=False),
    ConvolutionUnit("Conv2d_2a_3x3", 32, SQUARE, padded=False),
    ConvolutionUnit("Conv2d_2b_3x3", 64, SQUARE),
    DOWN,
    ConvolutionUnit("Conv2d_3b_1x1", 80),
    ConvolutionUnit("Conv2d_4a_3x3", 192, SQUARE, padded=False),
    DOWN,
)


def block_35(pool: Pool, n_pool: int) -> Block:
    """The paper's figure 5, at 35 x 35 positions; its first 3x3 is a 5x5 in the released networks."""
    return (
        (ConvolutionUnit("branch1x1", 64),),
        (ConvolutionUnit("branch5x5_1", 48), ConvolutionUnit("branch5x5_2", 64, (5, 5))),
        (
            ConvolutionUnit("branch3x3dbl_1", 64),
            ConvolutionUnit("branch3x3dbl_2", 96, SQUARE),
            ConvolutionUnit("branch3x3dbl_3", 96, SQUARE),
        ),
        (pool, ConvolutionUnit("branch_pool", n_pool)),
    )


def down_to_17() -> Block:
    """The paper's figure 10: convolutions and a pool of stride 2."""
    double = (ConvolutionUnit("branch3x3dbl_1", 64), ConvolutionUnit("branch3x3dbl_2", 96, SQUARE))
    return (
        (ConvolutionUnit("branch3x3", 384, SQUARE, 2, padded=False),),
        (*double, ConvolutionUnit("branch3x3dbl_3", 96, SQUARE, 2, padded=False)),
        (DOWN,),
    )


def block_17(pool: Pool, n: int) -> Block:
    """The paper's figure 6, at 17 x 17 positions: 7x7 as 1x7 and 7x1."""
    sizes = (TALL, WIDE, TALL)
    double = tuple(ConvolutionUnit(f"branch7x7dbl_{i + 2}", n, size) for i, size in enumerate(sizes))
    return (
        (ConvolutionUnit("branch1x1", 192),),
        (
            ConvolutionUnit("branch7x7_1", n),
            ConvolutionUnit("branch7x7_2", n, WIDE),
            ConvolutionUnit("branch7x7_3", 192, TALL),
        ),
        (ConvolutionUnit("branch7x7dbl_1", n), *double, ConvolutionUnit("branch7x7dbl_5", 192, WIDE)),
        (pool, ConvolutionUnit("branch_pool", 192)),
    )


def down_to_8() -> Block:
    """Stride 2 again, behind a 3x3 and behind a factorised 7x7."""
    seven = (
        ConvolutionUnit("branch7x7x3_1", 192),
        ConvolutionUnit("branch7x7x3_2", 192, WIDE),
        ConvolutionUnit("branch7x7x3_3", 192, TALL),
    )
    return (
        (ConvolutionUnit("branch3x3_1", 192), ConvolutionUnit("branch3x3_2", 320, SQUARE, 2, padded=False)),
        (*seven, ConvolutionUnit("branch7x7x3_4", 192, SQUARE, 2, padded=False)),
        (DOWN,),
    )


def block_8(pool: Pool) -> Block:
    """The paper's figure 7, at 8 x 8 positions: 1x3 and 3x1 side by side."""
    fork = lambda name: Fork((ConvolutionUnit(f"{name}a", 384, (1, 3)), ConvolutionUnit(f"{name}b", 384, (3, 1))))  # noqa: E731
    return (
        (ConvolutionUnit("branch1x1", 320),),
        (ConvolutionUnit("branch3x3_1", 384), fork("branch3x3_2")),
        (
            ConvolutionUnit("branch3x3dbl_1", 448),
            ConvolutionUnit("branch3x3dbl_2", 384, SQUARE),
            fork("branch3x3dbl_3"),
        ),
        (pool, ConvolutionUnit("branch_pool", 192)),
    )


def layout(mean: Pool, last: Pool) -> dict[str, Block]:
    """All blocks after the stem, under the names of the released files."""
    return {
        **{f"Mixed_5{letter}": block_35(mean, n) for letter, n in zip("bcd", (32, 64, 64), strict=True)},
        "Mixed_6a": down_to_17(),
        **{f"Mixed_6{letter}": block_17(mean, n) for letter, n in zip("bcde", (128, 160, 160, 192), strict=True)},
        "Mixed_7a": down_to_8(),
        "Mixed_7b": block_8(mean),
        "Mixed_7c": block_8(last),
    }


LAYOUTS = {
    "fid": layout(Pool(mean_inside), Pool(largest)),
    "torchvision": layout(Pool(mean_with_zeros), Pool(mean_with_zeros)),
}


class Inception(nnx.Module):
    """Images in [-1, 1], 75 pixels or more and 299 in use, to logits; it evaluates and does not train."""

    def __init__(self, config: InceptionConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.stem, n = units_of((STEM,), N_RGB, config, rngs)
        self.blocks = nnx.Dict({})
        for name, block in LAYOUTS[config.variant].items():
            self.blocks[name], n = units_of(block, n, config, rngs)
        self.head = Linear(n, config.n_classes, rngs=rngs)

    def __call__(self, x: Images) -> Logits:
        return self.head(self.penultimate(x))

    def penultimate(self, x: Images) -> Features:
        """The 2048 pooled features that FID compares, float32."""
        return pooled(self.taps(x)[-1])

    def taps(self, x: Images) -> list[Maps]:
        """The rectified output of every block."""
        if min(x.shape[1:3]) < SMALLEST:
            sides = " x ".join(str(n) for n in x.shape[1:3])
            raise ValueError(f"Inception cannot see images of {sides}: resize them to 299, or {SMALLEST} at least.")
        x, maps = follow(STEM, self.stem, x), []
        for name, block in LAYOUTS[self.config.variant].items():
            x = jnp.concatenate([follow(branch, self.blocks[name], x) for branch in block], -1)
            maps.append(x)
        return maps


def follow(branch: Branch, units: Mapping[str, "ConvNorm"], x: Maps) -> Maps:
    """The maps behind all steps of a branch."""
    for step in branch:
        match step:
            case ConvolutionUnit():
                x = units[step.name](x)
            case Fork():
                x = jnp.concatenate([units[unit.name](x) for unit in step.units], -1)
            case Pool():
                x = step.reduce(x, step.stride)
    return x


def units_of(block: Block, n_in: int, config: InceptionConfig, rngs: nnx.Rngs) -> tuple[Mapping[str, "ConvNorm"], int]:
    """The modules of a block by name, and the number of its channels."""
    placed, n_out = {}, 0
    for branch in block:
        n = n_in
        for units in steps_of(branch):
            placed |= {unit.name: ConvNorm(n, unit, rngs=rngs, dtype=config.dtype) for unit in units}
            n = sum(unit.n_out for unit in units)
        n_out += n
    return nnx.Dict(placed), n_out


def steps_of(branch: Branch) -> Iterator[tuple[ConvolutionUnit, ...]]:
    """The units of every step that has some."""
    for step in branch:
        if not isinstance(step, Pool):
            yield step.units if isinstance(step, Fork) else (step,)


class ConvNorm(nnx.Module):
    """A unit's arrays."""

    def __init__(self, n_in: int, unit: ConvolutionUnit, *, rngs: nnx.Rngs, dtype: str):
        padding = None if unit.padded else 0
        options = {"stride": unit.stride, "padding": padding, "bias": False, "dtype": dtype}
        self.conv = Conv(n_in, unit.n_out, unit.size, rngs=rngs, **options)
        self.norm = BatchNorm(unit.n_out, eps=1e-3)

    def __call__(self, x: Maps) -> Maps:
        return jax.nn.relu(self.norm(self.conv(x), False))
