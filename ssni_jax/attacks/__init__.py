"""Attacks on randomized predictors."""

from ssni_jax.attacks.attack import Attack, Attacked
from ssni_jax.attacks.deviated import Deviated
from ssni_jax.attacks.diffhammer import DiffHammer, diffhammer_released
from ssni_jax.attacks.losses import CrossEntropy, Margin, TraceLoss
from ssni_jax.attacks.objective import Ascent, Objective, Sampled
from ssni_jax.attacks.pgd import Pgd
from ssni_jax.attacks.selector import Joint, LowerNorm, Phases, RaiseNorm
from ssni_jax.attacks.threats import L2, Linf, Sign, Unit

__all__ = [
    "L2",
    "Ascent",
    "Attack",
    "Attacked",
    "CrossEntropy",
    "Deviated",
    "DiffHammer",
    "Joint",
    "Linf",
    "LowerNorm",
    "Margin",
    "Objective",
    "Pgd",
    "Phases",
    "RaiseNorm",
    "Sampled",
    "Sign",
    "TraceLoss",
    "Unit",
    "diffhammer_released",
]
