"""Guides: denoiser to denoiser, pulled towards the image being purified."""

from ssni_jax.purify.guides.estimates import Chain, ClippedEstimate, Unguided
from ssni_jax.purify.guides.frequency import LowFrequencies
from ssni_jax.purify.guides.masks import Attention, GivenMask, OutsideKept
from ssni_jax.purify.guides.references import Estimated, Itself
from ssni_jax.purify.guides.similarity import NegativeMse, Ssim
from ssni_jax.purify.guides.tethered import Tethered
from ssni_jax.purify.guides.towards import Annealed, Fixed, Noised, Plain, TowardsInput

__all__ = [
    "Annealed",
    "Attention",
    "Chain",
    "ClippedEstimate",
    "Estimated",
    "Fixed",
    "GivenMask",
    "Itself",
    "LowFrequencies",
    "NegativeMse",
    "Noised",
    "OutsideKept",
    "Plain",
    "Ssim",
    "Tethered",
    "TowardsInput",
    "Unguided",
]
