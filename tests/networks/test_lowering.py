"""Every full-size network still lowers for TPU and CUDA, from shapes alone on a machine that has neither."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest
from jax import export

from ssni_jax.networks import (
    AdmUNetConfig,
    InceptionConfig,
    LpipsConfig,
    Network,
    ResNetConfig,
    SongUNetConfig,
    SqueezeNetConfig,
    VitConfig,
    WideResNetConfig,
    abstract,
)

CIFAR = {"resolution": 32, "channel_mult": (2, 2, 2), "augment_dim": 9}
NCSNPP = {"embedding_type": "fourier", "channel_mult_noise": 2, "encoder_type": "residual"}
DENOISERS = {
    "DDPM++ of EDM": SongUNetConfig(**CIFAR),
    "NCSN++ of EDM": SongUNetConfig(**CIFAR, **NCSNPP, resample_filter=(1, 3, 3, 1)),
    "DDPM++ deep of score_sde": SongUNetConfig(32, num_blocks=8),
    "ADM 64": AdmUNetConfig(64, label_dim=1000, out_channels=6),
    "ADM 256": AdmUNetConfig(
        256, model_channels=256, channel_mult=(1, 1, 2, 2, 4, 4), num_blocks=2, out_channels=6, dropout=0.0
    ),
    "ADM 512": AdmUNetConfig(
        512, model_channels=256, channel_mult=(0.5, 1, 1, 2, 2, 4, 4), num_blocks=2, label_dim=1000, out_channels=6
    ),
}
CLASSIFIERS = {
    "WRN-28-10": (WideResNetConfig(), 32),
    "WRN-70-16 swish": (WideResNetConfig(70, 16, activation="swish", padding="end"), 32),
    "CIFAR ResNet-56": (ResNetConfig("basic", (9, 9, 9), 16, stem="plain", shortcut="pad", n_classes=10), 32),
    "ResNet-18": (ResNetConfig("basic", (2, 2, 2, 2)), 224),
    "ResNet-50": (ResNetConfig(), 224),
    "ResNet-152": (ResNetConfig(stages=(3, 8, 36, 3)), 224),
    "WRN-50-2": (ResNetConfig(widen_factor=2), 224),
    "SqueezeNet 1.1": (SqueezeNetConfig(), 224),
    "Inception v3": (InceptionConfig("torchvision", 1000), 299),
    "ViT-B/16": (VitConfig(), 224),
    "DeiT-S/16": (VitConfig(width=384, n_heads=6, mlp_width=1536), 224),
}


def lowered(config, *arguments, **conditions) -> export.Exported:
    """The forward pass of a network that has no arrays, only shapes."""
    network = Network(*abstract(config.make))
    run = jax.jit(lambda network, *arguments, **conditions: network(*arguments, **conditions))
    return export.export(run, platforms=("tpu", "cuda"))(network, *arguments, **conditions)


def images(size: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)


def is_lowered(program: export.Exported) -> bool:
    return program.platforms == ("tpu", "cuda") and len(program.mlir_module_serialized) > 0


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", DENOISERS)
def test_a_denoising_network_lowers_for_accelerators(name, dtype):
    config = dataclasses.replace(DENOISERS[name], dtype=dtype)
    labels = {"class_labels": jax.ShapeDtypeStruct((2, config.label_dim), jnp.float32)} if config.label_dim else {}
    noise = jax.ShapeDtypeStruct((2,), jnp.float32)
    program = lowered(config, images(config.resolution), noise, **labels)
    assert is_lowered(program) and program.out_avals[0].shape[-1] == config.out_channels


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_lowers_for_accelerators(name, dtype):
    config, size = CLASSIFIERS[name]
    program = lowered(dataclasses.replace(config, dtype=dtype), images(size))
    assert is_lowered(program) and program.out_avals[0].shape == (2, 10 if size == 32 else 1000)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("backbone", ["vgg", "alex", "squeeze"])
def test_lpips_lowers_for_accelerators(backbone, dtype):
    program = lowered(LpipsConfig(backbone, dtype=dtype), images(224), images(224))
    assert is_lowered(program) and program.out_avals[0].shape == (2,)
