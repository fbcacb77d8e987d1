"""What the tests share: denoisers with known answers, keys, images, and every recipe at toy size."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.core.arrays import over
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import sample_keys
from ssni_jax.purify import (
    Amplified,
    Annealed,
    Calibration,
    Chain,
    ClippedEstimate,
    Constant,
    EstimateTowards,
    Fading,
    Fixed,
    GivenNoise,
    LowFrequencies,
    ManiNoise,
    Masked,
    NegativeMse,
    Plain,
    Purifier,
    ReconstructionDistance,
    Round,
    ScoreNorm,
    Ssim,
    TowardsInput,
)
from ssni_jax.recipes import (
    consistency,
    dds,
    densepure,
    diffap,
    diffpure,
    diffpure_ddim,
    diffpure_ddpm,
    diffpure_ldsde,
    diffpure_ode,
    diffpure_ode_released,
    diffpure_sde,
    diffpure_sde_released,
    divide_and_conquer,
    edm_one_step,
    freqpure,
    from_noise,
    gdmp,
    gns,
    gns_released,
    likelihood_maximization,
    likelihood_maximization_by_steps,
    mani_pure,
    mimicdiffusion,
    pf_ode,
    ringed,
    scoreopt_n,
    ssni_l,
    ssni_monotone,
    ssni_n,
    unpurified,
)
from ssni_jax.schedules import VP, DiscreteVP, IntegerSteps, Karras, Respaced, Strided, Uniform
from ssni_jax.solvers import Ancestral, Euler, Heun, Renoise

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


@pytree
class Linear:
    """A classifier: logits from fixed directions, [pixels, classes]."""

    weight: np.ndarray

    def __call__(self, x):
        return x.reshape(x.shape[0], -1) @ self.weight


@pytree
class Bright:
    """A mask of the pixels above the threshold."""

    threshold: float = 0.5

    def __call__(self, x):
        return (x.mean(axis=3, keepdims=True) > self.threshold).astype(x.dtype)


def keys(n, seed=0):
    """One key a sample, ids 0 to n - 1."""
    return sample_keys(jax.random.key(seed), jnp.arange(n))


def images(n, seed=0, shape=SHAPE):
    """Uniform in [0, 1]."""
    return jnp.asarray(np.random.default_rng(seed).random((n, *shape)), jnp.float32)


def given_noise():
    """Standard normal noise for one image, from outside."""
    return jnp.asarray(np.random.default_rng(5).standard_normal(SHAPE), jnp.float32)


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
    deviation = ScoreNorm(two_modes(), VP(), N_LEVELS)
    norms = jax.jit(deviation)(keys(64, seed=9), 2 * images(64, seed=9) - 1)
    return Calibration.measured(deviation, np.asarray(norms).tolist(), data="kit", images="uniform pixels")


def bases():
    """Every fixed-level method by name, in a few steps; the grid of "integer_steps" repeats indices in its columns."""
    denoise = two_modes()
    gradual = tuple(
        Round(Constant(t), Strided(n, t), Ancestral(), repeats=r) for t, n, r in [(0.05, 2, 2), (0.1, 4, 1)]
    )
    noises = (Masked(Bright(), ManiNoise("edges")), Amplified(1.5, ManiNoise("filter")), GivenNoise(given_noise()))
    mse = Chain((ClippedEstimate(), TowardsInput(NegativeMse(), Annealed(0.2))))
    ssim = TowardsInput(Ssim(window=3), Fixed(5.0), Plain())
    return {
        "unpurified": unpurified(denoise),
        "diffpure_sde": diffpure_sde(denoise, n_steps=4),
        "diffpure_ode": diffpure_ode(denoise, n_steps=4),
        "diffpure_ddpm": diffpure_ddpm(denoise, n_steps=4),
        "diffpure_ddim": diffpure_ddim(denoise, n_steps=4),
        "diffpure_ldsde": diffpure_ldsde(denoise, n_steps=4),
        "heun": diffpure(denoise, Heun(), n_steps=4),
        "heun_karras": Purifier(denoise, VP(), (Round(Constant(0.1), Karras(4), Heun()),)),
        "one_step": Purifier(denoise, VP(), (Round(Constant(0.1), Uniform(1), Renoise()),)),
        "rounds": Purifier(denoise, VP(), gradual),
        "integer_steps": Purifier(denoise, DiscreteVP(), (Round(Constant(0.009), IntegerSteps(12), Ancestral()),)),
        "diffpure_sde_released": diffpure_sde_released(denoise, dt=0.025),
        "diffpure_ode_released": diffpure_ode_released(denoise, dt=0.025),
        "gns_released": gns_released(denoise, indices=((0, 4, 9), (0, 9, 19))),
        "gdmp": gdmp(denoise, guide=mse, t_star=0.05, n_steps=3, n_rounds=2),
        "gdmp_ssim": gdmp(denoise, guide=ssim, t_star=0.08, n_steps=2, n_rounds=1, schedule=Respaced(250)),
        "gns": gns(denoise, rounds=((8, 2), (20, 1)), stride=4),
        "dds": dds(denoise, sigma=0.15),
        "edm": edm_one_step(denoise, sigma=0.25),
        "consistency": consistency(denoise, sigma=0.25, n_steps=2),
        "pf_ode": pf_ode(denoise, sigma=0.15, n_steps=3),
        "densepure": densepure(denoise, sigma=0.15, n_steps=3),
        "freqpure": freqpure(denoise, rounds=((40, 2),), n_steps=2, guide=LowFrequencies(1.0, 1.0, 0.3)),
        "mani_pure": mani_pure(denoise, n_steps=2, guide=LowFrequencies(1.0, 1.0, 0.3)),
        "noises": Purifier(denoise, VP(), tuple(Round(Constant(0.1), Uniform(1), Euler(), noise=n) for n in noises)),
        "ringed": ringed(denoise, n_steps=4),
        "masked": divide_and_conquer(denoise, Bright(), n_steps=4),
        "from_noise": from_noise(denoise, mse, n_steps=4),
        "diffap": diffap(denoise, guide=EstimateTowards(NegativeMse(), Fading(2.0)), n_steps=3),
        "mimicdiffusion": mimicdiffusion(denoise, n_steps=3),
        "lm": likelihood_maximization(denoise, n_steps=3),
        "lm_by_steps": likelihood_maximization_by_steps(denoise, n_steps=4),
        "scoreopt_n": scoreopt_n(denoise, n_steps=3),
    }


def over_n(base):
    return ssni_n(base, calibration(), tau=float(np.std(calibration().norms)))


def over_l(base):
    return ssni_l(base, calibration())


@functools.cache
def reconstruction_norms():
    """Of clean images like those of the tests, and of others that deviate more and overlap with them."""
    deviation = ReconstructionDistance(two_modes(), VP())
    norms = np.asarray(jax.jit(deviation)(keys(64, seed=9), 2 * images(64, seed=9) - 1))
    about = {"data": "kit", "images": "uniform pixels"}
    return [Calibration.measured(deviation, (factor * norms).tolist(), **about) for factor in (1.0, 1.1)]


def over_monotone(base):
    return ssni_monotone(base, *reconstruction_norms(), deviation=ReconstructionDistance(two_modes(), VP()))


ADAPTIVE_BASES = ("diffpure_ddpm", "rounds", "integer_steps", "consistency", "gdmp_ssim", "ringed")


@functools.cache
def recipes():
    """Every fixed-level method, and both SSNI variants over a few that differ in grid, schedule, rounds and guide."""
    fixed = bases()
    over = {"ssni_n": over_n, "ssni_l": over_l}
    adaptive = {f"{name} {base}": wrap(fixed[base]) for name, wrap in over.items() for base in ADAPTIVE_BASES}
    adaptive |= {f"ssni_n {base}": over_n(fixed[base]) for base in ("scoreopt_n", "lm_by_steps")}
    return {**fixed, **adaptive, "ssni_monotone rounds": over_monotone(fixed["rounds"])}


@functools.cache
def differentiable_recipes():
    """The structures that differ for a gradient: kinds of step, grids, guides, and ways through t(x)."""
    fixed = (
        *("diffpure_sde", "heun_karras", "gdmp_ssim", "freqpure", "diffpure_ldsde", "noises", "ringed", "scoreopt_n"),
        *("mani_pure", "diffap"),
    )
    adaptive = {
        "soft ssni_n diffpure_ddpm": recipes()["ssni_n diffpure_ddpm"].soft(),
        "frozen ssni_n integer_steps": recipes()["ssni_n integer_steps"].soft().frozen(),
        "soft ssni_n lm": over_n(bases()["lm"]).soft(),
        "ssni_n lm_by_steps": recipes()["ssni_n lm_by_steps"],
        "straight-through ssni_n consistency": recipes()["ssni_n consistency"].straight_through(),
    }
    return {**{name: bases()[name] for name in fixed}, **adaptive}


@jax.jit
def run(purifier, keys, x):
    """`purifier.run`, compiled once for all tests that share a recipe and a batch size."""
    return purifier.run(keys, x)


@jax.jit
def called(value, *args):
    """`value(*args)` as one program: each operation by itself would be another one to compile."""
    return value(*args)
