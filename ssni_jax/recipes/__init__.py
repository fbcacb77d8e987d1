"""The methods of the field as values: each is a short expression over one `Purifier`."""

from ssni_jax.recipes.densepure import densepure
from ssni_jax.recipes.diffap import diffap
from ssni_jax.recipes.diffpure import diffpure, diffpure_ddim, diffpure_ddpm, diffpure_ode, diffpure_sde, unpurified
from ssni_jax.recipes.diffsmooth import diffsmooth
from ssni_jax.recipes.divide_and_conquer import divide_and_conquer
from ssni_jax.recipes.freqpure import freqpure, freqpure_imagenet
from ssni_jax.recipes.from_noise import from_noise, mimicdiffusion
from ssni_jax.recipes.gdmp import gdmp, gdmp_cifar10_bpda, gdmp_imagenet
from ssni_jax.recipes.gns import gns
from ssni_jax.recipes.langevin import diffpure_ldsde
from ssni_jax.recipes.mani_pure import mani_pure
from ssni_jax.recipes.one_step import consistency, dds, edm_one_step, one_step, step_at_least
from ssni_jax.recipes.optimised import (
    likelihood_maximization,
    likelihood_maximization_by_steps,
    scoreopt_n,
    scoreopt_o,
)
from ssni_jax.recipes.pf_ode import pf_ode
from ssni_jax.recipes.released import (
    consistency_released,
    ddpm_released,
    diffpure_ode_released,
    diffpure_sde_released,
    gns_released,
    ssni_l_released,
    ssni_n_released,
)
from ssni_jax.recipes.ringed import ringed
from ssni_jax.recipes.ssni import ssni, ssni_l, ssni_n
from ssni_jax.recipes.ssni_levels import ssni_monotone, ssni_oracle, ssni_step
from ssni_jax.recipes.trained import adbm, flowpure

__all__ = [
    "adbm",
    "consistency",
    "consistency_released",
    "ddpm_released",
    "dds",
    "densepure",
    "diffap",
    "diffpure",
    "diffpure_ddim",
    "diffpure_ddpm",
    "diffpure_ldsde",
    "diffpure_ode",
    "diffpure_ode_released",
    "diffpure_sde",
    "diffpure_sde_released",
    "diffsmooth",
    "divide_and_conquer",
    "edm_one_step",
    "flowpure",
    "freqpure",
    "freqpure_imagenet",
    "from_noise",
    "gdmp",
    "gdmp_cifar10_bpda",
    "gdmp_imagenet",
    "gns",
    "gns_released",
    "likelihood_maximization",
    "likelihood_maximization_by_steps",
    "mani_pure",
    "mimicdiffusion",
    "one_step",
    "pf_ode",
    "ringed",
    "scoreopt_n",
    "scoreopt_o",
    "ssni",
    "ssni_l",
    "ssni_l_released",
    "ssni_monotone",
    "ssni_n",
    "ssni_n_released",
    "ssni_oracle",
    "ssni_step",
    "step_at_least",
    "unpurified",
]
