"""Kernels, moves and random textures that the corruptions are composed of."""

import math

import numpy as np
from jaxtyping import Float
from numpy.random import RandomState
from scipy.ndimage import convolve, convolve1d, zoom

Image = Float[np.ndarray, "H W C"]
FROST_MEAN, FROST_STD = np.array([0.57, 0.65, 0.70]), 0.11  # of the five photographs that the released code draws from


def disk(radius: float, alias: float) -> Float[np.ndarray, "k k"]:
    """A disk of unit sum on at least 17 x 17 pixels, smoothed by a Gaussian of 3 taps, of 5 above a radius of 8."""
    reach, taps = (8, 1) if radius <= 8 else (int(radius), 2)
    rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    inside = (rows**2 + columns**2 <= radius**2).astype(float)
    gauss = np.exp(-(np.arange(-taps, taps + 1) ** 2) / (2 * alias**2))
    smooth = convolve1d(inside / inside.sum(), gauss / gauss.sum(), axis=0, mode="mirror")
    return convolve1d(smooth, gauss / gauss.sum(), axis=1, mode="mirror")


def convolved(x: Image, kernel: Float[np.ndarray, "k k"]) -> Image:
    """Every channel with the kernel, mirrored at the edges."""
    return convolve(x, kernel[..., None], mode="mirror")


def moved(x: Image, radius: int, std: float, degrees: float) -> Image:
    """Motion blur in one direction: half a Gaussian over 2 radius + 1 pixels, edges repeated."""
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * std**2))
    angle, (height, width) = math.radians(degrees), x.shape[:2]
    total = np.zeros(x.shape)
    for i, weight in enumerate(weights / weights.sum()):
        down, right = (math.ceil(i * part - 0.5) for part in (math.sin(angle), math.cos(angle)))
        rows, columns = (np.clip(np.arange(n) + by, 0, n - 1) for n, by in ((height, down), (width, right)))
        total += weight * x[rows][:, columns]
    return total


def magnified(x: Image, factor: float) -> Image:
    """The centre of the image, enlarged bilinearly to the image's size."""
    sides = x.shape[:2]
    inner = [math.ceil(side / factor) for side in sides]
    top, left = ((side - n) // 2 for side, n in zip(sides, inner, strict=True))
    large = np.asarray(zoom(x[top : top + inner[0], left : left + inner[1]], (factor, factor, 1), order=1))
    top, left = ((n - side) // 2 for side, n in zip(sides, large.shape, strict=False))
    return large[top : top + sides[0], left : left + sides[1]]


def plasma(rng: RandomState, sides: tuple[int, ...], decay: float) -> Float[np.ndarray, "H W 1"]:
    """A fractal in [0, 1] by diamonds and squares on a torus; its random steps shrink by decay^2 per halving."""
    side = 1 << (max(*sides, 2) - 1).bit_length()
    field, step, rough = np.zeros((side, side)), side, 100.0
    while step >= 2:
        half = step // 2
        corners = field[::step, ::step]
        across, down = (corners + np.roll(corners, -1, axis) for axis in (1, 0))
        centres = _jittered(rng, down + np.roll(down, -1, 1), rough)
        field[half::step, half::step] = centres
        field[::step, half::step] = _jittered(rng, across + centres + np.roll(centres, 1, 0), rough)
        field[half::step, ::step] = _jittered(rng, down + centres + np.roll(centres, 1, 1), rough)
        step, rough = half, rough / decay
    field -= field.min()
    return (field / field.max())[: sides[0], : sides[1], None]


def crystals(rng: RandomState, sides: tuple[int, ...]) -> Float[np.ndarray, "H W 3"]:
    """A texture like frost on glass: bluish, with sharp ridges, and with the mean and spread of such photographs."""
    ridges = 1 - np.abs(2 * plasma(rng, sides, 1.5) - 1)
    rough = plasma(rng, sides, 1.2)
    pattern = ridges**2 + 0.5 * rough
    spread = np.maximum(pattern.std(), 1e-6)
    return np.clip(FROST_MEAN + FROST_STD * (pattern - pattern.mean()) / spread, 0, 1)


def _jittered(rng: RandomState, total: np.ndarray, rough: float) -> np.ndarray:
    """The mean of four neighbours, from their sum, and noise of up to rough^2."""
    return total / 4 + rough * rng.uniform(-rough, rough, total.shape)
