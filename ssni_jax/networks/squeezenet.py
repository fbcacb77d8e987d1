"""SqueezeNet 1.1 (Iandola et al. 2016, arXiv:1602.07360) as torchvision has it."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import nnx

from ssni_jax.core.types import Images, Logits
from ssni_jax.networks.backbones import STACKS, Backbone, widths
from ssni_jax.networks.choices import DTYPES, check_choices
from ssni_jax.networks.layers import Features, Linear, Maps, pooled


@dataclasses.dataclass(frozen=True)
class SqueezeNetConfig:
    """Shape of a SqueezeNet 1.1; `dtype` is the compute type of the convolutions, the head stays float32."""

    n_classes: int = 1000
    dtype: str = "float32"

    def __post_init__(self):
        check_choices(self, {"dtype": DTYPES})

    def make(self, *, rngs: nnx.Rngs) -> "SqueezeNet":
        """The network of this shape, freshly initialised."""
        return SqueezeNet(self, rngs=rngs)


class SqueezeNet(nnx.Module):
    """Normalised images to logits: a rectified score of every class at every position, averaged."""

    def __init__(self, config: SqueezeNetConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.features = Backbone("squeeze", rngs=rngs, dtype=config.dtype)
        self.head = Linear(widths(STACKS["squeeze"])[-1], config.n_classes, rngs=rngs)

    def __call__(self, x: Images) -> Logits:
        scores = jax.nn.relu(self.head(self.features(x)[-1]))
        return jnp.mean(scores, (1, 2))

    def penultimate(self, x: Images) -> Features:
        """The last features, averaged over positions, float32; the head reads them before the average."""
        return pooled(self.taps(x)[-1])

    def taps(self, x: Images) -> list[Maps]:
        """The features that LPIPS would compare."""
        return self.features(x)
