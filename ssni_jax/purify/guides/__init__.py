"""Guides: denoiser to denoiser, pulled towards the image being purified."""

from ssni_jax.purify.guides.estimates import Chain, ClippedEstimate, Unguided
from ssni_jax.purify.guides.frequency import LowFrequencies
from ssni_jax.purify.guides.masks import Attention, GivenMask, OutsideKept
from ssni_jax.purify.guides.references import Estimated, Itself
from ssni_jax.purify.guides.similarity import NegativeL1, NegativeMse, Ssim
from ssni_jax.purify.guides.tethered import Tethered
from ssni_jax.purify.guides.towards import Annealed, EstimateTowards, Fading, Fixed, Noised, Plain, TowardsInput

__all__ = [
    "Annealed",
    "Attention",
    "Chain",
    "ClippedEstimate",
    "EstimateTowards",
    "Estimated",
    "Fading",
    "Fixed",
    "GivenMask",
    "Itself",
    "LowFrequencies",
    "NegativeL1",
    "NegativeMse",
    "Noised",
    "OutsideKept",
    "Plain",
    "Ssim",
    "Tethered",
    "TowardsInput",
    "Unguided",
]
