"""Networks, their preconditioning, and the value form in which they are passed around."""

from ssni_jax.networks.adm_unet import AdmUNet, AdmUNetConfig
from ssni_jax.networks.classifier import NoiseConditionedClassifier, PreprocessedClassifier, Preprocessing
from ssni_jax.networks.distances import AbsoluteDifference, FeatureDistance, Perceptual, PseudoHuber, SquaredDifference
from ssni_jax.networks.inception import Inception, InceptionConfig
from ssni_jax.networks.lpips import Lpips, LpipsConfig
from ssni_jax.networks.network import Network, abstract, flat, initial_state, make_network, make_rngs, n_params, unflat
from ssni_jax.networks.noise_vit import NoiseVit, NoiseVitConfig
from ssni_jax.networks.precondition import (
    Clipped,
    Coefficients,
    Conditioned,
    ConsistencyCoefficients,
    EdmCoefficients,
    FlowCoefficients,
    IddpmCoefficients,
    Preconditioned,
    Snapped,
    SnappedDenoiser,
    VeCoefficients,
    VpCoefficients,
)
from ssni_jax.networks.resnet import ResNet, ResNetConfig
from ssni_jax.networks.song_unet import SongUNet, SongUNetConfig
from ssni_jax.networks.squeezenet import SqueezeNet, SqueezeNetConfig
from ssni_jax.networks.vit import Vit, VitConfig
from ssni_jax.networks.wide_resnet import WideResNet, WideResNetConfig

__all__ = [
    "AbsoluteDifference",
    "AdmUNet",
    "AdmUNetConfig",
    "Clipped",
    "Coefficients",
    "Conditioned",
    "ConsistencyCoefficients",
    "EdmCoefficients",
    "FeatureDistance",
    "FlowCoefficients",
    "IddpmCoefficients",
    "Inception",
    "InceptionConfig",
    "Lpips",
    "LpipsConfig",
    "Network",
    "NoiseConditionedClassifier",
    "NoiseVit",
    "NoiseVitConfig",
    "Perceptual",
    "Preconditioned",
    "PreprocessedClassifier",
    "Preprocessing",
    "PseudoHuber",
    "ResNet",
    "ResNetConfig",
    "Snapped",
    "SnappedDenoiser",
    "SongUNet",
    "SongUNetConfig",
    "SquaredDifference",
    "SqueezeNet",
    "SqueezeNetConfig",
    "VeCoefficients",
    "Vit",
    "VitConfig",
    "VpCoefficients",
    "WideResNet",
    "WideResNetConfig",
    "abstract",
    "flat",
    "initial_state",
    "make_network",
    "make_rngs",
    "n_params",
    "unflat",
]
