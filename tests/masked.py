"""Defences that mask their gradients, each in its own way, around a toy that does not."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from ssni_jax.core.pytree import pytree
from ssni_jax.purify import Annealed, Chain, ClippedEstimate, Defense, NegativeMse, TowardsInput
from ssni_jax.purify.predictors import Predictor
from ssni_jax.recipes import gdmp
from tests.configs.toy import Shrink, classify, purifier


@pytree
class Quantised(Predictor):
    """A predictor of images rounded to a few values, which have gradient zero."""

    predict: Any
    n_values: int = 16

    def trace(self, keys, x, save=None):
        return self.predict.trace(keys, self.rounded(x))

    def hold(self, keys, x):
        return Quantised(self.predict.hold(keys, self.rounded(x)), self.n_values)

    def measure(self, keys, x):
        return self.predict.measure(keys, self.rounded(x))

    def trace_at(self, keys, x, measured, save=None):
        return self.predict.trace_at(keys, self.rounded(x), measured)

    @property
    def purifiers(self):
        return self.predict.purifiers

    def map_purify(self, change):
        return Quantised(self.predict.map_purify(change), self.n_values)

    def undefended(self):
        return self.predict.undefended()

    def rounded(self, x):
        return jnp.round(x * (self.n_values - 1)) / (self.n_values - 1)


@pytree
class Exploding:
    """A classifier whose logits are so large that the softmax of a right answer is exactly one."""

    classify: Any
    factor: float = 1e5

    def __call__(self, x):
        return self.factor * self.classify(x)


@pytree
class CutGuidance:
    """The same guidance as a constant."""

    guide: Any

    def __call__(self, denoise, keys, reference):
        guided = self.guide(denoise, keys, reference)
        return lambda x, sigma: denoise(x, sigma) + jax.lax.stop_gradient(guided(x, sigma) - denoise(x, sigma))


def with_guide(purify, change):
    """The purifier with the guide of every round changed."""
    rounds = tuple(dataclasses.replace(round, guide=change(round.guide)) for round in purify.rounds)
    return dataclasses.replace(purify, rounds=rounds)


@pytree
class DetachedPurifier:
    """A purifier behind a stop_gradient."""

    purify: Any

    def run(self, keys, x, save=None):
        return jax.lax.stop_gradient(self.purify.run(keys, x))

    def run_at(self, keys, x, deviation, times, save=None):
        return jax.lax.stop_gradient(self.purify.run_at(keys, x, deviation, times))

    def __getattr__(self, name):
        if name.startswith("__") or name == "purify":
            raise AttributeError(name)
        inner = getattr(self.purify, name)
        return inner if name in ("rounds", "measure", "times", "deviation") else wrapped(inner)


def wrapped(method):
    """The transformation of a purifier, with its result detached as well."""
    return lambda *args, **kwargs: DetachedPurifier(method(*args, **kwargs))


guided = gdmp(
    Shrink(), guide=Chain((ClippedEstimate(), TowardsInput(NegativeMse(), Annealed(12.0, 0.15)))), t_star=0.05,
    n_steps=4, n_rounds=2,
)  # fmt: skip
HONEST = {"SSNI": Defense(purifier, classify), "guided": Defense(guided, classify)}
MASKED = {
    "quantised input": Quantised(HONEST["SSNI"]),
    "exploding logits": Defense(purifier, Exploding(classify)),
    "detached purifier": Defense(DetachedPurifier(purifier), classify),
    "cut guidance": Defense(with_guide(guided, CutGuidance), classify),
}
