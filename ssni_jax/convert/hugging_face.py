"""`ViTForImageClassification` files of Hugging Face's hub: ViT, plain DeiT, and networks tuned from them."""

import numpy as np

from ssni_jax.convert.family import Family, Options, Plan, Tensors, TensorSource, as_is, kernel, torch_source
from ssni_jax.convert.preprocessing import settings
from ssni_jax.convert.shapes import count, shape_of
from ssni_jax.convert.timm import IMAGENET, around, embedding, vit_config
from ssni_jax.networks.classifier import Preprocessing

PATCHES = "vit.embeddings.patch_embeddings.projection"
LAYER = "vit.encoder.layer"
TOKENS = {"cls": "vit.embeddings.cls_token", "positions": "vit.embeddings.position_embeddings"}
TOP = {"embed": PATCHES, "norm": "vit.layernorm", "head": "classifier"}
PARTS = {
    "norm0": "layernorm_before",
    "norm1": "layernorm_after",
    "proj": "attention.output.dense",
    "up": "intermediate.dense",
    "down": "output.dense",
}
# Stored by some files, but the classifier reads the class token itself.
POOLER = ("vit.pooler.dense.weight", "vit.pooler.dense.bias")


def plan(tensors: Tensors, options: Options) -> Plan:
    """ViTs, normalised to [-1, 1], and DeiTs under the names of a ViT, with ImageNet's mean and standard deviation."""
    config = vit_config(
        embed=shape_of(tensors, f"{PATCHES}.weight"),
        positions=shape_of(tensors, TOKENS["positions"]),
        depth=count(tensors, r"vit\.encoder\.layer\.\d+\.layernorm_before\.weight"),
        mlp_width=shape_of(tensors, f"{LAYER}.0.intermediate.dense.weight")[0],
        n_classes=shape_of(tensors, "classifier.weight")[0],
        n_heads=options["num_attention_heads"],
        eps=options["layer_norm_eps"],
    )
    return Plan(config, _source, POOLER, around(options, config), {"num_attention_heads": config.n_heads})


def _source(key: str) -> TensorSource:
    if key in TOKENS:
        return TensorSource((TOKENS[key],), as_is)
    *path, leaf = key.split("/")
    if path[0] != "blocks":
        return embedding(PATCHES) if key == "embed/kernel" else torch_source(TOP[path[0]], leaf)
    layer = f"{LAYER}.{path[1].removeprefix('block')}"
    return _qkv(layer, leaf) if path[2] == "qkv" else torch_source(f"{layer}.{PARTS[path[2]]}", leaf)


def _qkv(layer: str, leaf: str) -> TensorSource:
    modules = (f"{layer}.attention.attention.{part}" for part in ("query", "key", "value"))
    names = (name for module in modules for name in torch_source(module, leaf).names)
    return TensorSource(tuple(names), _joined)


def _joined(*parts: np.ndarray) -> np.ndarray:
    stacked = np.concatenate(parts)
    return kernel(stacked) if stacked.ndim > 1 else stacked


OPTIONS = {"num_attention_heads": None, "layer_norm_eps": 1e-12}
VIT = Family(
    name="hf-vit",
    checkpoints="google/vit-base/large-patch16/32-224 and -384, and networks tuned on them such as "
    "aaraki/vit-base-patch16-224-in21k-finetuned-cifar10 (Consistency Purification)",
    purpose="undefended transformers behind purification, CIFAR-10 at 224 pixels among them",
    licence="Apache-2.0 (google's; tuned ones state their own)",
    plan=plan,
    options={**OPTIONS, **settings(Preprocessing((0.5,), (0.5,)))},
)
DEIT = Family(
    name="hf-deit",
    checkpoints="facebook/deit-tiny/small/base-patch16-224 and -384, without distillation",
    purpose="undefended ImageNet transformers behind purification",
    licence="Apache-2.0",
    plan=plan,
    options={**OPTIONS, **settings(IMAGENET)},
)
