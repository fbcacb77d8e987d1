"""Spatially transformed adversarial examples (Xiao et al. 2018, arXiv:1801.02612): pixels move, colours stay."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float, Int

from ssni_jax.attacks.attack import Attacked, begins_at_clean_images
from ssni_jax.attacks.best import Best, better, unbeaten
from ssni_jax.attacks.objective import Objective
from ssni_jax.core.adam import AdamMoments, adam_step, no_moments
from ssni_jax.core.arrays import safe_sqrt
from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Images, Keys, Labels, Level

Flow = Float[Array, "B H W 2"]


class StAdvState(NamedTuple):
    """The flow, Adam's averages of it, and the best image so far."""

    flow: Flow
    moments: AdamMoments
    best: Best
    n_queries: Int[Array, " B"]


@pytree
class StAdv:
    """Adam on a flow field that says, for every pixel, where in the clean image its colour comes from.

    The threat is no norm ball: every coordinate of the flow is at most `bound`, in half sides of the image, so that
    0.05 moves a pixel of a 32 x 32 image by up to 0.8 pixels; the change of a pixel's value has no bound of its own.
    `learning_rate` has the same unit. `tau` weighs the roughness of the flow (eq. 4) against the loss, 0.05 in the
    paper; 0 leaves the bound alone. The paper's loss is `Margin()`, set in the objective. The result is the evaluated
    image with the highest mean loss.
    """

    bound: float = bounded(default=0.05)
    learning_rate: float = bounded(0, above=True, default=0.01)
    n_steps: int = static(default=100)
    tau: float = bounded(default=0.0)

    def __post_init__(self):
        if self.n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, got {self.n_steps}.")
        if not 0 <= self.bound <= 2:
            raise ValueError(f"bound must lie between 0 and 2 half sides of the image, got {self.bound}: use 0.05.")
        if self.tau < 0:
            raise ValueError(f"tau, the weight of the flow's roughness, must not be negative, got {self.tau}: use 0.")

    @property
    def n_iterations(self) -> int:
        return self.n_steps

    def init(
        self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None
    ) -> StAdvState:
        begins_at_clean_images(self, start)
        flow = jnp.zeros((*x.shape[:3], 2), x.dtype)
        return StAdvState(flow, no_moments(flow), unbeaten(x), jnp.zeros(len(x), jnp.int32))

    def update(self, keys: Keys, i: Any, objective: Objective, state: StAdvState, x: Images, y: Labels) -> StAdvState:
        image, pull_back = jax.vjp(partial(transformed, x), state.flow)
        image = jnp.clip(image, 0.0, 1.0)  # interpolation leaves [0, 1] by rounding alone
        ascent = objective.ascend(objective.draw_keys(keys, i), image, y)
        downhill = (
            self.tau * jax.grad(lambda flow: jnp.sum(roughness(flow)))(state.flow) - pull_back(ascent.gradient)[0]
        )
        direction, moments = adam_step(state.moments, downhill, i)
        flow = jnp.clip(state.flow - self.learning_rate * direction, -self.bound, self.bound)
        best = better(state.best, image, ascent.loss, ascent.wrong)
        return StAdvState(flow, moments, best, state.n_queries + objective.n_draws)

    def result(self, state: StAdvState) -> Attacked:
        return Attacked(*state.best, state.n_queries)


def transformed(x: Images, flow: Flow) -> Images:
    """Every pixel interpolated bilinearly at its own place plus the flow (vertical, horizontal), edges repeated."""
    height, width = x.shape[1:3]
    place = jnp.stack(jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij"), axis=-1)
    places = place + flow * jnp.asarray([height / 2, width / 2])

    def channel(plane: Float[Array, "H W"], places: Float[Array, "H W 2"]) -> Float[Array, "H W"]:
        return map_coordinates(plane, [places[..., 0], places[..., 1]], order=1, mode="nearest")

    return jax.vmap(jax.vmap(channel, (2, None), 2))(x, places)


def roughness(flow: Flow) -> Level:
    """Sum over neighbouring pixels of the length of the difference of their flows (eq. 4), each pair counted once."""
    down, right = flow[:, 1:] - flow[:, :-1], flow[:, :, 1:] - flow[:, :, :-1]
    lengths = (safe_sqrt(jnp.sum(jnp.square(step), axis=-1)) for step in (down, right))
    return sum((jnp.sum(length, axis=(1, 2)) for length in lengths), start=jnp.zeros(len(flow)))
