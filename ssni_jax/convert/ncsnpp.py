"""Score SDE's numbering of NCSN++ and DDPM++ modules (Song et al. 2021, arXiv:2011.13456), in torch and in JAX.

Both count modules in the order in which the network is built, which is the order of our stages. Here is that order, the
names inside a module, and the shape of the network that the modules' sizes show.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ssni_jax.convert.family import Options
from ssni_jax.networks.song_unet import SongUNetConfig, decoder_stages, encoder_stages


class PlacedModule(NamedTuple):
    """One of our modules in score_sde's order, and the kind of module that it is there."""

    path: str
    kind: str


INNER = {
    "norm0": "GroupNorm_0",
    "conv0": "Conv_0",
    "affine": "Dense_0",
    "norm1": "GroupNorm_1",
    "conv1": "Conv_1",
    "skip": "Conv_2",
    "norm": "GroupNorm_0",
    "proj": "NIN_3",
}
QKV = ("NIN_0", "NIN_1", "NIN_2")
KINDS = {"conv": "conv", "aux_skip": "combine", "aux_residual": "down", "aux_norm": "norm", "aux_conv": "conv"}


def placed(config: SongUNetConfig) -> Iterator[PlacedModule]:
    """Every module with parameters, in score_sde's order."""
    if config.embedding_type == "fourier":
        yield PlacedModule("embed/fourier", "fourier")
    yield from (PlacedModule("embed/layer0", "dense"), PlacedModule("embed/layer1", "dense"))
    for side, stages in (("enc", encoder_stages(config)), ("dec", decoder_stages(config))):
        for stage in stages:
            path = f"{side}/{stage.name}"
            if stage.kind == "block":
                yield PlacedModule(path, "block")
                if stage.attention:
                    yield PlacedModule(f"{path}/attention", "attention")
            elif stage.kind in KINDS:
                yield PlacedModule(path, KINDS[stage.kind])


def split(key: str, modules: Sequence[PlacedModule]) -> tuple[PlacedModule, str, str]:
    """The module that a flat key of ours belongs to, the module inside it ("" if none), and the leaf."""
    path, leaf = key.rsplit("/", 1)
    module = max((m for m in modules if f"{path}/".startswith(f"{m.path}/")), key=lambda m: len(m.path))
    return module, path[len(module.path) + 1 :], leaf


class NcsnppBlock(NamedTuple):
    """Sizes of a residual block; `projects` if its shortcut is a convolution."""

    n_in: int
    n_out: int
    projects: bool


def shape_of(blocks: Sequence[NcsnppBlock], n_channels: int) -> dict[str, Any]:
    """channel_mult and num_blocks from the residual blocks in order, those of the decoder included.

    A block that resamples is the only one that projects without changing its width; the first half of those go down.
    """
    resampling = [i for i, block in enumerate(blocks) if block.projects and block.n_in == block.n_out]
    downs = resampling[: len(resampling) // 2]
    num_blocks = downs[0] if downs else (len(blocks) - 3) // 2
    ends = [*downs, (downs[-1] + 1 if downs else 0) + num_blocks]
    widths = [blocks[end - 1].n_out for end in ends]
    return {"channel_mult": tuple(width // n_channels for width in widths), "num_blocks": num_blocks}


def resampling(options: Options, *, fir: bool) -> dict[str, Any]:
    """The filter, which has no parameters: that of the option `fir`, and without the option as `fir` says."""
    kernel = settled_filter(options, fir=fir)["fir_kernel"]
    return {"resample_filter": (1, 1) if kernel is None else tuple(kernel)}


def settled_filter(options: Options, *, fir: bool) -> Options:
    """The options of the filter, `fir` settled and without a kernel that it has no use for."""
    uses_fir = fir if options["fir"] is None else options["fir"]
    return {"fir": uses_fir, "fir_kernel": options["fir_kernel"] if uses_fir else None}


def joined(*parts: np.ndarray) -> np.ndarray:
    """Query, key and value layers side by side."""
    return np.concatenate(parts, -1)
