"""Solver steps, the differentiable solver, and the two that spare idle steps."""

from ssni_jax.core.save_at import NOTHING, SaveAt
from ssni_jax.solvers import buckets, ragged
from ssni_jax.solvers.around import Churned, Ringed
from ssni_jax.solvers.optimise import Around, Between, DenoisingError, NoiseError, Optimise
from ssni_jax.solvers.solve import diffuse, solve
from ssni_jax.solvers.steps import Ancestral, Drift, Euler, EulerMaruyama, Heun, RandomSampling, Renoise
from ssni_jax.solvers.variance import FixedLarge, FixedSmall, Learned
from ssni_jax.solvers.vp_steps import Shifted, VpEuler, VpEulerMaruyama

__all__ = [
    "NOTHING",
    "Ancestral",
    "Around",
    "Between",
    "Churned",
    "DenoisingError",
    "Drift",
    "Euler",
    "EulerMaruyama",
    "FixedLarge",
    "FixedSmall",
    "Heun",
    "Learned",
    "NoiseError",
    "Optimise",
    "RandomSampling",
    "Renoise",
    "Ringed",
    "SaveAt",
    "Shifted",
    "VpEuler",
    "VpEulerMaruyama",
    "buckets",
    "diffuse",
    "ragged",
    "solve",
]
