"""Convolution stacks whose intermediate features LPIPS compares: AlexNet, VGG16 and SqueezeNet 1.1.

Krizhevsky 2014 (arXiv:1404.5997), Simonyan & Zisserman 2015 (arXiv:1409.1556), Iandola et al. 2016 (arXiv:1602.07360),
with torchvision's paddings. Every convolution is followed by a ReLU.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn.initializers import variance_scaling

from ssni_jax.core.types import Images
from ssni_jax.networks.layers import Conv, Maps, max_pool

HE = variance_scaling(2.0, "fan_in", "normal")


class Convolution(NamedTuple):
    """A square convolution to `n_out` channels."""

    n_out: int
    size: int = 3
    stride: int = 1
    padding: int = 1


class Squeezed(NamedTuple):
    """A fire module: down to `n` channels, then to 4 n by 1x1 and to 4 n by 3x3 convolutions."""

    n: int

    @property
    def n_out(self) -> int:
        return 8 * self.n


class Stage(NamedTuple):
    """What lies between two taps: a max-pool or none, then layers."""

    layers: tuple[Convolution | Squeezed, ...]
    pooled: bool = True


class Stack(NamedTuple):
    """A backbone: max-pools of `window` and stride 2, and the side of the `smallest` image that survives them."""

    stages: tuple[Stage, ...]
    window: int
    ceil: bool
    smallest: int


STACKS = {
    "alex": Stack(
        (
            Stage((Convolution(64, 11, 4, 2),), pooled=False),
            Stage((Convolution(192, 5, 1, 2),)),
            Stage((Convolution(384),)),
            Stage((Convolution(256),), pooled=False),
            Stage((Convolution(256),), pooled=False),
        ),
        window=3,
        ceil=False,
        smallest=31,
    ),
    "vgg": Stack(
        (
            Stage((Convolution(64),) * 2, pooled=False),
            Stage((Convolution(128),) * 2),
            Stage((Convolution(256),) * 3),
            Stage((Convolution(512),) * 3),
            Stage((Convolution(512),) * 3),
        ),
        window=2,
        ceil=False,
        smallest=16,
    ),
    "squeeze": Stack(
        (
            Stage((Convolution(64, 3, 2, 0),), pooled=False),
            Stage((Squeezed(16),) * 2),
            Stage((Squeezed(32),) * 2),
            Stage((Squeezed(48),)),
            Stage((Squeezed(48),), pooled=False),
            Stage((Squeezed(64),), pooled=False),
            Stage((Squeezed(64),), pooled=False),
        ),
        window=3,
        ceil=True,
        smallest=17,
    ),
}
N_RGB = 3


class Placed(NamedTuple):
    """A layer with its place: its name, its stage, and its index in torchvision's `features`."""

    name: str
    stage: int
    index: int
    n_in: int
    layer: Convolution | Squeezed


def layers_of(stack: Stack) -> Iterator[Placed]:
    """All layers in order; a pool takes one index, a fire module one, a convolution two with its ReLU."""
    index, n = 0, N_RGB
    for number, stage in enumerate(stack.stages):
        index += stage.pooled
        for position, layer in enumerate(stage.layers):
            yield Placed(f"stage{number}_layer{position}", number, index, n, layer)
            index, n = index + (2 if isinstance(layer, Convolution) else 1), layer.n_out


def widths(stack: Stack) -> tuple[int, ...]:
    """Channels of every tap."""
    return tuple(stage.layers[-1].n_out for stage in stack.stages)


class Backbone(nnx.Module):
    """Normalised images to the features at the end of every stage."""

    def __init__(self, name: str, *, rngs: nnx.Rngs, dtype: str = "float32"):
        self.name = name
        placed = layers_of(STACKS[name])
        self.layers = nnx.Dict({each.name: _module(each, rngs, dtype) for each in placed})

    def __call__(self, x: Images) -> list[Maps]:
        stack, taps = STACKS[self.name], []
        if min(x.shape[1:3]) < stack.smallest:
            sides = " x ".join(str(n) for n in x.shape[1:3])
            raise ValueError(f"{self.name} cannot see images of {sides}: resize them to {stack.smallest} or more")
        for number, stage in enumerate(stack.stages):
            if stage.pooled:
                x = max_pool(x, stack.window, 2, ceil=stack.ceil)
            for position in range(len(stage.layers)):
                x = self.layers[f"stage{number}_layer{position}"](x)
            taps.append(x)
        return taps


def _module(placed: Placed, rngs: nnx.Rngs, dtype: str) -> nnx.Module:
    make = partial(Rectified, dtype=dtype, rngs=rngs)
    match placed.layer:
        case Convolution(n_out, size, stride, padding):
            return make(placed.n_in, n_out, size, stride=stride, padding=padding)
        case Squeezed(n):
            return Fire(placed.n_in, n, rngs=rngs, dtype=dtype)


class Rectified(Conv):
    """A convolution and a ReLU."""

    def __init__(self, *args, **options):
        super().__init__(*args, init=HE, **options)

    def __call__(self, x: Maps) -> Maps:
        return jax.nn.relu(super().__call__(x))


class Fire(nnx.Module):
    """SqueezeNet's module: [1x1 | 3x3] of a 1x1, all rectified."""

    def __init__(self, n_in: int, n: int, *, rngs: nnx.Rngs, dtype: str):
        make = partial(Rectified, rngs=rngs, dtype=dtype)
        self.squeeze, self.expand1x1, self.expand3x3 = make(n_in, n, 1), make(n, 4 * n, 1), make(n, 4 * n, 3)

    def __call__(self, x: Maps) -> Maps:
        x = self.squeeze(x)
        return jnp.concatenate([self.expand1x1(x), self.expand3x3(x)], -1)
