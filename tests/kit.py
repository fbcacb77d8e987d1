"""What the tests share: denoisers with known answers, keys, images, and every recipe at toy size."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.core.arrays import over
from ssni_jax.core.fingerprint import fingerprint
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import sample_keys
from ssni_jax.purify import Calibration, Constant, Frozen, Purifier, Round, ScoreNorm
from ssni_jax.recipes import (
    diffpure,
    diffpure_ddim,
    diffpure_ddpm,
    diffpure_ode,
    diffpure_sde,
    soft,
    ssni_l,
    ssni_n,
    unpurified,
)
from ssni_jax.schedules import VP, DiscreteVP, IntegerSteps, Karras, Strided, Uniform
from ssni_jax.solvers import Ancestral, Heun, Renoise

SHAPE = (4, 3, 1)
N_LEVELS = 3


@pytree
class Gaussian:
    """The exact denoiser of pixels drawn from N(0, std^2): std^2 / (std^2 + sigma^2) x."""

    std: float = 0.5

    def __call__(self, x, sigma):
        variance = jnp.square(self.std)
        return variance / (variance + jnp.square(over(sigma, x))) * x


@pytree
class TwoModes:
    """The exact denoiser of half N(mode, std^2), half N(-mode, std^2): nonlinear, and every pixel sees the others."""

    mode: jax.Array
    std: float = 0.3

    def __call__(self, x, sigma):
        total = jnp.square(self.std) + jnp.square(sigma)
        side = jnp.tanh(jnp.sum(self.mode * x, axis=(1, 2, 3)) / total)
        return (jnp.square(self.std) * x + over(jnp.square(sigma) * side, x) * self.mode) / over(total, x)


@pytree
class ShowsSigma:
    """A spy: its estimate is the noise level it was told, in every pixel, whatever the image."""

    def __call__(self, x, sigma):
        return jnp.broadcast_to(over(sigma, x), x.shape)


@pytree
class NeedsNoise:
    """A Gaussian denoiser that answers NaN to a noise level of zero or less."""

    def __call__(self, x, sigma):
        return jnp.where(over(sigma, x) > 0, Gaussian()(x, sigma), jnp.nan)


def keys(n, seed=0):
    """One key a sample, ids 0 to n - 1."""
    return sample_keys(jax.random.key(seed), jnp.arange(n))


def images(n, seed=0, shape=SHAPE):
    """Uniform in [0, 1]."""
    return jnp.asarray(np.random.default_rng(seed).random((n, *shape)), jnp.float32)


def with_leaves(tree, **changes):
    """The tree with every leaf of a changed field's name replaced by `change(leaf)`."""

    def changed(path, leaf):
        return changes.get(getattr(path[-1], "name", ""), lambda leaf: leaf)(leaf)

    return jax.tree_util.tree_map_with_path(changed, tree)


def at_zero(purifier):
    """The purifier with every noise level turned down to t = 0."""
    return with_leaves(purifier, t_star=lambda _: 0.0, bias=lambda _: 0.0)


def two_modes():
    return TwoModes(jnp.linspace(-0.6, 0.8, int(np.prod(SHAPE))).reshape(SHAPE))


@functools.cache
def calibration():
    """Norms of images like those of the tests, so that their t(x) spreads over the whole range."""
    norms = jax.jit(ScoreNorm(two_modes(), VP(), N_LEVELS))(keys(64, seed=9), 2 * images(64, seed=9) - 1)
    return Calibration(tuple(np.asarray(norms).tolist()), fingerprint(two_modes()), "kit", "uniform pixels", N_LEVELS)


def bases():
    """Every fixed-level method by name, in a few steps; the last one's grid repeats indices inside its columns."""
    denoise = two_modes()
    gradual = tuple(
        Round(Constant(t), Strided(n, t), Ancestral(), repeats=r) for t, n, r in [(0.05, 2, 2), (0.1, 4, 1)]
    )
    return {
        "unpurified": unpurified(denoise),
        "diffpure_sde": diffpure_sde(denoise, n_steps=4),
        "diffpure_ode": diffpure_ode(denoise, n_steps=4),
        "diffpure_ddpm": diffpure_ddpm(denoise, n_steps=4),
        "diffpure_ddim": diffpure_ddim(denoise, n_steps=4),
        "heun": diffpure(denoise, Heun(), n_steps=4),
        "heun_karras": Purifier(denoise, VP(), (Round(Constant(0.1), Karras(4, schedule=VP()), Heun()),)),
        "one_step": Purifier(denoise, VP(), (Round(Constant(0.1), Uniform(1), Renoise()),)),
        "rounds": Purifier(denoise, VP(), gradual),
        "integer_steps": Purifier(denoise, DiscreteVP(), (Round(Constant(0.009), IntegerSteps(12), Ancestral()),)),
    }


def over_n(base):
    return ssni_n(base, calibration(), tau=float(np.std(calibration().norms)))


def over_l(base):
    return ssni_l(base, calibration())


def frozen(purifier):
    """The purifier whose t(x) has no gradient."""
    rounds = tuple(dataclasses.replace(each, level=Frozen(each.level)) for each in purifier.rounds)
    return dataclasses.replace(purifier, rounds=rounds)


@functools.cache
def recipes():
    """Fixed-level methods and both SSNI variants of each, as published (t rounded)."""
    over = {"": lambda base: base, "ssni_n ": over_n, "ssni_l ": over_l}
    return {prefix + name: wrap(base) for prefix, wrap in over.items() for name, base in bases().items()}


@functools.cache
def differentiable_recipes():
    """Fixed-level methods, and SSNI with a gradient through t(x) and with that gradient stopped."""
    fixed = {name: recipe for name, recipe in recipes().items() if not name.startswith("ssni")}
    softened = {f"soft {name}": soft(recipe) for name, recipe in recipes().items() if name.startswith("ssni")}
    stopped = {f"frozen {name}": frozen(soft(recipes()[name])) for name in recipes() if name.startswith("ssni_n")}
    return {**fixed, **softened, **stopped}


@jax.jit
def run(purifier, keys, x):
    """`purifier.run`, compiled once for all tests that share a recipe and a batch size."""
    return purifier.run(keys, x)
