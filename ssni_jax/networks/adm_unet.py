"""ADM's U-Net (Dhariwal & Nichol 2021, arXiv:2105.05233) and its relatives, as values of one config.

Reads the checkpoints of guided-diffusion, improved-diffusion (Nichol & Dhariwal 2021, arXiv:2102.09672), OpenAI's
consistency_models (Song et al. 2023, arXiv:2303.01469) and EDM's DhariwalUNet, whose names it keeps.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.nn.initializers import normal, variance_scaling, zeros
from jaxtyping import Array, Float

from ssni_jax.core.types import Images, Keys, Level
from ssni_jax.networks.choices import DTYPES, check_choices
from ssni_jax.networks.layers import (
    Conv,
    Features,
    GroupNorm,
    Linear,
    Maps,
    SelfAttention,
    downsample,
    dropout,
    folded,
    upsample,
)
from ssni_jax.networks.remat import REMAT, remembering
from ssni_jax.networks.song_unet import UNetStage

BOX = (1, 1)
TORCH = variance_scaling(1 / 3, "fan_in", "uniform")


@dataclasses.dataclass(frozen=True)
class AdmUNetConfig:
    """Shape of an AdmUNet: plain values only, so that it survives a round trip through JSON.

    The defaults are ADM for ImageNet-64. Choices are those of `CHOICES`: levels are joined by residual blocks that
    resample or by strided convolutions, and the embedding scales and shifts each block's norm or is added before it.
    There are `num_heads` heads, or one per `num_head_channels` channels where it is None; a level with less than one
    head does not attend. Norms have 32 groups of at least `min_group` channels. `resolution` names the levels; images
    of another size that can be halved as often fit too. A network that `requires_labels` refuses to run without
    class labels, another takes them as zeros. `dtype` is the compute type; parameters, norms and the output stay
    float32. `remat` is what the gradient of a block remembers, as in `remembering`.
    """

    resolution: int
    in_channels: int = 3
    out_channels: int = 3
    model_channels: int = 192
    channel_mult: Sequence[int | float] = (1, 2, 3, 4)
    channel_mult_emb: int = 4
    num_blocks: int = 3
    attn_resolutions: Sequence[int] = (32, 16, 8)
    num_heads: int | None = None
    num_head_channels: int = 64
    conditioning: str = "scale_shift"
    resampling: str = "block"
    min_group: int = 1
    dropout: float = 0.1
    label_dim: int = 0
    requires_labels: bool = True
    augment_dim: int = 0
    dtype: str = "float32"
    remat: str = "none"

    def __post_init__(self):
        for name in ("channel_mult", "attn_resolutions"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        check_choices(self, CHOICES)
        if self.model_channels % 2:
            raise ValueError(f"model_channels is {self.model_channels}, but the embedding needs a multiple of 2")
        if self.num_head_channels < 1 or (self.num_heads is not None and self.num_heads < 1):
            raise ValueError(
                f"num_heads is {self.num_heads} and num_head_channels {self.num_head_channels}: give a positive number "
                "of heads, or None and the channels of a head"
            )
        if self.resolution % 2 ** (len(self.channel_mult) - 1):
            raise ValueError(
                f"resolution {self.resolution} cannot be halved {len(self.channel_mult) - 1} times: "
                "pad the images or shorten channel_mult"
            )

    def width(self, level: int) -> int:
        """Channels at a level."""
        return round(self.model_channels * self.channel_mult[level])

    def n_heads(self, n: int) -> int:
        """Attention heads of `n` channels."""
        return n // self.num_head_channels if self.num_heads is None else self.num_heads

    def make(self, *, rngs: nnx.Rngs) -> "AdmUNet":
        """The network of this shape, freshly initialised."""
        return AdmUNet(self, rngs=rngs)


CHOICES = {
    "conditioning": ("scale_shift", "additive"),
    "resampling": ("block", "conv"),
    "dtype": DTYPES,
    "remat": REMAT,
}


class AdmUNet(nnx.Module):
    """The U-Net F(x, noise label); what its output means is the preconditioning's choice."""

    def __init__(self, config: AdmUNetConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.embed = AdmEmbedding(config, rngs=rngs)
        self.enc = nnx.Dict({stage.name: _module(stage, config, rngs) for stage in encoder_stages(config)})
        self.dec = nnx.Dict({stage.name: _module(stage, config, rngs) for stage in decoder_stages(config)})
        n = config.width(0)
        self.out_norm = _norm(n, config)
        self.out_conv = Conv(n, config.out_channels, 3, rngs=rngs, init=zeros, dtype=config.dtype)

    def __call__(
        self,
        x: Images,
        noise_label: Level,
        *,
        class_labels: Float[Array, "B L"] | None = None,
        augment_labels: Float[Array, "B A"] | None = None,
        dropout_keys: Keys | None = None,
    ) -> Maps:
        """Dropout is off without `dropout_keys`; `class_labels` are one-hot."""
        _check_labels(self.config, class_labels)
        emb = self.embed(noise_label, class_labels, augment_labels)
        x, skips = x.astype(self.config.dtype), []
        for index, stage in enumerate(encoder_stages(self.config)):
            skips.append(x := self._run(stage, self.enc[stage.name], x, emb, folded(dropout_keys, index)))
        for index, stage in enumerate(decoder_stages(self.config)):
            x = jnp.concatenate([x, skips.pop()], axis=-1) if stage.joins else x
            x = self._run(stage, self.dec[stage.name], x, emb, folded(dropout_keys, -1 - index))
        return self.out_conv(jax.nn.silu(self.out_norm(x))).astype(jnp.float32)

    def _run(self, stage: UNetStage, module: nnx.Module, x: Maps, emb: Features, keys: Keys | None) -> Maps:
        if stage.kind == "block":
            return remembering(self.config.remat, module)(x, emb, keys)  # type: ignore[arg-type]
        return module(upsample(x, BOX) if stage.resample == "up" else x)  # type: ignore[operator]


class AdmEmbedding(nnx.Module):
    """Noise label, class and augmentation to the vector that every block reads; float32 throughout."""

    def __init__(self, config: AdmUNetConfig, *, rngs: nnx.Rngs):
        n, n_out = config.model_channels, config.model_channels * config.channel_mult_emb
        self.n = n
        linear = partial(Linear, rngs=rngs, init=TORCH)
        self.augment = linear(config.augment_dim, n, bias=False, init=zeros) if config.augment_dim else None
        self.layer0, self.layer1 = linear(n, n_out), linear(n_out, n_out)
        self.label = linear(config.label_dim, n_out, bias=False, init=normal(1.0)) if config.label_dim else None

    def __call__(
        self,
        noise_label: Level,
        class_labels: Float[Array, "B L"] | None,
        augment_labels: Float[Array, "B A"] | None,
    ) -> Features:
        emb = timestep_embedding(noise_label, self.n)
        if self.augment is not None and augment_labels is not None:
            emb = emb + self.augment(augment_labels)
        emb = self.layer1(jax.nn.silu(self.layer0(emb)))
        if self.label is not None and class_labels is not None:
            emb = emb + self.label(class_labels)
        return jax.nn.silu(emb)


def timestep_embedding(v: Level, n: int, max_period: float = 10000.0) -> Features:
    """[cos, sin] of v at n / 2 frequencies from 1 down to, but without, 1 / max_period."""
    # Rounded where the original rounds: at labels near 1000 the last bit of a frequency shows in the output.
    exponents = np.float32(-np.log(max_period)) * np.arange(n // 2, dtype=np.float32) / np.float32(n // 2)
    freqs = np.exp(exponents.astype(np.float64)).astype(np.float32)
    phase = v[:, None] * freqs[None]
    return jnp.concatenate([jnp.cos(phase), jnp.sin(phase)], axis=1)


class AdmBlock(nnx.Module):
    """Residual block that reads the embedding, with optional resampling and attention."""

    def __init__(self, stage: UNetStage, config: AdmUNetConfig, *, rngs: nnx.Rngs):
        n_in, n = stage.n_in, stage.n_out
        conv = partial(Conv, rngs=rngs, init=TORCH, dtype=config.dtype)
        self.resample, self.dropout = stage.resample, config.dropout
        self.scale_shift = config.conditioning == "scale_shift"
        self.norm0 = _norm(n_in, config)
        self.conv0 = conv(n_in, n, 3)
        n_emb = config.model_channels * config.channel_mult_emb
        self.affine = Linear(n_emb, 2 * n if self.scale_shift else n, rngs=rngs, init=TORCH)
        self.norm1 = _norm(n, config)
        self.conv1 = conv(n, n, 3, init=zeros)
        self.skip = conv(n_in, n, 1) if n != n_in else None
        self.attention = _attention(n, config, rngs) if stage.attention else None

    def __call__(self, x: Maps, emb: Features, keys: Keys | None) -> Maps:
        h = self.conv0(self._resampled(jax.nn.silu(self.norm0(x))))
        h = jax.nn.silu(self._conditioned(h, emb))
        h = self.conv1(dropout(h, self.dropout, keys))
        x = self._resampled(x)
        x = h + (x if self.skip is None else self.skip(x))
        return x if self.attention is None else x + self.attention(x)

    def _conditioned(self, h: Maps, emb: Features) -> Maps:
        v = self.affine(emb)[:, None, None].astype(h.dtype)
        if not self.scale_shift:
            return self.norm1(h + v)
        scale, shift = jnp.split(v, 2, axis=-1)
        return self.norm1(h) * (1 + scale) + shift

    def _resampled(self, x: Maps) -> Maps:
        if self.resample == "down":
            return downsample(x, BOX)
        return upsample(x, BOX) if self.resample == "up" else x


def encoder_stages(config: AdmUNetConfig) -> Iterator[UNetStage]:
    """The encoder from the image down, in order of use; every stage leaves a skip."""
    n = config.width(0)
    for level in range(len(config.channel_mult)):
        at = _at(config, level)
        if level == 0:
            yield UNetStage(f"{at}_conv", "conv", config.in_channels, n)
        else:
            yield UNetStage(f"{at}_down", config.resampling, n, n, resample="down")
        for index in range(config.num_blocks):
            n_in, n = n, config.width(level)
            yield UNetStage(f"{at}_block{index}", "block", n_in, n, attention=_attends(config, level))


def decoder_stages(config: AdmUNetConfig) -> Iterator[UNetStage]:
    """The decoder from the lowest resolution up, in order of use."""
    skips = [stage.n_out for stage in encoder_stages(config)]
    n = skips[-1]
    for level in reversed(range(len(config.channel_mult))):
        at = _at(config, level)
        if level == len(config.channel_mult) - 1:
            yield UNetStage(f"{at}_in0", "block", n, n, attention=config.n_heads(n) > 0)
            yield UNetStage(f"{at}_in1", "block", n, n)
        else:
            yield UNetStage(f"{at}_up", config.resampling, n, n, resample="up")
        for index in range(config.num_blocks + 1):
            n_in, n = n + skips.pop(), config.width(level)
            yield UNetStage(f"{at}_block{index}", "block", n_in, n, attention=_attends(config, level), joins=True)


def _at(config: AdmUNetConfig, level: int) -> str:
    return f"{config.resolution >> level}x{config.resolution >> level}"


def _attends(config: AdmUNetConfig, level: int) -> bool:
    return config.resolution >> level in config.attn_resolutions and config.n_heads(config.width(level)) > 0


def _module(stage: UNetStage, config: AdmUNetConfig, rngs: nnx.Rngs) -> nnx.Module:
    if stage.kind == "block":
        return AdmBlock(stage, config, rngs=rngs)
    stride = 2 if stage.resample == "down" else 1
    return Conv(stage.n_in, stage.n_out, 3, rngs=rngs, stride=stride, init=TORCH, dtype=config.dtype)


def _attention(n: int, config: AdmUNetConfig, rngs: nnx.Rngs) -> SelfAttention:
    shape = {"n_heads": config.n_heads(n), "n_groups": _n_groups(n, config), "eps": 1e-5}
    return SelfAttention(n, rngs=rngs, **shape, init=TORCH, last=zeros, dtype=config.dtype)


def _norm(n: int, config: AdmUNetConfig) -> GroupNorm:
    return GroupNorm(n, eps=1e-5, n_groups=_n_groups(n, config))


def _n_groups(n: int, config: AdmUNetConfig) -> int:
    return max(1, min(32, n // config.min_group))


def _check_labels(config: AdmUNetConfig, class_labels: Array | None) -> None:
    if class_labels is None and config.label_dim and config.requires_labels:
        raise ValueError(
            f"this network was trained with one of {config.label_dim} class labels for every image: "
            "put Conditioned(denoise, class_labels, n_classes) around its denoiser"
        )
    if class_labels is not None and not config.label_dim:
        raise ValueError("this network knows no classes: call it without class_labels")
