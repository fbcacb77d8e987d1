"""Noise schedules and time grids."""

from ssni_jax.schedules.clock import Clock
from ssni_jax.schedules.grids import EqualNoise, Karras, Listed, Strided, Thinned, Uniform
from ssni_jax.schedules.integer_grids import Float32Steps, IntegerSteps
from ssni_jax.schedules.respaced import Respaced
from ssni_jax.schedules.ve import VE
from ssni_jax.schedules.vp import VP, CosineVP, DiscreteVP

__all__ = [
    "VE",
    "VP",
    "Clock",
    "CosineVP",
    "DiscreteVP",
    "EqualNoise",
    "Float32Steps",
    "IntegerSteps",
    "Karras",
    "Listed",
    "Respaced",
    "Strided",
    "Thinned",
    "Uniform",
]
