"""Consistency losses: two points of one trajectory have the same end (Song et al. 2023, arXiv:2303.01469)."""

from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ssni_jax.core.arrays import over, to_diffusion_range
from ssni_jax.core.bounds import bounded
from ssni_jax.core.protocols import Denoiser, Distance, Loss, Step
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold, normal_like
from ssni_jax.core.types import Images, Keys, Level, Tree
from ssni_jax.networks import ConsistencyCoefficients, Preconditioned
from ssni_jax.networks.distances import PseudoHuber, SquaredDifference
from ssni_jax.networks.precondition import CoefficientFunction
from ssni_jax.solvers import Heun
from ssni_jax.training.augment import Augment, augmented
from ssni_jax.training.losses import AUGMENT, DROPOUT, LEVEL, NOISE, LossValue, classes, drawn_levels
from ssni_jax.training.pairs import ConstantLevels, Curriculum, Doubling, Neighbours, Pairs, Ratios, Scalar, SquareRoot
from ssni_jax.training.pairs import Step as StepNumber

JCM = ConsistencyCoefficients(label_scale=0.25)  # the labels of the CIFAR-10 networks, and of EDM's


@runtime_checkable
class Move(Protocol):
    """From x = x0 + hi * noise to a point of noise `lo` on the same trajectory."""

    def __call__(self, x0: Images, noise: Images, hi: Level, lo: Level, **conditions: Array) -> Images: ...


@pytree
class AlongOde:
    """One solver step of a diffusion model's probability-flow ODE: distillation."""

    teacher: Denoiser
    solver: Step = Heun()

    def __call__(self, x0: Images, noise: Images, hi: Level, lo: Level, **conditions: Array) -> Images:
        unused = jax.vmap(jax.random.key)(jnp.zeros(hi.shape, jnp.uint32))  # steps of an ODE draw nothing
        told = partial(self.teacher, **conditions) if conditions else self.teacher
        return self.solver(unused, told, x0 + over(hi, x0) * noise, hi, lo)


@pytree
class SameNoise:
    """x0 + lo * noise, an unbiased estimate of the ODE's slope without a teacher: consistency training, theorem 2."""

    def __call__(self, x0: Images, noise: Images, hi: Level, lo: Level, **conditions: Array) -> Images:
        return x0 + over(lo, x0) * noise


@runtime_checkable
class Target(Protocol):
    """How much of itself the model that is compared with keeps in a step; None for the present model itself."""

    def __call__(self, step: StepNumber, n_steps: int) -> float | Scalar | None: ...


@pytree
class Present:
    """The present model, its gradient stopped (Song & Dhariwal 2023, section 3.2)."""

    def __call__(self, step: StepNumber, n_steps: int) -> None:
        return None


@pytree
class Average:
    """An exponential average of the model with a fixed decay; ImageNet-64's distillation has 0.95."""

    decay: float = bounded(0, 1, default=0.95)

    def __call__(self, step: StepNumber, n_steps: int) -> float | Scalar:
        return self.decay


@pytree
class WidenedAverage:
    """mu(k) = exp(s0 log mu0 / (N(k) - 1)): the more levels, the longer the average (Song et al. 2023, appendix C).

    The paper divides by N(k), its code by N(k) - 1, which is followed here.
    """

    curriculum: SquareRoot = SquareRoot()
    mu0: float = bounded(0, 1, above=True, below=True, default=0.9)

    def __call__(self, step: StepNumber, n_steps: int) -> Scalar:
        return jnp.exp(self.curriculum.s0 * jnp.log(self.mu0) / (self.curriculum(step, n_steps) - 1))


@pytree
class ConsistencyLoss:
    """weight(hi) d(f(x_hi, hi), f-(x_lo, lo)), where f- is the target with its gradient stopped, algorithms 2 and 3.

    Both calls have the same dropout. `coefficients` are those of the consistency function f, which is what is exported;
    at lo = 0 the target is the clean image. Class-conditional networks are told one of `n_classes`.
    """

    coefficients: CoefficientFunction = JCM
    pairs: Pairs = Neighbours()
    move: Move = SameNoise()
    distance: Distance = SquaredDifference()
    target: Target = Present()
    augment: tuple[Augment, ...] = static(default=())
    n_classes: int = static(default=0)

    def at(self, step: StepNumber, n_steps: int, target: Tree) -> Loss:
        """The loss at `step` of `n_steps`, compared with `target`."""
        return partial(self._loss, step, n_steps, target)

    def target_decay(self, step: StepNumber, n_steps: int) -> float | Scalar | None:
        """How much of itself the target keeps in this step."""
        return self.target(step, n_steps)

    def _loss(
        self, step: StepNumber, n_steps: int, target: Tree, model: Tree, keys: Keys, batch: dict[str, Array]
    ) -> LossValue:
        x0 = to_diffusion_range(augmented(self.augment, fold(keys, AUGMENT), batch["image"]))
        hi, lo, weight = self.pairs(fold(keys, LEVEL), step, n_steps)
        noise, told = normal_like(fold(keys, NOISE), x0), classes(self.n_classes, batch)
        conditions = {**told, "dropout_keys": fold(keys, DROPOUT)}
        end = Preconditioned(model, self.coefficients)(x0 + over(hi, x0) * noise, hi, **conditions)
        moved = jax.lax.stop_gradient(self.move(x0, noise, hi, lo, **told))
        same = Preconditioned(target, self.coefficients)(moved, lo, **conditions)
        return jnp.mean(weight * self.distance(end, jax.lax.stop_gradient(same))), {}


@pytree
class ConsistencyFineTuning:
    """d(f(x + 2 s n, 2 s), x) for certification noises s: Consistency Purification (arXiv:2407.00623, section 4.2).

    `sigmas` are those of images in [0, 1], one drawn a row; the paper's distance is LPIPS. The network is told exactly
    the noise there is; with `Snapped(coefficients)` the nearest of 18 levels, as released.
    """

    coefficients: CoefficientFunction = JCM
    distance: Distance = SquaredDifference()
    sigmas: tuple[float, ...] = (0.25, 0.5, 1.0)
    augment: tuple[Augment, ...] = static(default=())
    n_classes: int = static(default=0)

    def __call__(self, model: Tree, keys: Keys, batch: dict[str, Array]) -> LossValue:
        x0 = to_diffusion_range(augmented(self.augment, fold(keys, AUGMENT), batch["image"]))
        level = self.levels(fold(keys, LEVEL))
        x = x0 + over(level, x0) * normal_like(fold(keys, NOISE), x0)
        conditions = {**classes(self.n_classes, batch), "dropout_keys": fold(keys, DROPOUT)}
        purified = Preconditioned(model, self.coefficients)(x, level, **conditions)
        return jnp.mean(self.distance(purified, x0)), {}

    def levels(self, keys: Keys) -> Level:
        """Noise of each row's state, in the [-1, 1] range."""
        return 2 * drawn_levels(self.sigmas, keys)


def consistency_distillation(
    teacher: Denoiser,
    coefficients: CoefficientFunction = JCM,
    *,
    curriculum: Curriculum = ConstantLevels(18),
    **options: Any,
) -> ConsistencyLoss:
    """CD (Song et al. 2023, algorithm 2): Heun's steps of the teacher; as published with LPIPS, on CIFAR-10 18 levels.

    `options` here and below are further fields of ConsistencyLoss.
    """
    return ConsistencyLoss(coefficients, **{"pairs": Neighbours(curriculum), "move": AlongOde(teacher), **options})


def consistency_training(
    coefficients: CoefficientFunction = JCM, *, curriculum: SquareRoot = SquareRoot(), mu0: float = 0.9, **options: Any
) -> ConsistencyLoss:
    """CT (Song et al. 2023, algorithm 3, appendix C); as published with LPIPS."""
    pairs, target = Neighbours(curriculum), WidenedAverage(curriculum, mu0)
    return ConsistencyLoss(coefficients, **{"pairs": pairs, "target": target, **options})


def improved_consistency_training(
    coefficients: CoefficientFunction = JCM, *, curriculum: Doubling = Doubling(), **options: Any
) -> ConsistencyLoss:
    """iCT (Song & Dhariwal 2023, arXiv:2310.14189, table 1)."""
    pairs = Neighbours(curriculum, log_mean=-1.1, log_std=2.0, by_gap=True)
    return ConsistencyLoss(coefficients, **{"pairs": pairs, "distance": PseudoHuber(), **options})


def easy_consistency_tuning(
    coefficients: CoefficientFunction = JCM, *, pairs: Pairs = Ratios(), **options: Any
) -> ConsistencyLoss:
    """ECT (Geng et al. 2024, arXiv:2406.14548), from the weights of a diffusion model: the cheapest route.

    As published trained with `EdmCoefficients()` and used with `ConsistencyCoefficients(sigma_min=0.003)`.
    """
    return ConsistencyLoss(coefficients, **{"pairs": pairs, "distance": PseudoHuber(0.0), **options})
