"""Vision transformers that are told the noise of their images: rRCM's encoder (Lei et al. 2025, arXiv:2501.13094)."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx

from ssni_jax.core.types import Images, Keys, Level, Logits
from ssni_jax.networks.adm_unet import timestep_embedding
from ssni_jax.networks.layers import BatchNorm, Features, LayerNorm, Linear, dropout, folded
from ssni_jax.networks.vit import INIT, Tokens, VitBlock, VitConfig, patches


@dataclasses.dataclass(frozen=True)
class NoiseVitConfig:
    """Shape of a noise-conditioned vision transformer; the defaults are rRCM-B's on CIFAR-10.

    `hidden` and `output` are the widths of the projection that pre-training compares. `n_classes` is 0 for an encoder
    without a head. `norm_before_head` is whether the head reads the class token after the last norm, as released for
    ImageNet, or before it, as for CIFAR-10. `dtype` is the compute type of the blocks.
    """

    resolution: int = 32
    patch: int = 4
    width: int = 768
    depth: int = 12
    n_heads: int = 12
    mlp_width: int = 3072
    hidden: int = 2048
    output: int = 256
    n_classes: int = 10
    norm_before_head: bool = False
    in_channels: int = 3
    qkv_bias: bool = False
    eps: float = 1e-5
    dropout: float = 0.0
    dtype: str = "float32"

    classifies_noisy_images: ClassVar = True

    def __post_init__(self):
        self.transformer  # noqa: B018 - refuses a shape that does not fit

    @property
    def transformer(self) -> VitConfig:
        """The shape of the blocks."""
        sizes = (self.resolution, self.patch, self.width, self.depth, self.n_heads, self.mlp_width)
        return VitConfig(*sizes, eps=self.eps, dropout=self.dropout, dtype=self.dtype)

    @property
    def n_tokens(self) -> int:
        """Class token, noise token and patches."""
        return 2 + (self.resolution // self.patch) ** 2

    def make(self, *, rngs: nnx.Rngs) -> "NoiseVit":
        """The network of this shape, freshly initialised."""
        return NoiseVit(self, rngs=rngs)


class NoiseVit(nnx.Module):
    """Scaled noisy images and their noise labels to logits; tokens are [class, noise, patches].

    The noise token is the sinusoidal embedding of the label itself, which has no weights.
    """

    def __init__(self, config: NoiseVitConfig, *, rngs: nnx.Rngs):
        width, dtype = config.width, config.dtype
        self.config = config
        self.embed = Linear(config.patch**2 * config.in_channels, width, rngs=rngs, dtype=dtype)
        self.cls = nnx.Param(1e-6 * jax.random.normal(rngs.params(), (width,)))
        self.positions = nnx.Param(INIT(rngs.params(), (config.n_tokens, width)))
        blocks = [VitBlock(config.transformer, rngs=rngs, qkv_bias=config.qkv_bias) for _ in range(config.depth)]
        self.blocks = nnx.Dict({f"block{index}": block for index, block in enumerate(blocks)})
        self.norm = LayerNorm(width, eps=config.eps)
        self.projection = Projection(config, rngs=rngs)
        self.head = Linear(width, config.n_classes, rngs=rngs, init=INIT) if config.n_classes else None

    def __call__(self, x: Images, noise_label: Level, *, dropout_keys: Keys | None = None) -> Logits:
        if self.head is None:
            raise ValueError("a network with n_classes=0 has no head: fine-tune it with as many classes as the labels")
        token = self.class_token(x, noise_label, dropout_keys)
        return self.head(self.norm(token) if self.config.norm_before_head else token)

    def representation(self, x: Images, noise_label: Level, *, dropout_keys: Keys | None = None) -> Features:
        """The class token after the last norm."""
        return self.norm(self.class_token(x, noise_label, dropout_keys))

    def projected(
        self, x: Images, noise_label: Level, *, train: bool = False, dropout_keys: Keys | None = None
    ) -> Features:
        """The projection of the representation; `train` takes the batch's own statistics."""
        return self.projection(self.representation(x, noise_label, dropout_keys=dropout_keys), train)

    def class_token(self, x: Images, noise_label: Level, dropout_keys: Keys | None) -> Features:
        """The class token after the last block."""
        tokens = dropout(self.tokens(x, noise_label), self.config.dropout, dropout_keys)
        for index in range(len(self.blocks)):
            tokens = self.blocks[f"block{index}"](tokens, folded(dropout_keys, index))
        return tokens[:, 0]

    def tokens(self, x: Images, noise_label: Level) -> Tokens:
        """Class token, noise token and patches with their positions, float32."""
        config = self.config
        if x.shape[1:3] != (config.resolution,) * 2:
            raise ValueError(
                f"images are {x.shape[1]}x{x.shape[2]}, the network takes {config.resolution}x{config.resolution}: "
                "resize them first"
            )
        noise = timestep_embedding(noise_label, config.width)
        firsts = jnp.stack([jnp.broadcast_to(self.cls[...], noise.shape), noise], axis=1)
        return jnp.concatenate([firsts, self.embed(patches(x, config.patch))], axis=1) + self.positions[...]


class Projection(nnx.Module):
    """Three linear layers without biases, a batch norm and a ReLU after the first two."""

    def __init__(self, config: NoiseVitConfig, *, rngs: nnx.Rngs):
        widths = (config.width, config.hidden, config.hidden, config.output)
        self.layers = nnx.Dict({f"layer{i}": Linear(widths[i], widths[i + 1], rngs=rngs, bias=False) for i in range(3)})
        self.norms = nnx.Dict({f"norm{i}": BatchNorm(config.hidden) for i in range(2)})

    def __call__(self, x: Features, train: bool) -> Features:
        for i in range(2):
            x = self.norms[f"norm{i}"](self.layers[f"layer{i}"](x)[:, None, None], train)[:, 0, 0]
            x = jax.nn.relu(x)
        return self.layers["layer2"](x)
