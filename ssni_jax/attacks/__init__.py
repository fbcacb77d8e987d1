"""Attacks on randomized predictors."""

from ssni_jax.attacks.gradients import Eot, HeldEot
from ssni_jax.attacks.losses import CrossEntropy, Margin
from ssni_jax.attacks.pgd import Pgd
from ssni_jax.attacks.threats import L2, Linf, Sign, Unit

__all__ = ["L2", "CrossEntropy", "Eot", "HeldEot", "Linf", "Margin", "Pgd", "Sign", "Unit"]
