"""Noise schedules and time grids."""

from ssni_jax.schedules.clock import Clock
from ssni_jax.schedules.grids import IntegerSteps, Karras, Strided, Uniform
from ssni_jax.schedules.listed import Listed
from ssni_jax.schedules.respaced import Respaced
from ssni_jax.schedules.ve import VE
from ssni_jax.schedules.vp import VP, CosineVP, DiscreteVP

__all__ = [
    "VE",
    "VP",
    "Clock",
    "CosineVP",
    "DiscreteVP",
    "IntegerSteps",
    "Karras",
    "Listed",
    "Respaced",
    "Strided",
    "Uniform",
]
