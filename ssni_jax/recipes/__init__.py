"""The methods of the field as values: each is a short expression over one `Purifier`."""

from ssni_jax.recipes.diffpure import diffpure, diffpure_ddim, diffpure_ddpm, diffpure_ode, diffpure_sde, unpurified
from ssni_jax.recipes.ssni import soft, ssni, ssni_l, ssni_n

__all__ = [
    "diffpure",
    "diffpure_ddim",
    "diffpure_ddpm",
    "diffpure_ode",
    "diffpure_sde",
    "soft",
    "ssni",
    "ssni_l",
    "ssni_n",
    "unpurified",
]
