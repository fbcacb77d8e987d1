"""Vision transformers (Dosovitskiy et al. 2021, arXiv:2010.11929) and DeiT (Touvron et al. 2021, arXiv:2012.12877)."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx
from jax.nn.initializers import truncated_normal
from jaxtyping import Array, Float

from ssni_jax.core.types import Images, Keys, Logits
from ssni_jax.networks.choices import DTYPES, check_choices
from ssni_jax.networks.layers import Features, LayerNorm, Linear, Maps, dropout, folded

Tokens = Float[Array, "B _n _c"]
INIT = truncated_normal(0.02)


@dataclasses.dataclass(frozen=True)
class VitConfig:
    """Shape of a vision transformer; the defaults are ViT-B/16 at 224 pixels.

    `distilled` adds DeiT's distillation token and head, whose logits are averaged with the class token's. `eps` is that
    of the layer norms. `dtype` is the compute type of matrix products and attention; tokens between the blocks, norms
    and logits stay float32.
    """

    resolution: int = 224
    patch: int = 16
    width: int = 768
    depth: int = 12
    n_heads: int = 12
    mlp_width: int = 3072
    n_classes: int = 1000
    in_channels: int = 3
    distilled: bool = False
    eps: float = 1e-6
    dropout: float = 0.0
    dtype: str = "float32"

    def __post_init__(self):
        if self.patch < 1 or self.resolution < 1 or self.resolution % self.patch:
            raise ValueError(f"patches of {self.patch} do not tile {self.resolution} pixels: choose a divisor of it")
        check_choices(self, {"dtype": DTYPES})
        if self.n_heads < 1 or self.width % self.n_heads:
            raise ValueError(f"n_heads={self.n_heads} does not divide the width {self.width}: choose a divisor of it")

    @property
    def n_tokens(self) -> int:
        """Class token, distillation token if there is one, and patches."""
        return 1 + self.distilled + (self.resolution // self.patch) ** 2

    def make(self, *, rngs: nnx.Rngs) -> "Vit":
        """The network of this shape, freshly initialised."""
        return Vit(self, rngs=rngs)


class Vit(nnx.Module):
    """Normalised images of one size to logits, read from the class token after the last norm."""

    def __init__(self, config: VitConfig, *, rngs: nnx.Rngs):
        width, dtype = config.width, config.dtype
        self.config = config
        self.embed = Linear(config.patch**2 * config.in_channels, width, rngs=rngs, init=INIT, dtype=dtype)
        self.cls = nnx.Param(INIT(rngs.params(), (width,)))
        self.dist = nnx.Param(INIT(rngs.params(), (width,))) if config.distilled else None
        self.positions = nnx.Param(INIT(rngs.params(), (config.n_tokens, width)))
        self.blocks = nnx.Dict({f"block{index}": VitBlock(config, rngs=rngs) for index in range(config.depth)})
        self.norm = LayerNorm(width, eps=config.eps)
        self.head = Linear(width, config.n_classes, rngs=rngs, init=INIT)
        self.head_dist = Linear(width, config.n_classes, rngs=rngs, init=INIT) if config.distilled else None

    def __call__(self, x: Images, *, train: bool = False, dropout_keys: Keys | None = None) -> Logits:
        """`train` changes nothing, because nothing here learns from the batch; dropout acts where it has keys."""
        x = self.norm(self._outputs(x, dropout_keys)[-1])
        if self.head_dist is None:
            return self.head(x[:, 0])
        return (self.head(x[:, 0]) + self.head_dist(x[:, 1])) / 2

    def penultimate(self, x: Images) -> Features:
        """The class token after the last norm, which the head reads; a distillation token is left out."""
        return self.norm(self._outputs(x, None)[-1])[:, 0]

    def taps(self, x: Images) -> list[Maps]:
        """The patches' tokens after every block, each at its place in the image."""
        side = self.config.resolution // self.config.patch
        return [out[:, -side * side :].reshape(-1, side, side, out.shape[-1]) for out in self._outputs(x, None)]

    def _outputs(self, x: Images, dropout_keys: Keys | None) -> list[Tokens]:
        """All tokens after every block."""
        x, outputs = dropout(self.tokens(x), self.config.dropout, dropout_keys), []
        for index in range(len(self.blocks)):
            x = self.blocks[f"block{index}"](x, folded(dropout_keys, index))
            outputs.append(x)
        return outputs

    def tokens(self, x: Images) -> Tokens:
        """Class token and patches with their positions, float32."""
        if x.shape[1:3] != (self.config.resolution,) * 2:
            size = self.config.resolution
            raise ValueError(
                f"images are {x.shape[1]}x{x.shape[2]}, the network takes {size}x{size}: resize them first"
            )
        firsts = [token[...] for token in (self.cls, self.dist) if token is not None]
        firsts = jnp.broadcast_to(jnp.stack(firsts), (len(x), len(firsts), self.config.width))
        return jnp.concatenate([firsts, self.embed(patches(x, self.config.patch))], axis=1) + self.positions[...]


class VitBlock(nnx.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)), the paper's eqs. 2 and 3, with the exact GELU."""

    def __init__(self, config: VitConfig, *, rngs: nnx.Rngs, qkv_bias: bool = True):
        n, hidden, dtype = config.width, config.mlp_width, config.dtype
        self.norm0, self.norm1 = LayerNorm(n, eps=config.eps), LayerNorm(n, eps=config.eps)
        self.qkv = Linear(n, 3 * n, rngs=rngs, bias=qkv_bias, init=INIT, dtype=dtype)
        self.proj = Linear(n, n, rngs=rngs, init=INIT, dtype=dtype)
        self.up = Linear(n, hidden, rngs=rngs, init=INIT, dtype=dtype)
        self.down = Linear(hidden, n, rngs=rngs, init=INIT, dtype=dtype)
        self.n_heads, self.dropout = config.n_heads, config.dropout

    def __call__(self, x: Tokens, keys: Keys | None) -> Tokens:
        x = x + dropout(self.proj(self.attend(self.norm0(x))), self.dropout, folded(keys, 0))
        hidden = jax.nn.gelu(self.up(self.norm1(x)), approximate=False)
        return x + dropout(self.down(hidden), self.dropout, folded(keys, 1))

    def attend(self, x: Tokens) -> Tokens:
        """Softmax attention among all tokens; `qkv` gives [q | k | v], each [head, channel]."""
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.n_heads, c // self.n_heads)
        return jax.nn.dot_product_attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]).reshape(b, n, c)


def patches(x: Images, size: int) -> Tokens:
    """Squares of `size` pixels row by row, each flattened as [row, column, channel].

    A linear layer on them is the papers' strided convolution, whose gradient in the image would cost size^2 as much.
    """
    b, h, w, c = x.shape
    x = x.reshape(b, h // size, size, w // size, size, c).swapaxes(2, 3)
    return x.reshape(b, (h // size) * (w // size), size * size * c)
