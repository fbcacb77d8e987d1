"""Attacks on randomized predictors."""

from ssni_jax.attacks.apgd import Apgd
from ssni_jax.attacks.apgd_l1 import ApgdL1
from ssni_jax.attacks.attack import Attack, Attacked
from ssni_jax.attacks.fab import Fab
from ssni_jax.attacks.losses import CrossEntropy, Dlr, Margin, TargetedDlr, TargetedLoss, TargetedMargin, TraceLoss
from ssni_jax.attacks.objective import Ascent, Evaluated, Objective, Sampled
from ssni_jax.attacks.pgd import Pgd
from ssni_jax.attacks.square import Square
from ssni_jax.attacks.targeted import Targeted, WithLoss
from ssni_jax.attacks.threats import L1, L2, Linf, Sign, Unit

__all__ = [
    "L1",
    "L2",
    "Apgd",
    "ApgdL1",
    "Ascent",
    "Attack",
    "Attacked",
    "CrossEntropy",
    "Dlr",
    "Evaluated",
    "Fab",
    "Linf",
    "Margin",
    "Objective",
    "Pgd",
    "Sampled",
    "Sign",
    "Square",
    "Targeted",
    "TargetedDlr",
    "TargetedLoss",
    "TargetedMargin",
    "TraceLoss",
    "Unit",
    "WithLoss",
]
