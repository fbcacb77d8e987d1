"""What an attack raises and how it is measured: predictor, loss, draws, and how to differentiate."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ssni_jax.attacks.losses import CrossEntropy, TraceLoss
from ssni_jax.core.protocols import Differentiation, Trace
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold
from ssni_jax.core.types import Images, Keys, Labels, Level, Logits, Tree

Draws = Float[Array, "K B"]


class Answers(NamedTuple):
    """Loss, and whether the answer is wrong, of every draw and row; an invalid answer is not wrong."""

    loss: Draws
    wrong: Bool[Array, "K B"]

    def mean(self) -> tuple[Level, Level]:
        """Mean loss and the share of wrong draws, per row."""
        return jnp.mean(self.loss, axis=0), jnp.mean(self.wrong.astype(self.loss.dtype), axis=0)


class Sampled(NamedTuple):
    """Loss, gradient at x, and whether the answer is wrong, of every draw and row; an invalid answer is not wrong."""

    loss: Draws
    gradient: Float[Array, "K B H W C"]
    wrong: Bool[Array, "K B"]


class Ascent(NamedTuple):
    """The mean gradient over the draws, and their loss and share of wrong answers as the bookkeeping counts them."""

    loss: Level
    gradient: Images
    wrong: Level


@pytree
class Objective:
    """The mean loss of `n_draws` predictions (EOT, Athalye et al. 2018), and its gradients.

    `differentiate` turns the predictor into the one whose gradients are taken; None takes the predictor itself.
    `hold` measures the noise levels once at x and holds them over the draws, SSNI's published adaptive attack: the
    attacker sees t(x) but gets no gradient through it (arXiv:2506.06027, code). `n_together` draws share the memory of
    one call; None for all, "auto" for as many as an evaluation finds room for. `fixed_keys` gives every iteration the
    draws of the first, for an attacker who knows them. `n_before` iterations came before the first one, in an earlier
    phase of the attack. With bookkeeping="last" an attack that follows a gradient knows loss and answer of the last
    draw alone, as in AutoAttack (Croce & Hein 2020, code), instead of the mean over the draws.
    """

    predict: Any = None
    loss: TraceLoss = CrossEntropy()
    n_draws: int = static(default=1)
    differentiate: Differentiation | None = None
    hold: bool = static(default=False)
    n_together: int | Literal["auto"] | None = static(default=None)
    fixed_keys: bool = static(default=False)
    n_before: int = static(default=0)
    bookkeeping: Literal["mean", "last"] = static(default="mean")

    def __post_init__(self):
        if self.hold and getattr(self.loss, "of_levels", False):
            raise ValueError(f"{type(self.loss).__name__} has no gradient at levels that are held: set hold=False.")
        for name in ("n_draws", "n_together"):
            value = getattr(self, name)
            if value not in (None, "auto") and value < 1:
                raise ValueError(f"An objective averages at least one draw, got {name}={value}.")
        if self.bookkeeping not in ("mean", "last"):
            raise ValueError(f'bookkeeping must be "mean" or "last", got {self.bookkeeping!r}.')

    def of(self, predict: Any) -> "Objective":
        """This objective about the predictor whose gradients `differentiate` gives for `predict`."""
        return dataclasses.replace(self, predict=predict if self.differentiate is None else self.differentiate(predict))

    @property
    def gradient_name(self) -> str:
        """How gradients are taken, in words."""
        return "exact" if self.differentiate is None else self.differentiate.name

    def draw_keys(self, keys: Keys, i: Any) -> Keys:
        """The keys of iteration i, counted from 0, of an attack with these keys."""
        return fold(keys, 1 if self.fixed_keys else self.n_before + i + 1)

    def with_loss(self, loss: TraceLoss) -> "Objective":
        """This objective with another loss."""
        return dataclasses.replace(self, loss=loss)

    def after(self, n_iterations: int) -> "Objective":
        """This objective for a phase that begins after `n_iterations` others, with draws of its own."""
        return dataclasses.replace(self, n_before=self.n_before + n_iterations)

    def evaluate(self, keys: Keys, x: Images, y: Labels) -> Answers:
        """Loss and answer of every draw, without a gradient."""
        return self.over_draws(keys, x, lambda predict, keys: self._judged(predict, keys, x, y))

    def mean_scores(self, keys: Keys, x: Images) -> Logits:
        """The mean of the scores over the draws."""
        return jnp.mean(self.over_draws(keys, x, lambda predict, keys: predict.trace(keys, x).scores), axis=0)

    def sample(self, keys: Keys, x: Images, y: Labels) -> Sampled:
        """Loss, gradient and answer of every draw."""

        def one(predict: Any, keys: Keys) -> Sampled:
            def total(x: Images) -> tuple[Array, Answers]:
                evaluated = self._judged(predict, keys, x, y)
                return jnp.sum(evaluated.loss), evaluated

            gradient, evaluated = jax.grad(total, has_aux=True)(x)
            return Sampled(evaluated.loss, gradient, evaluated.wrong)

        return self.over_draws(keys, x, one)

    def ascend(self, keys: Keys, x: Images, y: Labels) -> Ascent:
        """Mean gradient, loss, and the share of draws whose answer is wrong."""
        drawn = self.sample(keys, x, y)
        counted = slice(-1, None) if self.bookkeeping == "last" else slice(None)
        loss, wrong = drawn.loss[counted], drawn.wrong[counted].astype(x.dtype)
        return Ascent(*(jnp.mean(v, axis=0) for v in (loss, drawn.gradient, wrong)))

    def gradient(self, keys: Keys, x: Images, y: Labels) -> Images:
        """The mean gradient over the draws."""
        return self.ascend(keys, x, y).gradient

    def judge(self, trace: Trace, y: Labels) -> Answers:
        """Loss and answer of one draw."""
        finite = jnp.all(jnp.isfinite(trace.logits), axis=1)
        return Answers(self.loss(trace, y), finite & (jnp.argmax(trace.logits, axis=1) != y))

    def drawn(self, keys: Keys, x: Images) -> tuple[Any, Keys]:
        """The predictor of all draws at x, and the keys whose fold with j is draw j; `hold` has measured the levels."""
        if not self.hold:
            return self.predict, keys
        return self.predict.hold(fold(keys, 0), x), fold(keys, 1)

    def over_draws(self, keys: Keys, x: Images, one: Callable[[Any, Keys], Tree]) -> Tree:
        """`one(predictor, keys of a draw)` of every draw at x, `n_together` at a time."""
        predict, keys = self.drawn(keys, x)
        draw = lambda j: one(predict, fold(keys, j))  # noqa: E731
        if self.n_together is None or isinstance(self.n_together, str):
            return jax.vmap(draw)(jnp.arange(self.n_draws))
        return jax.lax.map(draw, jnp.arange(self.n_draws), batch_size=min(self.n_together, self.n_draws))

    def _judged(self, predict: Any, keys: Keys, x: Images, y: Labels) -> Answers:
        return self.judge(predict.trace(keys, x, getattr(self.loss, "save", None)), y)
