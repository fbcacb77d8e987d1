"""DDPM++ and NCSN++ (Song et al. 2021, arXiv:2011.13456) as EDM (Karras et al. 2022, arXiv:2206.00364) writes them.

Reads the checkpoints of score_sde (DDPM++, and NCSN++ with biggan blocks) and of EDM's SongUNet, whose names it keeps.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from ssni_jax.core.types import Images, Keys, Level
from ssni_jax.networks.choices import DTYPES, check_choices
from ssni_jax.networks.layers import (
    Conv,
    Features,
    FourierEmbedding,
    GroupNorm,
    Linear,
    Maps,
    SelfAttention,
    compute_type,
    downsample,
    dropout,
    folded,
    positional_embedding,
    upsample,
    xavier,
)
from ssni_jax.networks.remat import REMAT, remembering

HALF_POWER = float(np.sqrt(0.5))


@dataclasses.dataclass(frozen=True)
class SongUNetConfig:
    """Shape of a SongUNet: plain values only, so that it survives a round trip through JSON.

    The defaults are DDPM++; NCSN++ is embedding_type "fourier", channel_mult_noise 2, encoder_type "residual" and
    resample_filter (1, 3, 3, 1). Sequences become tuples, choices are those of `CHOICES`. `dtype` is the compute type;
    parameters, norms and the output stay float32. `remat` is what the gradient remembers, as in `remembering`.
    """

    resolution: int
    in_channels: int = 3
    out_channels: int = 3
    model_channels: int = 128
    channel_mult: Sequence[int] = (1, 2, 2, 2)
    channel_mult_emb: int = 4
    num_blocks: int = 4
    attn_resolutions: Sequence[int] = (16,)
    dropout: float = 0.1
    label_dim: int = 0
    augment_dim: int = 0
    embedding_type: str = "positional"
    channel_mult_noise: int = 1
    encoder_type: str = "standard"
    decoder_type: str = "standard"
    resample_filter: Sequence[int] = (1, 1)
    dtype: str = "float32"
    remat: str = "none"

    def __post_init__(self):
        for name in ("channel_mult", "attn_resolutions", "resample_filter"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_choices(self, CHOICES)
        if self.model_channels % 4:
            raise ValueError(f"model_channels is {self.model_channels}, but norms and embeddings need a multiple of 4")
        if len(self.resample_filter) % 2:
            raise ValueError(f"resample_filter {self.resample_filter} has an odd length: use (1, 1) or (1, 3, 3, 1)")
        if self.resolution % 2 ** (len(self.channel_mult) - 1):
            raise ValueError(
                f"resolution {self.resolution} cannot be halved {len(self.channel_mult) - 1} times: "
                "pad the images or shorten channel_mult"
            )

    def make(self, *, rngs: nnx.Rngs) -> "SongUNet":
        """The network of this shape, freshly initialised."""
        return SongUNet(self, rngs=rngs)


CHOICES = {
    "embedding_type": ("positional", "fourier"),
    "encoder_type": ("standard", "skip", "residual"),
    "decoder_type": ("standard", "skip"),
    "dtype": DTYPES,
    "remat": REMAT,
}


class SongUNet(nnx.Module):
    """The U-Net F(x, noise label); what its output means is the preconditioning's choice."""

    def __init__(self, config: SongUNetConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.embed = SongEmbedding(config, rngs=rngs)
        self.enc = nnx.Dict(_modules(encoder_stages(config), config, rngs))
        self.dec = nnx.Dict(_modules(decoder_stages(config), config, rngs))

    def __call__(
        self,
        x: Images,
        noise_label: Level,
        *,
        class_labels: Float[Array, "B L"] | None = None,
        augment_labels: Float[Array, "B A"] | None = None,
        dropout_keys: Keys | None = None,
    ) -> Maps:
        """Dropout is off without `dropout_keys`; `class_labels` are one-hot, zeros when absent."""
        emb = self.embed(noise_label, class_labels, augment_labels)
        x, skips = self._encode(x.astype(compute_type(x, self.config.dtype)), emb, dropout_keys)
        return self._decode(x, skips, emb, dropout_keys)

    def _encode(self, x: Maps, emb: Features, keys: Keys | None) -> tuple[Maps, list[Maps]]:
        taps, aux, skips = self.config.resample_filter, x, []
        for index, stage in enumerate(encoder_stages(self.config)):
            if stage.kind == "conv":
                skips.append(x := self.enc[stage.name](x))
            elif stage.kind == "block":
                run = remembering(self.config.remat, self.enc[stage.name])
                skips.append(x := run(x, emb, folded(keys, index)))
            elif stage.kind == "aux_down":
                aux = downsample(aux, taps)
            elif stage.kind == "aux_skip":
                skips[-1] = x = x + self.enc[stage.name](aux)
            elif stage.kind == "aux_residual":
                aux = downsample(self.enc[stage.name](aux), taps, padding=0)
                skips[-1] = x = aux = (x + aux) * HALF_POWER
        return x, skips

    def _decode(self, x: Maps, skips: list[Maps], emb: Features, keys: Keys | None) -> Maps:
        images, hidden = [], x
        for index, stage in enumerate(decoder_stages(self.config)):
            if stage.kind == "block":
                if stage.joins:
                    x = jnp.concatenate([x, skips.pop()], axis=-1)
                run = remembering(self.config.remat, self.dec[stage.name])
                x = run(x, emb, folded(keys, -1 - index))
            elif stage.kind == "aux_up":
                images = [upsample(image, self.config.resample_filter) for image in images]
            elif stage.kind == "aux_norm":
                hidden = jax.nn.silu(self.dec[stage.name](x))
            elif stage.kind == "aux_conv":
                images = [sum(images, start=self.dec[stage.name](hidden).astype(compute_type(hidden)))]
        return images[0]


class SongEmbedding(nnx.Module):
    """Noise label, class and augmentation to the vector that every block reads; float32 throughout."""

    def __init__(self, config: SongUNetConfig, *, rngs: nnx.Rngs):
        n = config.model_channels * config.channel_mult_noise
        n_out = config.model_channels * config.channel_mult_emb
        self.n, self.label_dim = n, config.label_dim
        self.fourier = FourierEmbedding(n, rngs=rngs) if config.embedding_type == "fourier" else None
        self.label = Linear(config.label_dim, n, rngs=rngs) if config.label_dim else None
        self.augment = Linear(config.augment_dim, n, rngs=rngs, bias=False) if config.augment_dim else None
        self.layer0 = Linear(n, n_out, rngs=rngs)
        self.layer1 = Linear(n_out, n_out, rngs=rngs)

    def __call__(
        self,
        noise_label: Level,
        class_labels: Float[Array, "B L"] | None,
        augment_labels: Float[Array, "B A"] | None,
    ) -> Features:
        emb = positional_embedding(noise_label, self.n) if self.fourier is None else self.fourier(noise_label)
        if self.label is not None:
            labels = jnp.zeros((emb.shape[0], self.label_dim)) if class_labels is None else class_labels
            emb = emb + self.label(labels * np.sqrt(self.label_dim))
        if self.augment is not None and augment_labels is not None:
            emb = emb + self.augment(augment_labels)
        return jax.nn.silu(self.layer1(jax.nn.silu(self.layer0(emb))))


@dataclasses.dataclass(frozen=True)
class UNetStage:
    """One entry of the network's plan; `joins` marks a block that first concatenates a skip."""

    name: str
    kind: str
    n_in: int
    n_out: int
    resample: str = ""
    attention: bool = False
    joins: bool = False


class SongBlock(nnx.Module):
    """Residual block with noise embedding, optional resampling and attention, residuals scaled by sqrt(1/2)."""

    def __init__(self, stage: UNetStage, config: SongUNetConfig, *, rngs: nnx.Rngs):
        n_in, n, dtype = stage.n_in, stage.n_out, config.dtype
        self.stage, self.dropout, self.taps = stage, config.dropout, config.resample_filter
        self.norm0 = GroupNorm(n_in)
        self.conv0 = Conv(n_in, n, 3, rngs=rngs, dtype=dtype)
        self.affine = Linear(config.model_channels * config.channel_mult_emb, n, rngs=rngs)
        self.norm1 = GroupNorm(n)
        self.conv1 = Conv(n, n, 3, rngs=rngs, init=xavier(1e-5), dtype=dtype)
        projects = n != n_in or stage.resample
        self.skip = Conv(n_in, n, 1, rngs=rngs, dtype=dtype) if projects else None
        self.attention = SelfAttention(n, rngs=rngs, dtype=dtype) if stage.attention else None

    def __call__(self, x: Maps, emb: Features, keys: Keys | None) -> Maps:
        h = self.conv0(self._resample(jax.nn.silu(self.norm0(x))))
        h = h + self.affine(emb)[:, None, None].astype(h.dtype)
        h = self.conv1(dropout(jax.nn.silu(self.norm1(h)), self.dropout, keys))
        skip = x if self.skip is None else self.skip(self._resample(x))
        x = (h + skip) * HALF_POWER
        return x if self.attention is None else (x + self.attention(x)) * HALF_POWER

    def _resample(self, x: Maps) -> Maps:
        if self.stage.resample == "down":
            return downsample(x, self.taps)
        return upsample(x, self.taps) if self.stage.resample == "up" else x


def encoder_stages(config: SongUNetConfig) -> Iterator[UNetStage]:
    """The encoder from the image down, in order of use."""
    n = config.model_channels
    for level, mult in enumerate(config.channel_mult):
        at = _at(config, level)
        if level == 0:
            yield UNetStage(f"{at}_conv", "conv", config.in_channels, n)
        else:
            yield UNetStage(f"{at}_down", "block", n, n, resample="down")
            yield from _auxiliary_inputs(config, level, n)
        for index in range(config.num_blocks):
            attention = config.resolution >> level in config.attn_resolutions
            n_in, n = n, config.model_channels * mult
            yield UNetStage(f"{at}_block{index}", "block", n_in, n, attention=attention)


def _auxiliary_inputs(config: SongUNetConfig, level: int, n: int) -> Iterator[UNetStage]:
    at = _at(config, level)
    if config.encoder_type == "skip":
        yield UNetStage(f"{at}_aux_down", "aux_down", config.in_channels, config.in_channels)
        yield UNetStage(f"{at}_aux_skip", "aux_skip", config.in_channels, n)
    if config.encoder_type == "residual":
        n_aux = config.in_channels if level == 1 else config.model_channels * config.channel_mult[level - 2]
        yield UNetStage(f"{at}_aux_residual", "aux_residual", n_aux, n)


def decoder_stages(config: SongUNetConfig) -> Iterator[UNetStage]:
    """The decoder from the lowest resolution up, in order of use."""
    skips = [stage.n_out for stage in encoder_stages(config) if stage.kind in ("conv", "block")]
    n = skips[-1]
    for level in reversed(range(len(config.channel_mult))):
        at = _at(config, level)
        if level == len(config.channel_mult) - 1:
            yield UNetStage(f"{at}_in0", "block", n, n, attention=True)
            yield UNetStage(f"{at}_in1", "block", n, n)
        else:
            yield UNetStage(f"{at}_up", "block", n, n, resample="up")
        for index in range(config.num_blocks + 1):
            attention = index == config.num_blocks and config.resolution >> level in config.attn_resolutions
            n_in, n = n + skips.pop(), config.model_channels * config.channel_mult[level]
            yield UNetStage(f"{at}_block{index}", "block", n_in, n, attention=attention, joins=True)
        yield from _image_outputs(config, level, n)


def _image_outputs(config: SongUNetConfig, level: int, n: int) -> Iterator[UNetStage]:
    at, n_out = _at(config, level), config.out_channels
    if config.decoder_type == "skip" and level < len(config.channel_mult) - 1:
        yield UNetStage(f"{at}_aux_up", "aux_up", n_out, n_out)
    if config.decoder_type == "skip" or level == 0:
        yield UNetStage(f"{at}_aux_norm", "aux_norm", n, n)
        yield UNetStage(f"{at}_aux_conv", "aux_conv", n, n_out)


def _at(config: SongUNetConfig, level: int) -> str:
    resolution = config.resolution >> level
    return f"{resolution}x{resolution}"


def _modules(stages: Iterator[UNetStage], config: SongUNetConfig, rngs: nnx.Rngs) -> dict[str, nnx.Module]:
    made = {stage.name: _module(stage, config, rngs) for stage in stages}
    return {name: module for name, module in made.items() if module is not None}


def _module(stage: UNetStage, config: SongUNetConfig, rngs: nnx.Rngs) -> nnx.Module | None:
    n_in, n_out, dtype = stage.n_in, stage.n_out, config.dtype
    match stage.kind:
        case "block":
            return SongBlock(stage, config, rngs=rngs)
        case "conv":
            return Conv(n_in, n_out, 3, rngs=rngs, dtype=dtype)
        case "aux_skip":
            return Conv(n_in, n_out, 1, rngs=rngs, dtype=dtype)
        case "aux_residual":
            # Padded for the filter that follows, which then needs no padding of its own.
            padding = 1 + (len(config.resample_filter) - 1) // 2
            return Conv(n_in, n_out, 3, rngs=rngs, padding=padding, dtype=dtype)
        case "aux_norm":
            return GroupNorm(n_in)
        case "aux_conv":
            return Conv(n_in, n_out, 3, rngs=rngs, init=xavier(1e-5), dtype=dtype)
    return None
