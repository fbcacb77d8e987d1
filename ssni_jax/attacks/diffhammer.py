"""DiffHammer (Wang, Fu, Han & Xiang, NeurIPS 2024): raise the draws that fall together, with one back-propagation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ssni_jax.attacks.attack import Attacked
from ssni_jax.attacks.best import Best, stronger, unbeaten
from ssni_jax.attacks.objective import Draws, Objective
from ssni_jax.attacks.threats import Direction, Linf, Threat
from ssni_jax.core.bounds import as_pixels, bounded
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys, Labels, Level

SHARPNESS = 5.0  # of the sigmoid that decides which draws belong together

Gradients = Float[Array, "K B H W C"]


class HammerState(NamedTuple):
    """The iterate, its averaged gradient, and the strongest iterate so far."""

    x: Images
    gradient: Images
    best: Best
    n_queries: Int[Array, " B"]


class Hammered(NamedTuple):
    """The draws of one iterate: mean loss and wrong share, each draw's loss, and its gradient at the purified image."""

    loss: Level
    broken: Level
    losses: Draws
    gradients: Gradients


@pytree
class DiffHammer:
    """`n_steps` of size `step_size` along a gradient that is grafted onto one of the objective's `n_draws` draws.

    The draws of a randomized purifier divide into those that share a vulnerability and the rest, and a mean gradient
    serves neither. Every iteration purifies x `n_draws` times (the paper: 10) and takes the gradient of the loss at the
    purified images, as BPDA does. `n_em` steps of expectation maximisation weigh the draws, the weighted gradient is
    pulled back through the purification of the draw that fits best, and that gradient is averaged over the iterations.
    The result is the iterate with the largest share of wrong draws and, among those, the highest mean loss. The loss
    may look only at scores, because the purification is cut off for it.
    """

    threat: Threat = Linf()
    step_size: float = bounded(0, hint=as_pixels, default=0.007)
    n_steps: int = static(default=50)
    n_em: int = static(default=5)
    random_start: bool = static(default=True)

    def __post_init__(self):
        if self.n_steps < 1 or self.n_em < 1:
            raise ValueError(f"DiffHammer needs at least one step, got n_steps={self.n_steps}, n_em={self.n_em}.")

    @property
    def n_iterations(self) -> int:
        return self.n_steps

    def init(
        self, keys: Keys, objective: Objective, x: Images, y: Labels, *, start: Images | None = None
    ) -> HammerState:
        if getattr(objective.predict, "n_votes", 1) > 1:
            raise ValueError("DiffHammer weighs single purifications, got a vote: attack the predictor that votes.")
        drawn = self.threat.start(fold(keys, 0), x) if self.random_start else x
        begin = drawn if start is None else start
        return HammerState(begin, jnp.zeros_like(x), unbeaten(begin), jnp.zeros(len(x), jnp.int32))

    def update(self, keys: Keys, i: Any, objective: Objective, state: HammerState, x: Images, y: Labels) -> HammerState:
        keys = objective.draw_keys(keys, i)
        draws = purified(keys, objective, state.x, y)
        ascent = shared_gradient(draws.losses, draws.gradients, self.threat.direction, self.n_em)
        draw = best_draw(draws.losses, draws.gradients, self.threat)
        share = (jnp.asarray(i, x.dtype) + 1) ** -0.5
        gradient = share * grafted(keys, objective, state.x, draw, ascent) + (1 - share) * state.gradient
        moved = self.threat.project(state.x + self.step_size * self.threat.direction(gradient), x)
        n_queries = state.n_queries + objective.n_draws
        best = stronger(state.best, state.x, draws.loss, draws.broken)
        return HammerState(moved, gradient, best, n_queries)

    def result(self, state: HammerState) -> Attacked:
        return Attacked(*state.best, state.n_queries)


def diffhammer_released(threat: Threat = Linf(), step_size: float = 0.007, n_steps: int = 50) -> DiffHammer:
    """DiffHammer as its code runs: the loop of the E-step never assigns its result, so that it is one step of it."""
    return DiffHammer(threat, step_size, n_steps, n_em=1)


def purified(keys: Keys, objective: Objective, x: Images, y: Labels) -> Hammered:
    """Every draw at x: its loss, its answer, and the gradient of the classifier's loss at its purified image."""
    classifier = objective.predict.undefended()

    def one(predict: Any, keys: Keys) -> tuple[Any, Images]:
        trace = predict.trace(keys, x)
        gradient = jax.grad(lambda image: jnp.sum(objective.loss(classifier.trace(keys, image), y)))(trace.image)
        return objective.judge(trace, y), gradient

    evaluated, gradients = objective.over_draws(keys, x, one)
    loss, broken = evaluated.mean()
    return Hammered(loss, broken, evaluated.loss, gradients)


def shared_gradient(losses: Draws, gradients: Gradients, direction: Direction, n_em: int) -> Images:
    """E-step: w_i = sigmoid(5 (loss_i + <unit(r), g_i>)), r = sum_i w_i g_i / sum_i w_i, from g of the largest loss."""

    def weighted(_: Any, r: Images) -> Images:
        fits = jnp.einsum("bhwc,kbhwc->kb", direction(r), gradients)
        weight = jax.nn.softmax(jax.nn.log_sigmoid(SHARPNESS * (losses + fits)), axis=0)  # w / sum w without underflow
        return jnp.einsum("kb,kbhwc->bhwc", weight, gradients)

    return jax.lax.fori_loop(0, n_em, weighted, chosen(gradients, jnp.argmax(losses, axis=0)))


def best_draw(losses: Draws, gradients: Gradients, threat: Threat) -> Int[Array, " B"]:
    """argmax_j sum_i elu(loss_i + eps <unit(g_j), g_i>): the draw along whose gradient most draws would fall."""
    units = jax.vmap(threat.direction)(gradients)
    fits = jnp.einsum("jbhwc,kbhwc->jkb", units, gradients)
    return jnp.argmax(jnp.sum(jax.nn.elu(losses + threat.eps * fits), axis=1), axis=0)


def grafted(keys: Keys, objective: Objective, x: Images, draw: Int[Array, " B"], cotangent: Images) -> Images:
    """The cotangent of the purified image, pulled back to x through the purification of one draw per row."""
    predict, keys = objective.drawn(keys, x)
    return jax.vjp(lambda x: predict.trace(fold(keys, draw), x).image, x)[1](cotangent)[0]


def chosen(gradients: Gradients, draw: Int[Array, " B"]) -> Images:
    """The gradient of one draw per row."""
    return gradients[draw, jnp.arange(len(draw))]
