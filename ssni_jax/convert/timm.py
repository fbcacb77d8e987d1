"""Vision transformers under timm's names: its ViT checkpoints, and DeiT as released by its authors or by timm."""

from math import isqrt
from typing import Any

import numpy as np

from ssni_jax.convert.family import Family, Options, Plan, Tensors, TensorSource, as_is, kernel, torch_source
from ssni_jax.convert.preprocessing import check_size, preprocessing, settings
from ssni_jax.convert.shapes import count, shape_of
from ssni_jax.networks.classifier import Preprocessing
from ssni_jax.networks.vit import VitConfig

# Heads have 64 channels, except in ViT-H, g and G.
HEADS = {1280: 16, 1408: 16, 1664: 16}
IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), interpolation="cubic")
HALF = Preprocessing((0.5,), (0.5,), interpolation="cubic")
TOKENS = {"cls": "cls_token", "dist": "dist_token", "positions": "pos_embed"}
TOP = {"embed": "patch_embed.proj", "norm": "norm", "head": "head", "head_dist": "head_dist"}
PARTS = {
    "norm0": "norm1",
    "norm1": "norm2",
    "qkv": "attn.qkv",
    "proj": "attn.proj",
    "up": "mlp.fc1",
    "down": "mlp.fc2",
}


def plan(tensors: Tensors, options: Options) -> Plan:
    """ViTs of timm, trained on images in [-1, 1], and DeiT, with ImageNet's mean and standard deviation."""
    config = vit_config(
        embed=shape_of(tensors, "patch_embed.proj.weight"),
        positions=shape_of(tensors, "pos_embed"),
        distilled="dist_token" in tensors,
        depth=count(tensors, r"blocks\.\d+\.norm1\.weight"),
        mlp_width=shape_of(tensors, "blocks.0.mlp.fc1.weight")[0],
        n_classes=shape_of(tensors, "head.weight")[0],
        n_heads=options["num_heads"],
        eps=options["eps"],
    )
    return Plan(config, _source, (), around(options, config), {"num_heads": config.n_heads})


def around(options: Options, config: VitConfig) -> Preprocessing:
    """The preprocessing of a ViT, whose positions fix the size of its images."""
    size = config.resolution if options["input_size"] is None else options["input_size"]
    return check_size(preprocessing({**options, "input_size": size}, config.in_channels), config.resolution)


def _source(key: str) -> TensorSource:
    if key in TOKENS:
        return TensorSource((TOKENS[key],), as_is)
    *path, leaf = key.split("/")
    if path[0] == "blocks":
        return torch_source(f"blocks.{path[1].removeprefix('block')}.{PARTS[path[2]]}", leaf)
    return embedding(TOP["embed"]) if key == "embed/kernel" else torch_source(TOP[path[0]], leaf)


def vit_config(
    *, embed: tuple[int, ...], positions: tuple[int, ...], n_heads: int | None, distilled: bool = False, **sizes: Any
) -> VitConfig:
    """The config of a ViT from the shapes of its patch convolution [out, in, size, size] and positions [1, n, out]."""
    width, in_channels, patch, _ = embed
    n_patches = positions[1] - 1 - distilled
    side = isqrt(max(n_patches, 0))
    if not side or side**2 != n_patches:
        raise ValueError(f"{positions[1]} positions are no square of patches and a class token: this is no ViT or DeiT")
    return VitConfig(
        resolution=side * patch,
        patch=patch,
        width=width,
        n_heads=n_heads or HEADS.get(width, width // 64),
        in_channels=in_channels,
        distilled=distilled,
        **sizes,
    )


def embedding(module: str) -> TensorSource:
    """The strided convolution on patches as a linear layer on flattened patches."""
    return TensorSource((f"{module}.weight",), _flattened)


def _flattened(weight: np.ndarray) -> np.ndarray:
    return kernel(weight).reshape(-1, len(weight))


OPTIONS = {"num_heads": None, "eps": 1e-6}
VIT = Family(
    name="timm-vit",
    checkpoints="timm vit_tiny/small/base/large_patch8/14/16/32 at any size (augreg, orig, sam)",
    purpose="undefended ImageNet transformers behind purification",
    licence="Apache-2.0",
    plan=plan,
    options={**OPTIONS, **settings(HALF)},
)
DEIT = Family(
    name="timm-deit",
    checkpoints="deit_tiny/small/base_patch16_224 and _384, plain or distilled, of facebookresearch/deit and of timm",
    purpose="undefended ImageNet transformers behind purification, DeiT-S among them",
    licence="Apache-2.0",
    plan=plan,
    options={**OPTIONS, **settings(IMAGENET)},
)
