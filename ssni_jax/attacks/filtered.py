"""Adversarial filters: an image smoothed and moved where a perceptual distance does not notice it."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ssni_jax.attacks.attack import Attacked, begins_at_clean_images
from ssni_jax.attacks.best import Best, better, unbeaten
from ssni_jax.attacks.objective import Objective
from ssni_jax.core.adam import AdamMoments, adam_step, no_moments
from ssni_jax.core.arrays import over, row_norm, to_diffusion_range
from ssni_jax.core.bounds import bounded
from ssni_jax.core.protocols import Distance
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Images, Keys, Labels, Level, Tree

CIFAR_SIZES = (5, 7, 5, 3)
BELOW_ONE = 1 - 1e-6  # keeps atanh of black and white finite

Kernel = Float[Array, "B H W k k"]


class Parameters(NamedTuple):
    """Logits of one kernel per pixel and filter, and the change of the image in tanh space."""

    filters: tuple[Kernel, ...]
    modifier: Images


class FilteredState(NamedTuple):
    """The parameters, Adam's averages of their gradients, and the best valid image so far."""

    parameters: Parameters
    moments: AdamMoments
    best: Best
    n_queries: Int[Array, " B"]


@pytree
class Filtered:
    """Adam on learned filters and a modifier, inside a perceptual distance of the clean image.

    The low-frequency attack of Kassis et al. 2025 (arXiv:2411.16598), written from its description. The image, changed
    in tanh space, passes one smoothing filter per size in `sizes`; the weights of a filter at a pixel are a softmax of
    learned logits times exp(-d^2 / (2 colour_width^2)), d the colour distance of the two pixels in the clean image, so
    that edges survive. Minimised is `penalty` max(distance - bound, 0) - loss, with gradients clipped to norm 1 per
    row; `distance` compares images in [-1, 1], LPIPS in the paper.

    The threat is no norm ball: it is every image within `bound` of the clean one. Other iterates are discarded, and the
    result is the valid one with the highest mean loss, or the clean image where no iterate is valid. The logit of every
    kernel's centre begins at `focus`, of the others at zero: the larger, the closer the first image is to the clean
    one. Black and white pixels hardly move in tanh space, so that filters alone change them. The paper's penalty is 1e8
    for CIFAR-10 and 1e4 for ImageNet, its loss `Margin()`, set in the objective.
    """

    distance: Distance
    bound: float = bounded(default=0.05)
    sizes: tuple[int, ...] = static(default=CIFAR_SIZES)
    n_steps: int = static(default=100)
    filter_rate: float = bounded(0, above=True, default=0.05)
    modifier_rate: float = bounded(0, above=True, default=0.008)
    penalty: float = bounded(0, default=1e8)
    colour_width: float = bounded(default=0.05)
    focus: float = bounded(0, default=5.0)

    def __post_init__(self):
        if self.n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, got {self.n_steps}.")
        if not self.sizes or any(size < 1 or size % 2 == 0 for size in self.sizes):
            raise ValueError(f"sizes must be odd numbers of pixels, got {self.sizes}: use {CIFAR_SIZES}.")
        if self.bound < 0 or self.colour_width <= 0:
            raise ValueError(
                "bound must not be negative and colour_width must be above 0, "
                f"got {self.bound} and {self.colour_width}: use 0.05 for both."
            )

    @property
    def n_iterations(self) -> int:
        return self.n_steps

    def init(
        self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None
    ) -> FilteredState:
        begins_at_clean_images(self, start)
        zeros = [jnp.zeros((*x.shape[:3], size, size), x.dtype) for size in self.sizes]
        filters = tuple(
            logits.at[..., logits.shape[-1] // 2, logits.shape[-1] // 2].set(self.focus) for logits in zeros
        )
        parameters = Parameters(filters, jnp.zeros_like(x))
        return FilteredState(parameters, no_moments(parameters), unbeaten(x), jnp.zeros(len(x), jnp.int32))

    def update(
        self, keys: Keys, i: Any, objective: Objective, state: FilteredState, x: Images, y: Labels
    ) -> FilteredState:
        image, pull_back = jax.vjp(partial(rendered, x, self.colour_width), state.parameters)
        image = jnp.clip(image, 0.0, 1.0)  # filters leave [0, 1] by rounding alone
        ascent = objective.ascend(objective.draw_keys(keys, i), image, y)
        distance, away = self._distance(x, image)
        excess = jnp.where(distance > self.bound, self.penalty, 0.0)
        downhill = clipped(pull_back(over(excess, x) * away - ascent.gradient)[0])
        direction, moments = adam_step(state.moments, downhill, i)
        best = better(state.best, image, ascent.loss, ascent.wrong, valid=distance <= self.bound)
        return FilteredState(
            self._moved(state.parameters, direction), moments, best, state.n_queries + objective.n_draws
        )

    def result(self, state: FilteredState) -> Attacked:
        return Attacked(*state.best, state.n_queries)

    def _distance(self, x: Images, image: Images) -> tuple[Level, Images]:
        """Distance of the image from x, and its gradient at the image."""

        def total(image: Images) -> tuple[Array, Level]:
            distance = self.distance(to_diffusion_range(x), to_diffusion_range(image))
            return jnp.sum(distance), distance

        away, distance = jax.grad(total, has_aux=True)(image)
        return distance, away

    def _moved(self, parameters: Parameters, direction: Parameters) -> Parameters:
        filters = jax.tree.map(lambda p, d: p - self.filter_rate * d, parameters.filters, direction.filters)
        return Parameters(filters, parameters.modifier - self.modifier_rate * direction.modifier)


def rendered(x: Images, colour_width: float | Array, parameters: Parameters) -> Images:
    """The clean image x with the modifier, after all filters."""
    image = (jnp.tanh(jnp.arctanh(to_diffusion_range(x) * BELOW_ONE) + parameters.modifier) + 1) / 2
    for logits in parameters.filters:
        weights = kernel(x, logits, colour_width)
        image = jnp.sum(neighbours(image, weights.shape[-1]) * weights[..., None], axis=(3, 4))
    return image


def kernel(x: Images, logits: Kernel, colour_width: float | Array) -> Kernel:
    """softmax(logits) exp(-d^2 / (2 colour_width^2)), scaled to sum to one; d is the distance of colours in x."""
    colours = jnp.sum(jnp.square(neighbours(x, logits.shape[-1]) - x[:, :, :, None, None]), axis=-1)
    exponents = logits - colours / (2 * jnp.square(colour_width))
    return jax.nn.softmax(exponents, axis=(-2, -1))


def neighbours(x: Images, size: int) -> Float[Array, "B H W {size} {size} C"]:
    """The `size` x `size` pixels around every pixel, edges repeated."""
    offsets = jnp.arange(size) - size // 2
    rows, columns = (jnp.clip(jnp.arange(n)[:, None] + offsets, 0, n - 1) for n in x.shape[1:3])
    return jnp.moveaxis(x[:, rows][:, :, :, columns], 2, 3)


def clipped(gradient: Tree) -> Tree:
    """The gradient, scaled in every row whose norm over all leaves exceeds one."""
    norm = row_norm(jnp.stack([row_norm(leaf) for leaf in jax.tree.leaves(gradient)], axis=1))
    return jax.tree.map(lambda leaf: leaf / over(jnp.maximum(norm, 1.0), leaf), gradient)
