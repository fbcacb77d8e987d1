"""Checkpoints of NVlabs' EDM (Karras et al. 2022, arXiv:2206.00364), whose SongUNet names ours follow.

A pickle of persistent classes; what the reader makes of it is `{"class_name", "state"}` dicts around the tensors.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ssni_jax.convert import edm_dhariwal, selection
from ssni_jax.convert.family import Family, Options, Plan, Tensors, TensorSource, buffers, torch_source
from ssni_jax.convert.selection import Choice, Selection, inside
from ssni_jax.convert.shapes import matches, n_columns, shape_of
from ssni_jax.core.types import Tree
from ssni_jax.networks.precondition import (
    CoefficientFunction,
    EdmCoefficients,
    IddpmCoefficients,
    VeCoefficients,
    VpCoefficients,
)
from ssni_jax.networks.song_unet import SongUNetConfig
from ssni_jax.schedules import VP, CosineVP

EMBED = {
    "layer0": "map_layer0",
    "layer1": "map_layer1",
    "label": "map_label",
    "augment": "map_augment",
    "fourier": "map_noise",
}
TAPS = {2: (1, 1), 4: (1, 3, 3, 1)}
# Options that only one class reads.
USES = {"EDMPrecond": ("sigma_data",), "VPPrecond": ("beta_d", "beta_min")}


def plan(tensors: Tensors, options: Options) -> Plan:
    """The network of a state dict, with the preconditioning that `class_name` names."""
    coefficients = preconditioning(options)
    settled = {name: None for kind, names in USES.items() if kind != options["class_name"] for name in names}
    if "model.out_conv.weight" in tensors:
        return dataclasses.replace(edm_dhariwal.plan(tensors, options, coefficients), settled=settled)
    return Plan(infer(tensors, options), source, buffers(tensors, "resample_filter"), coefficients, settled)


def preconditioning(options: Options) -> CoefficientFunction:
    """The coefficients of EDM's classes, EDMPrecond, VPPrecond, VEPrecond and iDDPMPrecond."""
    made = {
        "EDMPrecond": EdmCoefficients(options["sigma_data"]),
        "VPPrecond": VpCoefficients(VP(options["beta_min"], options["beta_min"] + options["beta_d"])),
        "VEPrecond": VeCoefficients(),
        "iDDPMPrecond": IddpmCoefficients(CosineVP(1000)),
    }
    if options["class_name"] not in made:
        raise ValueError(f"class_name is {options['class_name']!r}, but it must be one of {', '.join(made)}")
    return made[options["class_name"]]


def source(key: str) -> TensorSource:
    """Where a SongUNet parameter stands in EDM's file; the query, key and value channels alternate there."""
    path, leaf = key.rsplit("/", 1)
    head, *rest = path.split("/")
    if head == "embed":
        module = f"model.{EMBED[rest[0]]}"
        return TensorSource((f"{module}.freqs",), np.asarray) if leaf == "freqs" else torch_source(module, leaf)
    inner = "norm2" if rest[1:] == ["attention", "norm"] else rest[-1]
    module = ".".join(["model", head, rest[0], *([inner] if len(rest) > 1 else [])])
    found = torch_source(module, leaf)
    return TensorSource(found.names, lambda array: found.port(sorted_qkv(array))) if inner == "qkv" else found


def sorted_qkv(array: np.ndarray) -> np.ndarray:
    """[channel, (q, k, v)] output rows as [q | k | v]."""
    return array.reshape(-1, 3, *array.shape[1:]).swapaxes(0, 1).reshape(array.shape)


def infer(tensors: Tensors, options: Options) -> SongUNetConfig:
    """The shape of a SongUNet, whose names hold its resolutions."""
    levels = [int(name) for name in matches(tensors, r"model\.enc\.(\d+)x\d+_block0\.conv0\.weight")]
    if not levels:
        raise ValueError("no tensor is named model.enc.NxN_block0.…: this is no network of EDM's")
    top = levels[0]
    n_channels, in_channels = shape_of(tensors, f"model.enc.{top}x{top}_conv.weight")[:2]
    n_emb, n_noise = shape_of(tensors, "model.map_layer0.weight")
    return SongUNetConfig(
        resolution=top,
        in_channels=in_channels,
        out_channels=shape_of(tensors, f"model.dec.{top}x{top}_aux_conv.weight")[0],
        model_channels=n_channels,
        channel_mult=[shape_of(tensors, f"model.enc.{n}x{n}_block0.conv0.bias")[0] // n_channels for n in levels],
        channel_mult_emb=n_emb // n_channels,
        num_blocks=len(matches(tensors, rf"model\.enc\.{top}x{top}_block(\d+)\.conv0\.weight")),
        attn_resolutions=[int(n) for n in matches(tensors, r"model\.enc\.(\d+)x\d+_block0\.qkv\.weight")],
        dropout=options["dropout"],
        label_dim=n_columns(tensors, "model.map_label.weight"),
        augment_dim=n_columns(tensors, "model.map_augment.weight"),
        embedding_type="fourier" if "model.map_noise.freqs" in tensors else "positional",
        channel_mult_noise=n_noise // n_channels,
        encoder_type=_encoder_type(tensors),
        decoder_type="skip" if len(matches(tensors, r"model\.dec\.(\d+)x\d+_aux_conv\.weight")) > 1 else "standard",
        resample_filter=_taps(tensors),
    )


def _encoder_type(tensors: Tensors) -> str:
    found = matches(tensors, r"model\.enc\.\d+x\d+_aux_(skip|residual)\.weight")
    return found[0] if found else "standard"


def _taps(tensors: Tensors) -> tuple[int, ...]:
    sizes = {tensors[name].shape[-1] for name in buffers(tensors, "resample_filter")} or {2}
    if len(sizes) != 1 or not sizes <= set(TAPS):
        raise ValueError(f"the resampling filters have {sorted(sizes)} taps: only filters of 2 or 4 are known")
    return TAPS[sizes.pop()]


def select(tree: Tree, choice: Choice) -> Selection:
    """The tensors "model.enc.…" of the stored network: averaged in snapshots, raw in training states."""
    keys = {"ema": ("ema", "net"), "raw": ("net", "ema")}[choice.weights]
    key = choice.key or next((key for key in keys if _is_network(_at(tree, key))), "")
    if not key or not _is_network(inside(tree, key)):
        return selection.select(tree, choice, own=("model",))
    if key == "ema" and choice.weights == "raw":
        raise ValueError("EDM's snapshots hold averaged weights only: pass --weights ema")
    if choice.prefix:
        raise ValueError("the names of a persistent class are the network's own: leave out --prefix")
    aside = tuple(str(name) for name in tree if name != key)
    return Selection(dict(_named(inside(tree, key), "")), "ema" if key == "ema" else "raw", key, aside=aside)


def declared(part: Tree, tensors: Tensors) -> Options:
    """The options that the file's network was made with."""
    network = next((value for value in (part, _at(part, "ema"), _at(part, "net")) if _is_network(value)), None)
    if network is None:
        return {}
    made_with = network["state"].get("_init_kwargs", {})
    return {"class_name": network["class_name"], **{k: v for k, v in made_with.items() if k in EDM.options}}


def _at(tree: Tree, key: str) -> Tree:
    return tree.get(key) if isinstance(tree, Mapping) else None


def _is_network(value: Tree) -> bool:
    """Whether a value is a persistent class, as the reader leaves it."""
    return isinstance(value, Mapping) and "class_name" in value and isinstance(value.get("state"), Mapping)


def _named(module: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    """A module's tensors by dotted name, its children's included."""
    state = module["state"]
    for group in ("_parameters", "_buffers"):
        yield from ((prefix + name, array) for name, array in state[group].items() if array is not None)
    for name, child in state["_modules"].items():
        if child is not None:
            yield from _named(child, f"{prefix}{name}.")


EDM = Family(
    name="edm",
    checkpoints="edm-cifar10-32x32-{cond,uncond}-{vp,ve}.pkl, edm-ffhq-64x64-*.pkl, edm-imagenet-64x64-cond-adm.pkl",
    purpose="denoisers for one-step, Heun and consistency purification",
    licence="CC BY-NC-SA 4.0",
    plan=plan,
    options={
        "class_name": "EDMPrecond",
        "sigma_data": 0.5,
        "beta_d": 19.9,
        "beta_min": 0.1,
        "dropout": 0.13,
    },
    select=select,
    declared=declared,
)
