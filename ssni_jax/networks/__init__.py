"""Networks, their preconditioning, and the value form in which they are passed around."""

from ssni_jax.networks.network import Network, abstract, flat, initial_state, make_network, n_params, unflat
from ssni_jax.networks.precondition import (
    Coefficients,
    EdmCoefficients,
    Preconditioned,
    VeCoefficients,
    VpCoefficients,
)
from ssni_jax.networks.song_unet import SongUNet, SongUNetConfig
from ssni_jax.networks.wide_resnet import WideResNet, WideResNetConfig

__all__ = [
    "Coefficients",
    "EdmCoefficients",
    "Network",
    "Preconditioned",
    "SongUNet",
    "SongUNetConfig",
    "VeCoefficients",
    "VpCoefficients",
    "WideResNet",
    "WideResNetConfig",
    "abstract",
    "flat",
    "initial_state",
    "make_network",
    "n_params",
    "unflat",
]
