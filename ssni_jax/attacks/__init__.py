"""Attacks on randomized predictors."""

from ssni_jax.attacks.apgd import Apgd
from ssni_jax.attacks.apgd_l1 import ApgdL1
from ssni_jax.attacks.attack import Attack, Attacked
from ssni_jax.attacks.deviated import Deviated
from ssni_jax.attacks.diffhammer import DiffHammer, diffhammer_released
from ssni_jax.attacks.ensemble import Ensemble, autoattack
from ssni_jax.attacks.fab import Fab
from ssni_jax.attacks.filtered import Filtered
from ssni_jax.attacks.losses import CrossEntropy, Dlr, Margin, TargetedDlr, TargetedLoss, TargetedMargin, TraceLoss
from ssni_jax.attacks.objective import Answers, Ascent, Objective, Sampled
from ssni_jax.attacks.pgd import Pgd
from ssni_jax.attacks.selector import Joint, LowerNorm, Phases, RaiseNorm
from ssni_jax.attacks.spsa import Gaussian, Rademacher, Spsa
from ssni_jax.attacks.square import Square
from ssni_jax.attacks.stadv import StAdv
from ssni_jax.attacks.targeted import Targeted, WithLoss
from ssni_jax.attacks.threats import L1, L2, Linf, Sign, Unit

__all__ = [
    "L1",
    "L2",
    "Answers",
    "Apgd",
    "ApgdL1",
    "Ascent",
    "Attack",
    "Attacked",
    "CrossEntropy",
    "Deviated",
    "DiffHammer",
    "Dlr",
    "Ensemble",
    "Fab",
    "Filtered",
    "Gaussian",
    "Joint",
    "Linf",
    "LowerNorm",
    "Margin",
    "Objective",
    "Pgd",
    "Phases",
    "Rademacher",
    "RaiseNorm",
    "Sampled",
    "Sign",
    "Spsa",
    "Square",
    "StAdv",
    "Targeted",
    "TargetedDlr",
    "TargetedLoss",
    "TargetedMargin",
    "TraceLoss",
    "Unit",
    "WithLoss",
    "autoattack",
    "diffhammer_released",
]
