"""MANI-Pure's forward noise (Huang et al. 2025, arXiv:2509.25082): strong where the image's own spectrum is weak."""

from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ssni_jax.core.arrays import over
from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import normal_like
from ssni_jax.core.types import Images, Keys, Level
from ssni_jax.purify.guides.frequency import modulus, radius_of

Weights = Float[Array, "B H W C"]


@pytree
class ManiNoise:
    """x + sigma eps with eps weighted by w = 1 / (M^gamma + floor), M the mean amplitude of each frequency's band.

    Bands are rings of equal width in the spectrum of the state in [-1, 1], per image and channel (eqs. 8 and 9). What
    the weights do to Gaussian noise n is open in the paper. `form` "edges" is eps = W n for each pixel, W = IDFT(w
    DFT(x)), as eq. 10 multiplies and the paper's figure shows; "filter" is eps = IDFT(sqrt(w) DFT(n)), noise coloured
    in frequency, as the abstract says. Both are scaled to the energy of white noise: the mean over an image of W^2, or
    of w, is one. The sign of W does not matter to Gaussian noise. `floor` is not published: 0.001 is below the
    amplitude of 8-bit rounding.
    """

    form: Literal["edges", "filter"] = static(default="edges")
    bands: int = static(default=8)
    gamma: float = bounded(0, default=1.8)
    floor: float = bounded(0, above=True, default=1e-3)

    def __post_init__(self):
        if self.form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(FORMS)}, got {self.form!r}.")
        if self.bands < 1:
            raise ValueError(f"A spectrum has at least one band, got bands={self.bands}.")

    def __call__(self, keys: Keys, x: Images, sigma: Level) -> Images:
        return x + over(sigma, x) * FORMS[self.form](self.weights(x), x, normal_like(keys, x))

    def weights(self, x: Images) -> Weights:
        """w of every frequency, not scaled."""
        _, height, width, _ = x.shape
        inside = jnp.asarray(rings(height, width, self.bands))
        amplitude = modulus(jnp.fft.fft2(x, axes=(1, 2)))
        total = jnp.einsum("bhwc,hwn->bnc", amplitude, inside, precision="highest")
        mean = total / jnp.maximum(jnp.sum(inside, axis=(0, 1)), 1)[:, None]
        empty = mean == 0
        power = jnp.where(empty, 0.0, jnp.where(empty, 1.0, mean) ** self.gamma)
        return jnp.einsum("bnc,hwn->bhwc", 1 / (power + self.floor), inside, precision="highest")


def edges(weights: Weights, x: Images, noise: Images) -> Images:
    """Noise times the weighted image, scaled to mean square one; noise itself where that image is zero everywhere."""
    intensity = jnp.fft.ifft2(weights * jnp.fft.fft2(x, axes=(1, 2)), axes=(1, 2)).real
    energy = jnp.mean(jnp.square(intensity), axis=(1, 2, 3), keepdims=True)
    blank = energy == 0
    return jnp.where(blank, 1.0, intensity / jnp.sqrt(jnp.where(blank, 1.0, energy))) * noise


def filtered(weights: Weights, x: Images, noise: Images) -> Images:
    """Noise whose power spectrum is the weights, scaled to mean one."""
    power = weights / jnp.mean(weights, axis=(1, 2, 3), keepdims=True)
    return jnp.fft.ifft2(jnp.sqrt(power) * jnp.fft.fft2(noise, axes=(1, 2)), axes=(1, 2)).real


def rings(height: int, width: int, bands: int) -> np.ndarray:
    """[H, W, bands]: one where a frequency is in a band; bands are rings of equal width around frequency zero."""
    radius = radius_of(height, width)
    number = np.floor(bands * radius / max(radius.max(), 1.0)).astype(int).clip(max=bands - 1)
    return np.eye(bands, dtype=np.float32)[number]


FORMS = {"edges": edges, "filter": filtered}
