"""Noise schedules and time grids."""

from ssni_jax.schedules.grids import IntegerSteps, Karras, Strided, Uniform
from ssni_jax.schedules.ve import VE
from ssni_jax.schedules.vp import VP, CosineVP, DiscreteVP

__all__ = ["VE", "VP", "CosineVP", "DiscreteVP", "IntegerSteps", "Karras", "Strided", "Uniform"]
