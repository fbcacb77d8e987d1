"""Checkpoints of consistency_models_cifar10, OpenAI's JAX consistency models (Song et al. 2023, arXiv:2303.01469).

Flax counts the modules of each kind: `ResnetBlockBigGANpp_3/Conv_0/kernel`. Consistency Purification's weights too.
"""

import collections
import re
from collections.abc import Mapping, Sequence

import numpy as np

from ssni_jax.convert.family import Family, Options, Plan, Tensors, TensorSource
from ssni_jax.convert.ncsnpp import (
    INNER,
    QKV,
    NcsnppBlock,
    PlacedModule,
    joined,
    placed,
    resampling,
    settled_filter,
    shape_of,
    split,
)
from ssni_jax.convert.selection import Choice, Selection, inside
from ssni_jax.convert.wrappers import means_average
from ssni_jax.core.types import Tree
from ssni_jax.networks.precondition import ConsistencyCoefficients, EdmCoefficients
from ssni_jax.networks.song_unet import SongUNetConfig

CLASSES = {
    "fourier": "GaussianFourierProjection",
    "dense": "Dense",
    "conv": "Conv",
    "block": "ResnetBlockBigGANpp",
    "attention": "AttnBlockpp",
    "norm": "GroupNorm",
    "down": "Downsample",
}


def plan(tensors: Tensors, options: Options) -> Plan:
    """The network of a parameter tree, as the consistency function or as the denoiser it was distilled from."""
    config = infer(tensors, options)
    order = list(placed(config))
    names = flax_names(order)

    def source(key: str) -> TensorSource:
        module, inner, leaf = split(key, order)
        return _source(names[module], module, inner, leaf)

    forms = {
        "consistency": ConsistencyCoefficients(options["data_std"], options["t_min"], label_scale=0.25),
        "edm": EdmCoefficients(options["data_std"]),
    }
    if options["training_mode"] not in forms:
        raise ValueError(f"training_mode is {options['training_mode']!r}, but it must be one of {', '.join(forms)}")
    return Plan(config, source, around=forms[options["training_mode"]], settled=_settled(options))


def _settled(options: Options) -> Options:
    """The filter, and t_min only where it counts."""
    return {**settled_filter(options, fir=True), **({"t_min": None} if options["training_mode"] == "edm" else {})}


def flax_names(order: Sequence[PlacedModule]) -> dict[PlacedModule, str]:
    """Each module's flax name: its class, and how many of that class came before it."""
    counts: collections.Counter[str] = collections.Counter()
    names = {}
    for module in order:
        names[module] = f"{CLASSES[module.kind]}_{counts[module.kind]}"
        counts[module.kind] += 1
    return names


def _source(name: str, module: PlacedModule, inner: str, leaf: str) -> TensorSource:
    if module.kind == "fourier":
        return TensorSource((f"{name}/W",), np.asarray)
    nin_leaf = "W" if leaf == "kernel" else "b"
    if inner == "qkv":
        return TensorSource(tuple(f"{name}/{nin}/{nin_leaf}" for nin in QKV), joined)
    if inner == "proj":
        return TensorSource((f"{name}/{INNER[inner]}/{nin_leaf}",), np.asarray)
    if module.kind == "down":
        return TensorSource((f"{name}/Conv2d_0/{'weight' if leaf == 'kernel' else leaf}",), np.asarray)
    return TensorSource((f"{name}/{INNER[inner]}/{leaf}" if inner else f"{name}/{leaf}",), np.asarray)


def infer(tensors: Tensors, options: Options) -> SongUNetConfig:
    """The shape of the network; where it attends is an option, because flax's counters don't tell."""
    if "ResnetBlockBigGANpp_0/Conv_0/kernel" not in tensors:
        raise ValueError("no tensor is named ResnetBlockBigGANpp_0/…: this is no JAX consistency model of OpenAI's")
    in_channels, n_channels = tensors["Conv_0/kernel"].shape[2:]
    return SongUNetConfig(
        resolution=options["image_size"],
        in_channels=in_channels,
        out_channels=tensors["Conv_1/kernel"].shape[3],
        model_channels=n_channels,
        **shape_of(blocks(tensors), n_channels),
        attn_resolutions=tuple(options["attn_resolutions"]),
        dropout=options["dropout"],
        embedding_type="fourier",
        channel_mult_noise=2,
        encoder_type="residual" if "Downsample_0/Conv2d_0/weight" in tensors else "standard",
        **resampling(options, fir=True),
    )


def blocks(tensors: Tensors) -> list[NcsnppBlock]:
    """Sizes of the residual blocks, in order."""
    pattern = re.compile(r"ResnetBlockBigGANpp_(\d+)/Conv_0/kernel")
    kernels = {int(match[1]): array for name, array in tensors.items() if (match := pattern.fullmatch(name))}

    def block(i: int) -> NcsnppBlock:
        n_in, n_out = kernels[i].shape[2:]
        return NcsnppBlock(n_in, n_out, f"ResnetBlockBigGANpp_{i}/Conv_2/kernel" in tensors)

    return [block(i) for i in sorted(kernels)]


def select(tree: Tree, choice: Choice) -> Selection:
    """Parameters under "Module/…/leaf", the averaged ones unless `choice` is of the raw ones or of a key."""
    if choice.prefix:
        raise ValueError("the names of its parameters are the network's own: leave out --prefix")
    key = choice.key or ("params_ema" if choice.weights == "ema" else "params")
    if not isinstance(tree, Mapping) or not isinstance(inside(tree, key) if choice.key else tree.get(key), Mapping):
        raise ValueError(f"the file has no {key}: it is no training state of consistency_models_cifar10")
    tensors, aside = dict(_flat(inside(tree, key))), tuple(str(name) for name in tree if name != key)
    return Selection(tensors, "ema" if means_average(key) else "raw", key, aside=aside)


def _flat(tree: Mapping, prefix: str = ""):
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


JCM = Family(
    name="jcm",
    checkpoints="consistency_models_cifar10 cd-lpips (checkpoint_80), edm_cifar10_ema (checkpoint_40, with "
    "training_mode=edm), Consistency Purification's (checkpoint_120)",
    purpose="CIFAR-10 consistency models, purification in one call",
    licence="Apache-2.0",
    plan=plan,
    options={
        "training_mode": "consistency",
        "image_size": 32,
        "attn_resolutions": (16,),
        "data_std": 0.5,
        "t_min": 0.002,
        "fir": None,
        "fir_kernel": (1, 3, 3, 1),
        "dropout": 0.0,
    },
    select=select,
)
