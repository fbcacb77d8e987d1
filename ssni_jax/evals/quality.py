"""How close images came to others, pixel by pixel and structure by structure: PSNR and SSIM of images in [0, 1]."""

import jax.numpy as jnp

from ssni_jax.core.types import Images, Level
from ssni_jax.purify.guides.similarity import Maps, similarity_map, weighted, window_weights

WINDOW = 11
STD = 1.5


def psnr(a: Images, b: Images) -> Level:
    """Peak signal-to-noise ratio in dB, -10 log10 of the mean squared difference; equal images have infinity."""
    return -10 * jnp.log10(jnp.mean(jnp.square(a - b), axis=(1, 2, 3)))


def ssim(a: Images, b: Images) -> Level:
    """Structural similarity (Wang et al. 2004, eq. 13), averaged over where the whole window fits, and channels.

    The Gaussian window has standard deviation 1.5 and is 11 pixels wide, K1 = 0.01 and K2 = 0.03, as in the paper. An
    image that is smaller gets the widest odd window that fits, 7 pixels for digits of 8 x 8, with the same deviation.
    """
    window = largest_window(*a.shape[1:3])
    reach = window // 2

    def mean(x: Images) -> Maps:
        rows, columns = (window_weights(n, window, STD)[reach : n - reach] for n in x.shape[1:3])
        return weighted(x, rows, columns)

    return jnp.mean(similarity_map(mean, a, b, 1.0), axis=(1, 2, 3))


def largest_window(height: int, width: int) -> int:
    """The widest odd window up to 11 pixels inside an image of this size."""
    return min(WINDOW, height - 1 + height % 2, width - 1 + width % 2)
