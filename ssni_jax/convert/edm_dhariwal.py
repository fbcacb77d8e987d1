"""EDM's DhariwalUNet (Karras et al. 2022, arXiv:2206.00364), ADM in EDM's names; `edm` reads its container."""

import numpy as np

from ssni_jax.convert.family import Options, Plan, Tensors, TensorSource, buffers, torch_source
from ssni_jax.convert.shapes import matches, n_columns, shape_of
from ssni_jax.networks.adm_unet import AdmUNetConfig
from ssni_jax.networks.precondition import CoefficientFunction

EMBED = {"layer0": "map_layer0", "layer1": "map_layer1", "label": "map_label", "augment": "map_augment"}
HEAD_CHANNELS = 64  # fixed in the original


def plan(tensors: Tensors, options: Options, coefficients: CoefficientFunction) -> Plan:
    """The network of a state dict with names "model.enc.…", inside the given preconditioning."""
    config = infer(tensors, options)

    def source(key: str) -> TensorSource:
        path, leaf = key.rsplit("/", 1)
        found = torch_source(torch_name(path), leaf)
        if not path.endswith("/qkv"):
            return found
        return TensorSource(found.names, lambda array: found.port(together(array, config)))

    # "u" is the noise table of the class iDDPMPrecond.
    return Plan(config, source, (*buffers(tensors, "resample_filter"), "u"), coefficients)


def torch_name(path: str) -> str:
    """The original's name of one of our modules."""
    head, *rest = path.split("/")
    if head == "embed":
        return f"model.{EMBED[rest[0]]}"
    if rest[1:] == ["attention", "norm"]:
        rest = [rest[0], "norm2"]
    return ".".join(["model", head, *(name for name in rest if name != "attention")])


def together(array: np.ndarray, config: AdmUNetConfig) -> np.ndarray:
    """[head, channel, (q, k, v)] rows as [q | k | v]."""
    n_heads = config.n_heads(len(array) // 3)
    return np.moveaxis(array.reshape(n_heads, -1, 3, *array.shape[1:]), 2, 0).reshape(array.shape)


def infer(tensors: Tensors, options: Options) -> AdmUNetConfig:
    """The shape of the network, whose names hold its resolutions."""
    levels = [int(name) for name in matches(tensors, r"model\.enc\.(\d+)x\d+_block0\.conv0\.weight")]
    if not levels:
        raise ValueError("no tensor is named model.enc.NxN_block0.…: this is no network of EDM's")
    top = levels[0]
    n_emb, n_channels = shape_of(tensors, "model.map_layer0.weight")
    return AdmUNetConfig(
        resolution=top,
        in_channels=shape_of(tensors, f"model.enc.{top}x{top}_conv.weight")[1],
        out_channels=shape_of(tensors, "model.out_conv.weight")[0],
        model_channels=n_channels,
        channel_mult=[shape_of(tensors, f"model.enc.{n}x{n}_block0.conv0.weight")[0] // n_channels for n in levels],
        channel_mult_emb=n_emb // n_channels,
        num_blocks=len(matches(tensors, rf"model\.enc\.{top}x{top}_block(\d+)\.conv0\.weight")),
        attn_resolutions=[int(n) for n in matches(tensors, r"model\.enc\.(\d+)x\d+_block0\.qkv\.weight")],
        num_head_channels=HEAD_CHANNELS,
        min_group=4,
        dropout=options["dropout"],
        label_dim=n_columns(tensors, "model.map_label.weight"),
        requires_labels=False,
        augment_dim=n_columns(tensors, "model.map_augment.weight"),
    )
