"""rRCM's encoders and fine-tuned classifiers (Lei et al. 2025) under the names of jiachenlei/rRCM.

No weights are linked there: the names are those of its modules.
"""

from math import isqrt

from ssni_jax.convert.family import Family, Options, Plan, Tensors, TensorSource, as_is, buffers, torch_source
from ssni_jax.convert.shapes import count, shape_of
from ssni_jax.convert.timm import PARTS, embedding
from ssni_jax.networks.noise_vit import NoiseVitConfig
from ssni_jax.networks.precondition import ConsistencyCoefficients, Snapped

BASE = "base_model."  # in front of the encoder's names once it is fine-tuned
TOKENS = {"cls": "cls_token", "positions": "pos_embed"}
PROJECTION = {"layer0": 0, "norm0": 1, "layer1": 3, "norm1": 4, "layer2": 6}
IMAGENET_SIDE = 224


def plan(tensors: Tensors, options: Options) -> Plan:
    """A pre-trained encoder, or one with its linear head."""
    base = BASE if f"{BASE}pos_embed" in tensors else ""
    config = noise_vit_config(tensors, base, options)
    settled = {"layernorm": config.norm_before_head, "num_heads": config.n_heads}
    levels = Snapped(ConsistencyCoefficients(), n=options["num_scales"])

    def source(key: str) -> TensorSource:
        return _source(key, base)

    return Plan(config, source, buffers(tensors, "num_batches_tracked"), levels, settled)


def noise_vit_config(tensors: Tensors, base: str, options: Options) -> NoiseVitConfig:
    """The shape of the network, from its tensors; ImageNet's heads read the token after the norm."""
    width, in_channels, patch, _ = shape_of(tensors, f"{base}patch_embed.proj.weight")
    resolution = patch * isqrt(shape_of(tensors, f"{base}pos_embed")[1] - 2)
    given, n_heads = options["layernorm"], options["num_heads"]
    return NoiseVitConfig(
        resolution=resolution,
        patch=patch,
        width=width,
        depth=count(tensors, rf"{base}blocks\.\d+\.norm1\.weight"),
        n_heads=n_heads or width // 64,
        mlp_width=shape_of(tensors, f"{base}blocks.0.mlp.fc1.weight")[0],
        hidden=shape_of(tensors, f"{base}projection_head.0.weight")[0],
        output=shape_of(tensors, f"{base}projection_head.6.weight")[0],
        n_classes=shape_of(tensors, "linear_head.weight")[0] if base else 0,
        norm_before_head=resolution >= IMAGENET_SIDE if given is None else given,
        in_channels=in_channels,
        qkv_bias=f"{base}blocks.0.attn.qkv.bias" in tensors,
        eps=options["eps"],
    )


def _source(key: str, base: str) -> TensorSource:
    if key in TOKENS:
        return TensorSource((base + TOKENS[key],), as_is)
    *path, leaf = key.split("/")
    match path[0]:
        case "blocks":
            return torch_source(f"{base}blocks.{path[1].removeprefix('block')}.{PARTS[path[2]]}", leaf)
        case "projection":
            return torch_source(f"{base}projection_head.{PROJECTION[path[2]]}", leaf)
        case "head":
            return torch_source("linear_head", leaf)
        case "embed":
            module = f"{base}patch_embed.proj"
            return embedding(module) if leaf == "kernel" else torch_source(module, leaf)
    return torch_source(base + path[0], leaf)


RRCM = Family(
    name="rrcm",
    checkpoints="rRCM-S and rRCM-B of jiachenlei/rRCM, pre-trained or fine-tuned (no files are linked there)",
    purpose="certified classification of noisy images without a purifier",
    licence="none stated",
    plan=plan,
    options={"layernorm": None, "num_heads": None, "num_scales": 81, "eps": 1e-5},
)
