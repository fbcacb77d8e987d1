"""Solver steps, the differentiable solver, and the two that spare idle steps."""

from ssni_jax.core.save_at import NOTHING, SaveAt
from ssni_jax.solvers import buckets, ragged
from ssni_jax.solvers.around import Churned, Ringed
from ssni_jax.solvers.solve import diffuse, solve
from ssni_jax.solvers.steps import Ancestral, Drift, Euler, EulerMaruyama, Heun, Renoise
from ssni_jax.solvers.variance import FixedLarge, FixedSmall, Learned
from ssni_jax.solvers.vp_steps import Shifted, VpEuler, VpEulerMaruyama

__all__ = [
    "NOTHING",
    "Ancestral",
    "Churned",
    "Drift",
    "Euler",
    "EulerMaruyama",
    "FixedLarge",
    "FixedSmall",
    "Heun",
    "Learned",
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
