"""Optimisers as values, so that they read from a config and print into a record."""

import dataclasses
import math
import re
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax

from ssni_jax.core.types import Tree


@runtime_checkable
class Optimizer(Protocol):
    """What turns gradients into updates, in a run of known length."""

    def transform(self, n_steps: int) -> optax.GradientTransformation: ...


@dataclasses.dataclass(frozen=True)
class Adam:
    """Adam (Kingma & Ba 2015; decoupled weight decay, Loshchilov & Hutter 2019) with warm-up, cosine decay, clipping.

    `warmup` counts steps, `decay_to` is the last learning rate as a share of the first (1 keeps it constant),
    `weight_decay` spares vectors (biases, norms), and `clip` bounds the global gradient norm, 0 for no bound.
    """

    learning_rate: float = 1e-3
    warmup: int = 0
    decay_to: float = 1.0
    weight_decay: float = 0.0
    clip: float = 1.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self):
        _check(self)

    def rate(self, n_steps: int) -> optax.Schedule:
        """Learning rate at each step of a run of `n_steps`."""
        return _rate(self, n_steps)

    def transform(self, n_steps: int) -> optax.GradientTransformation:
        """The optax transformation for a run of `n_steps`."""
        return _around(self, optax.scale_by_adam(self.b1, self.b2, self.eps), n_steps)


@dataclasses.dataclass(frozen=True)
class RAdam:
    """Rectified Adam (Liu et al. 2020, arXiv:1908.03265, algorithm 2), which needs no warm-up; fields as of `Adam`.

    Rectified from rho >= 5 on, as in the authors' code; before that it is momentum alone. The defaults are those of
    consistency models on CIFAR-10 (Song et al. 2023, arXiv:2303.01469): a constant rate, no weight decay, no clipping.
    """

    learning_rate: float = 4e-4
    warmup: int = 0
    decay_to: float = 1.0
    weight_decay: float = 0.0
    clip: float = 0.0
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self):
        _check(self)

    def rate(self, n_steps: int) -> optax.Schedule:
        """Learning rate at each step of a run of `n_steps`."""
        return _rate(self, n_steps)

    def transform(self, n_steps: int) -> optax.GradientTransformation:
        """The optax transformation for a run of `n_steps`."""
        return _around(self, optax.scale_by_radam(self.b1, self.b2, self.eps), n_steps)


@dataclasses.dataclass(frozen=True)
class LayerwiseDecay:
    """Another optimiser whose learning rate falls by `decay` per block of a transformer, from its head to its input.

    Of n blocks, number i learns at decay^(n - i) of the rate, patches, class token and positions at decay^(n + 1), and
    all else at the whole rate (Bao et al. 2022, arXiv:2106.08254).
    """

    optimizer: Adam
    decay: float = 0.75

    def __post_init__(self):
        if not 0 < self.decay <= 1:
            raise ValueError(
                f"decay={self.decay} is a share of the rate of the next block; choose it above 0, up to 1."
            )

    def transform(self, n_steps: int) -> optax.GradientTransformation:
        """The optax transformation for a run of `n_steps`."""
        return optax.chain(self.optimizer.transform(n_steps), optax.stateless(self._scaled))

    def _scaled(self, updates: Tree, params: Tree) -> Tree:
        depth = 1 + max((block for path, _ in jax.tree.leaves_with_path(updates) if (block := _block(path)) >= 0))
        return jax.tree.map_with_path(lambda path, v: v * self.decay ** _below(path, depth), updates)


def _block(path: tuple[Any, ...]) -> int:
    """The number of the block that holds a parameter, -1 outside of blocks."""
    names = [str(getattr(entry, "key", "")) for entry in path]
    numbers = [int(name.removeprefix("block")) for name in names if re.fullmatch(r"block\d+", name)]
    return numbers[0] if numbers else -1


def _below(path: tuple[Any, ...], depth: int) -> int:
    """How many blocks a parameter lies below the head, of `depth`."""
    if _block(path) >= 0:
        return depth - _block(path)
    return depth + 1 if str(getattr(path[0], "key", "")) in ("embed", "cls", "dist", "positions") else 0


def _around(value: Adam | RAdam, scale: optax.GradientTransformation, n_steps: int) -> optax.GradientTransformation:
    """Clipping, then `scale`, then decoupled weight decay, all times the learning rate."""
    decay = optax.add_decayed_weights(value.weight_decay, mask=_matrices)
    return optax.chain(
        optax.clip_by_global_norm(value.clip) if value.clip else optax.identity(),
        scale,
        decay if value.weight_decay else optax.identity(),
        optax.scale_by_learning_rate(_rate(value, n_steps)),
    )


def _rate(value: Adam | RAdam, n_steps: int) -> optax.Schedule:
    cosine = optax.cosine_decay_schedule(value.learning_rate, max(1, n_steps - value.warmup), value.decay_to)
    rise = optax.linear_schedule(value.learning_rate / (value.warmup + 1), value.learning_rate, value.warmup)
    return optax.join_schedules([rise, cosine], [value.warmup]) if value.warmup else cosine


def _check(value: Adam | RAdam) -> None:
    for name in ("learning_rate", "weight_decay", "clip"):
        if not math.isfinite(getattr(value, name)):
            raise ValueError(f"{name} must be a finite number, got {getattr(value, name)}.")
    if value.learning_rate <= 0 or value.warmup < 0 or value.weight_decay < 0 or value.clip < 0:
        raise ValueError(f"{value} needs learning_rate > 0 and warmup, weight_decay and clip >= 0.")
    if not 0 <= value.decay_to <= 1:
        raise ValueError(f"decay_to={value.decay_to} is a share of the learning rate; choose it between 0 and 1.")
    if not (0 <= value.b1 < 1 and 0 <= value.b2 < 1 and value.eps > 0):
        raise ValueError(f"b1={value.b1} and b2={value.b2} lie in [0, 1), and eps={value.eps} above 0.")


def _matrices(params: Tree) -> Tree:
    return jax.tree.map(lambda leaf: jnp.ndim(leaf) > 1, params)
