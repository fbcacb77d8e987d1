"""Purifiers: noise levels, deviations, guides and their one composition."""

from ssni_jax.purify.calibration import Calibration
from ssni_jax.purify.deviation import Held, NoDeviation, ScoreNorm, SingleScoreNorm
from ssni_jax.purify.guides import Unguided
from ssni_jax.purify.levels import Constant, Frozen, Rounded, SsniLinear, SsniSigmoid
from ssni_jax.purify.purifier import Defense, Purifier, Round
from ssni_jax.purify.walks import Ragged, Scan

__all__ = [
    "Calibration",
    "Constant",
    "Defense",
    "Frozen",
    "Held",
    "NoDeviation",
    "Purifier",
    "Ragged",
    "Round",
    "Rounded",
    "Scan",
    "ScoreNorm",
    "SingleScoreNorm",
    "SsniLinear",
    "SsniSigmoid",
    "Unguided",
]
