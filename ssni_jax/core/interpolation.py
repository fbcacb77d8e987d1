"""Resampling of one axis as torch's `interpolate` does it without antialiasing, as a matrix of weights."""

import numpy as np
from jaxtyping import Float

A = -0.75
"""The parameter of torch's cubic convolution; Pillow and `jax.image.resize` have Keys' -0.5."""


def linear_weights(n_in: int, n_out: int) -> Float[np.ndarray, "n_out n_in"]:
    """Weights of mode "bilinear": half-pixel centres, the two nearest pixels, the border repeated."""
    centre = np.clip((np.arange(n_out) + 0.5) * n_in / n_out - 0.5, 0, n_in - 1)
    return np.maximum(0.0, 1.0 - np.abs(centre[:, None] - np.arange(n_in)))


def cubic_weights(n_in: int, n_out: int) -> Float[np.ndarray, "n_out n_in"]:
    """Weights of mode "bicubic": half-pixel centres, the four nearest pixels, the border repeated."""
    centre = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    first = np.floor(centre).astype(int) - 1
    weights = np.zeros((n_out, n_in))
    for tap in range(4):
        places = np.clip(first + tap, 0, n_in - 1)
        np.add.at(weights, (np.arange(n_out), places), _kernel(centre - (first + tap)))
    return weights


def _kernel(distance: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Cubic convolution (Keys 1981, eq. 4), whose second piece ends at distance 2."""
    d = np.abs(distance)
    near = ((A + 2) * d - (A + 3)) * d**2 + 1
    far = A * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, far)
