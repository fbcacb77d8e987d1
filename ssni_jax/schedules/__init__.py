"""Noise schedules and time grids."""

from ssni_jax.schedules.grids import IntegerSteps, Karras, Strided, Uniform
from ssni_jax.schedules.ve import VE
from ssni_jax.schedules.vp import VP, DiscreteVP

__all__ = ["VE", "VP", "DiscreteVP", "IntegerSteps", "Karras", "Strided", "Uniform"]
