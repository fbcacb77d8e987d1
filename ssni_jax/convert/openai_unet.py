"""The U-Net of OpenAI's diffusion repositories: one set of tensor names, from which its shape follows."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ssni_jax.convert.family import Options, Tensors, TensorSource, as_is, torch_source
from ssni_jax.convert.shapes import shape_of
from ssni_jax.networks.adm_unet import AdmUNetConfig, decoder_stages, encoder_stages
from ssni_jax.networks.precondition import IddpmCoefficients
from ssni_jax.networks.song_unet import UNetStage
from ssni_jax.schedules import CosineVP, DiscreteVP

IMAGE_SIZES = {
    (1, 2, 2, 2): 32,
    (1, 2, 3, 4): 64,
    (1, 1, 2, 3, 4): 128,
    (1, 1, 2, 2, 4, 4): 256,
    (0.5, 1, 1, 2, 2, 4, 4): 512,
}
OUTER = {"embed/layer0": "time_embed.0", "embed/layer1": "time_embed.2", "out_norm": "out.0", "out_conv": "out.2"}
INNER = {
    "norm0": "in_layers.0",
    "conv0": "in_layers.2",
    "affine": "emb_layers.1",
    "norm1": "out_layers.0",
    "conv1": "out_layers.3",
    "skip": "skip_connection",
    "norm": "norm",
    "qkv": "qkv",
    "proj": "proj_out",
}
Shape = Mapping[str, Any]


def infer(tensors: Tensors) -> dict[str, Any]:
    """The fields of `AdmUNetConfig` that names and shapes tell."""
    levels, num_blocks, resampling = _levels(tensors)
    # Every level begins with a block that resamples, the first with the convolution of the image.
    firsts = [f"input_blocks.{1 + level * (num_blocks + 1)}" for level in range(levels)]
    n_emb, n_channels = shape_of(tensors, "time_embed.0.weight")
    widths = [shape_of(tensors, f"{first}.0.out_layers.3.weight")[0] for first in firsts]
    scaled = shape_of(tensors, f"{firsts[0]}.0.emb_layers.1.weight")[0] == 2 * widths[0]
    return {
        "in_channels": _in_channels(tensors),
        "out_channels": shape_of(tensors, "out.2.weight")[0],
        "model_channels": n_channels,
        "channel_mult": tuple(_ratio(width, n_channels) for width in widths),
        "channel_mult_emb": n_emb // n_channels,
        "num_blocks": num_blocks,
        "attends": tuple(f"{first}.1.qkv.weight" in tensors for first in firsts),
        "conditioning": "scale_shift" if scaled else "additive",
        "resampling": resampling,
        "label_dim": len(tensors["label_emb.weight"]) if "label_emb.weight" in tensors else 0,
    }


def _levels(tensors: Tensors) -> tuple[int, int, str]:
    """Levels, blocks per level, and how levels are joined: every level but one ends its last block by going up."""
    indices = [int(match[1]) for name in tensors if (match := re.match(r"output_blocks\.(\d+)\.", name))]
    ups = [name for name in tensors if re.fullmatch(r"output_blocks\.\d+\.[12]\.(in_layers\.2|conv)\.weight", name)]
    n, levels = len(set(indices)), len(ups) + 1
    if n < 2 * levels or n % levels:
        raise ValueError(
            f"{n} output blocks on {levels} levels are no U-Net of OpenAI's diffusion repositories: "
            "choose the family that the file's project belongs to"
        )
    return levels, n // levels - 1, "conv" if any(".conv." in name for name in ups) else "block"


def _in_channels(tensors: Tensors) -> int:
    n = shape_of(tensors, "input_blocks.0.0.weight")[1]
    if n == 6:
        raise ValueError("the network takes 6 channels, an image and its enlargement: upsamplers are not read")
    return n


def _ratio(width: int, n_channels: int) -> int | float:
    return width / n_channels if width % n_channels else width // n_channels


def configured(shape: Shape, options: Options) -> AdmUNetConfig:
    """The network of an inferred shape, with the flags that no tensor shows."""
    fields = {name: value for name, value in shape.items() if name != "attends"}
    size = options["image_size"] or IMAGE_SIZES.get(shape["channel_mult"])
    if size is None:
        raise ValueError(f"no released network has channel_mult {shape['channel_mult']}: give the option image_size")
    attended = [int(size) >> level for level, attends in enumerate(shape["attends"]) if attends]
    return AdmUNetConfig(
        resolution=int(size),
        **fields,
        attn_resolutions=attended,
        dropout=float(options["dropout"]),
        **_heads(options),
    )


def _heads(options: Options) -> dict[str, Any]:
    per_head = int(options.get("num_head_channels", -1))
    return {"num_heads": int(options["num_heads"])} if per_head == -1 else {"num_head_channels": per_head}


def settled(options: Options, shape: Shape, released: Sequence[tuple[Shape, Options]]) -> dict[str, Any]:
    """Options that were left open (None), as the first released network with these marks has them."""
    known: dict[str, Any] = {}
    for marks, values in reversed(released):
        known.update(values if marks.items() <= shape.items() else {})
    if options["num_heads"] is not None:
        known["num_head_channels"] = -1
    return {name: known.get(name) if value is None else value for name, value in options.items()}


def assumable(options: Options, config: AdmUNetConfig) -> dict[str, Any]:
    """Settled options with the resolution that was inferred, and without the way of counting heads that is not used."""
    unused = "num_heads" if int(options.get("num_head_channels", -1)) != -1 else "num_head_channels"
    return {**options, "image_size": config.resolution, unused: None}


def table_coefficients(options: Options) -> IddpmCoefficients:
    """Noise prediction on the table that the flags describe."""
    n = int(options["diffusion_steps"])
    tables = {"linear": DiscreteVP(0.1 / n, 20 / n, n), "cosine": CosineVP(n)}
    if options["noise_schedule"] not in tables:
        raise ValueError(f"noise_schedule is {options['noise_schedule']!r}, but it must be one of {', '.join(tables)}")
    step = 1000 / n if is_true(options["rescale_timesteps"]) else 1.0
    return IddpmCoefficients(tables[options["noise_schedule"]], n, step)


def is_true(value: Any) -> bool:
    """A flag as the original command lines spell it."""
    return value if isinstance(value, bool) else str(value).lower() in ("yes", "true", "t", "y", "1")


def sources(config: AdmUNetConfig, *, by_head: bool) -> Callable[[str], TensorSource]:
    """Where each parameter comes from; `by_head` if the rows of qkv are [head, (q, k, v), channel]."""
    names = dict(torch_names(config))

    def source(key: str) -> TensorSource:
        path, leaf = key.rsplit("/", 1)
        if path == "embed/label":
            return TensorSource(("label_emb.weight",), as_is)
        parent, _, inner = path.rpartition("/")
        found = torch_source(names[path] if path in names else f"{names[parent]}.{INNER[inner]}", leaf)
        if inner != "qkv" or not by_head:
            return found
        return TensorSource(found.names, lambda array: found.port(together(array, config)))

    return source


def together(array: np.ndarray, config: AdmUNetConfig) -> np.ndarray:
    """[head, (q, k, v), channel] rows as [q | k | v]."""
    n_heads = config.n_heads(len(array) // 3)
    return array.reshape(n_heads, 3, -1, *array.shape[1:]).swapaxes(0, 1).reshape(array.shape)


def torch_names(config: AdmUNetConfig) -> Iterator[tuple[str, str]]:
    """Our modules, and attention inside them, with the modules of the original."""
    yield from OUTER.items()
    for index, stage in enumerate(encoder_stages(config)):
        yield from _named("enc", stage, f"input_blocks.{index}", 0)
    (first, second), rest = _split(decoder_stages(config))
    yield from _named("dec", first, "middle_block", 0)
    yield from _named("dec", second, "middle_block", 2)
    index, after = -1, 0
    for stage in rest:
        if stage.joins:
            index, after = index + 1, 2 if stage.attention else 1
        yield from _named("dec", stage, f"output_blocks.{index}", 0 if stage.joins else after)


def _split(stages: Iterator[UNetStage]) -> tuple[tuple[UNetStage, UNetStage], list[UNetStage]]:
    first, second, *rest = stages
    return (first, second), rest


def _named(side: str, stage: UNetStage, block: str, place: int) -> Iterator[tuple[str, str]]:
    within = {"down": ".op", "up": ".conv"}.get(stage.resample, "") if stage.kind == "conv" else ""
    yield f"{side}/{stage.name}", f"{block}.{place}{within}"
    if stage.attention:
        yield f"{side}/{stage.name}/attention", f"{block}.{place + 1}"
