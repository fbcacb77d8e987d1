"""Checkpoints of score_sde_pytorch: DDPM++ and NCSN++ with BigGAN blocks (Song et al. 2021, arXiv:2011.13456).

Modules are numbered, `all_modules.17.Conv_0.weight`. The averaged weights are a list in parameter order.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from ssni_jax.convert import selection
from ssni_jax.convert.family import Family, Options, Plan, Tensors, TensorSource, torch_source
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
from ssni_jax.convert.selection import Choice, Selection
from ssni_jax.core.types import Tree
from ssni_jax.networks.precondition import VeCoefficients, VpCoefficients
from ssni_jax.networks.song_unet import SongUNetConfig
from ssni_jax.schedules import VP

SIGNS = {"W": "fourier", "NIN_0.W": "attention", "Conv2d_0.weight": "down", "Dense_0.weight": "block"}
FOURIER = "all_modules.0.W"
BUFFER = "sigmas"


def plan(tensors: Tensors, options: Options) -> Plan:
    """The network of a state dict; positional embeddings mean the VP SDE, Fourier features the VE SDE."""
    config = infer(tensors, options)
    order = list(placed(config))
    index = {module: i for i, module in enumerate(order)}

    def source(key: str) -> TensorSource:
        module, inner, leaf = split(key, order)
        return _source(f"all_modules.{index[module]}", module, inner, leaf)

    continuous = VP(options["beta_min"], options["beta_max"])
    coefficients = VeCoefficients() if FOURIER in tensors else VpCoefficients(continuous)
    unused = dict.fromkeys(("beta_min", "beta_max")) if FOURIER in tensors else {}
    settled = {**settled_filter(options, fir=FOURIER in tensors), **unused}
    return Plan(config, source, (BUFFER,), coefficients, settled)


def _source(name: str, module: PlacedModule, inner: str, leaf: str) -> TensorSource:
    if module.kind == "fourier":
        return TensorSource((f"{name}.W",), np.asarray)
    if inner == "qkv":
        return TensorSource(tuple(f"{name}.{nin}.{_nin_leaf(leaf)}" for nin in QKV), joined)
    if inner == "proj":
        return TensorSource((f"{name}.{INNER[inner]}.{_nin_leaf(leaf)}",), np.asarray)
    outer = {"combine": "Conv_0", "down": "Conv2d_0"}.get(module.kind)
    part = INNER[inner] if inner else outer
    return torch_source(f"{name}.{part}" if part else name, leaf)


def _nin_leaf(leaf: str) -> str:
    return "W" if leaf == "kernel" else "b"


def infer(tensors: Tensors, options: Options) -> SongUNetConfig:
    """The shape of the network, from the kinds and sizes of the numbered modules."""
    modules = numbered(tensors)
    kinds = [kind_of(module) for module in modules]
    if "unknown" in kinds or "block" not in kinds:
        raise ValueError("the numbered modules are not NCSN++ with BigGAN blocks, the only kind this family reads")
    first = modules[kinds.index("conv")]["weight"]
    n_channels, in_channels = first.shape[:2]
    shape = shape_of([block_of(m) for m, kind in zip(modules, kinds, strict=True) if kind == "block"], n_channels)
    fourier = kinds[0] == "fourier"
    return SongUNetConfig(
        resolution=options["image_size"],
        in_channels=in_channels,
        out_channels=modules[-1]["weight"].shape[0],
        model_channels=n_channels,
        **shape,
        attn_resolutions=_attention(kinds, shape["num_blocks"], len(shape["channel_mult"]), options["image_size"]),
        dropout=options["dropout"],
        embedding_type="fourier" if fourier else "positional",
        channel_mult_noise=2 if fourier else 1,
        encoder_type="residual" if "down" in kinds else "skip" if "combine" in kinds else "standard",
        decoder_type="skip" if kinds.count("norm") > 1 else "standard",
        **resampling(options, fir=fourier),
    )


def _attention(kinds: list[str], num_blocks: int, n_levels: int, size: int) -> tuple[int, ...]:
    """Resolutions at which the first block of an encoder level is followed by attention."""
    blocks = [i for i, kind in enumerate(kinds) if kind == "block"]
    firsts = [blocks[level * (num_blocks + 1)] for level in range(n_levels)]
    return tuple(size >> level for level, i in enumerate(firsts) if kinds[i + 1] == "attention")


def numbered(tensors: Tensors) -> list[dict[str, np.ndarray]]:
    """The tensors of each module under their names inside it, modules in order."""
    modules: dict[int, dict[str, np.ndarray]] = {}
    for name, array in tensors.items():
        head, _, rest = name.partition(".")
        index, _, inner = rest.partition(".")
        if head == "all_modules" and index.isdigit():
            modules.setdefault(int(index), {})[inner] = array
    if not modules:
        raise ValueError("no tensor is named all_modules.N.…: this is not a checkpoint of score_sde_pytorch")
    return [modules[index] for index in sorted(modules)]


def kind_of(module: Mapping[str, np.ndarray]) -> str:
    """What a numbered module is, told from the names and sizes of its tensors."""
    for name, kind in SIGNS.items():
        if name in module:
            return kind
    if "weight" in module:
        return {1: "norm", 2: "dense", 4: "conv"}.get(module["weight"].ndim, "unknown")
    return "combine" if set(module) == {"Conv_0.weight", "Conv_0.bias"} else "unknown"


def block_of(module: Mapping[str, np.ndarray]) -> NcsnppBlock:
    """Sizes of a residual block."""
    n_out, n_in = module["Conv_0.weight"].shape[:2]
    return NcsnppBlock(n_in, n_out, "Conv_2.weight" in module)


def select(tree: Tree, choice: Choice) -> Selection:
    """The model's tensors, with the averaged parameters in their places if the file has them as a list."""
    average = tree.get("ema") if isinstance(tree, Mapping) else None
    averaged = average.get("shadow_params") if isinstance(average, Mapping) else None
    if averaged is None or choice.key or choice.weights == "raw":
        return selection.select(tree, choice)
    raw = selection.select(tree, dataclasses.replace(choice, weights="raw"))
    # The average covers what is trained: neither the buffer nor the fixed Fourier frequencies.
    names = [name for name in raw.tensors if name not in (BUFFER, FOURIER)]
    if len(averaged) != len(names):
        raise ValueError(f"the EMA list has {len(averaged)} tensors for {len(names)} parameters: pass --weights raw")
    tensors = {**raw.tensors, **dict(zip(names, averaged, strict=True))}
    return raw._replace(tensors=tensors, weights="ema", key="ema.shadow_params")


SCORE_SDE = Family(
    name="score-sde",
    checkpoints="score_sde_pytorch cifar10_ddpmpp_deep_continuous (checkpoint_8.pth), cifar10_ncsnpp_continuous",
    purpose="CIFAR-10 score network of DiffPure, GNS and SSNI",
    licence="Apache-2.0",
    plan=plan,
    options={
        "image_size": 32,
        "beta_min": 0.1,
        "beta_max": 20.0,
        "fir": None,
        "fir_kernel": (1, 3, 3, 1),
        "dropout": 0.1,
    },
    select=select,
)
