"""The 15 common corruptions of Hendrycks & Dietterich 2019 (arXiv:1903.12261), each with its own constants.

Every function takes an image [H, W, C] in [0, 1] and returns one that `corrupted` clips. They are written anew, so that
noise differs from that of the released data sets while the constants and the kinds of noise agree.
"""

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.random import RandomState
from PIL import Image as Picture
from scipy.ndimage import gaussian_filter, map_coordinates

from ssni_jax.data.decode import MODES
from ssni_jax.data.textures import convolved, crystals, disk, magnified, moved, plasma

Image = Float[np.ndarray, "H W C"]
GREY = np.array([0.299, 0.587, 0.114])  # weights of red, green and blue in luma (ITU-R BT.601)


def gaussian_noise(rng: RandomState, x: Image, std: float) -> Image:
    """Noise of the sensor in low light."""
    return x + std * rng.standard_normal(x.shape)


def shot_noise(rng: RandomState, x: Image, photons: float) -> Image:
    """Poisson noise of `photons` photons in a white value."""
    return rng.poisson(x * photons) / photons


def impulse_noise(rng: RandomState, x: Image, share: float) -> Image:
    """This share of all values becomes 0 or 1."""
    struck, salt = rng.random_sample(x.shape) < share, rng.random_sample(x.shape) < 0.5
    return np.where(struck, salt, x)


def defocus_blur(rng: RandomState, x: Image, radius: float, alias: float) -> Image:
    """A disk, smoothed by a Gaussian of standard deviation `alias`."""
    return convolved(x, disk(radius, alias))


def glass_blur(rng: RandomState, x: Image, std: float, reach: int, n_times: int) -> Image:
    """Blurred, pixels shuffled within `reach`, and blurred again.

    As in the released code, a pixel takes the colour of a neighbour and the neighbour keeps its own.
    """
    height, width, channels = x.shape
    source = list(range(height * width))
    for _ in range(n_times):
        steps = rng.randint(-reach, reach, (height, width, 2)).tolist()
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                down, right = steps[row][column]
                source[row * width + column] = source[(row + down) * width + column + right]
    blurred = gaussian_filter(x, (std, std, 0), mode="nearest").reshape(-1, channels)
    return gaussian_filter(blurred[source].reshape(x.shape), (std, std, 0), mode="nearest")


def motion_blur(rng: RandomState, x: Image, radius: int, std: float) -> Image:
    """Moved along a random direction within 45 degrees of the horizontal."""
    return moved(x, radius, std, rng.uniform(-45, 45))


def zoom_blur(rng: RandomState, x: Image, stop: float, step: float) -> Image:
    """The mean of the image and of its magnifications by 1, 1 + step, ... below `stop`."""
    views = [magnified(x, factor) for factor in np.arange(1, stop, step)]
    return np.mean([x, *views], axis=0)


class Flakes(NamedTuple):
    """Normal noise of `mean` and `std`, magnified by `zoom`, kept above `least`, and moved as in `moved`."""

    mean: float
    std: float
    zoom: float
    least: float
    radius: int
    blur: float


def snow(rng: RandomState, x: Image, flakes: Flakes, keep: float) -> Image:
    """Flakes that fall from both sides, on an image that is whitened where `keep` is below one."""
    layer = magnified(rng.normal(flakes.mean, flakes.std, x.shape[:2])[..., None], flakes.zoom)
    layer = np.clip(np.where(layer < flakes.least, 0, layer), 0, 1)
    layer = moved(layer, flakes.radius, flakes.blur, rng.uniform(-135, -45))
    white = np.maximum(x, 1.5 * luma(x) + 0.5)
    return keep * x + (1 - keep) * white + layer + layer[::-1, ::-1]


def frost(rng: RandomState, x: Image, keep: float, share: float) -> Image:
    """A weighted sum of image and frost; the texture is generated, where the released code has six photographs."""
    texture = crystals(rng, x.shape[:2])
    return keep * x + share * (texture if x.shape[-1] == 3 else luma(texture))


def fog(rng: RandomState, x: Image, thickness: float, decay: float) -> Image:
    """A plasma fractal, added and scaled back to the brightest value of the image."""
    brightest = x.max()
    return (x + thickness * plasma(rng, x.shape[:2], decay)) * brightest / (brightest + thickness)


def brightness(rng: RandomState, x: Image, gain: float) -> Image:
    """A larger value in HSV, hue and saturation as they are."""
    value = x.max(axis=-1, keepdims=True)
    brighter = np.clip(value + gain, 0, 1)
    return np.where(value > 0, x * brighter / np.where(value > 0, value, 1), brighter)


def contrast(rng: RandomState, x: Image, factor: float) -> Image:
    """Differences from the mean colour, times a factor below one."""
    mean = x.mean(axis=(0, 1), keepdims=True)
    return mean + factor * (x - mean)


def elastic_transform(rng: RandomState, x: Image, strength: float, std: float, reach: float) -> Image:
    """A random affine map that moves three points by up to `reach` pixels, then a smooth random field of moves."""
    rows, columns = np.meshgrid(*map(np.arange, x.shape[:2]), indexing="ij")
    points = np.stack([rows, columns, np.ones_like(rows)]).astype(float)
    x = interpolated(x, np.tensordot(affine(rng, x.shape[:2], reach), points, 1), "mirror")
    noise = rng.uniform(-1, 1, (2, *x.shape[:2]))
    field = strength * gaussian_filter(noise, (0, std, std), mode="reflect", truncate=3)
    return interpolated(x, points[:2] + field, "reflect")


def pixelate(rng: RandomState, x: Image, factor: float) -> Image:
    """Shrunk to this share of its sides, and enlarged again, by averages over boxes."""
    height, width = x.shape[:2]
    picture = pictured(x)
    small = picture.resize((max(1, int(width * factor)), max(1, int(height * factor))), Picture.Resampling.BOX)
    return unpictured(small.resize((width, height), Picture.Resampling.BOX), x)


def jpeg_compression(rng: RandomState, x: Image, quality: int) -> Image:
    """Written and read as a JPEG file."""
    file = io.BytesIO()
    pictured(x).save(file, "JPEG", quality=quality)
    return unpictured(Picture.open(file), x)


FUNCTIONS = (
    *(gaussian_noise, shot_noise, impulse_noise),
    *(defocus_blur, glass_blur, motion_blur, zoom_blur),
    *(snow, frost, fog, brightness),
    *(contrast, elastic_transform, pixelate, jpeg_compression),
)
DISTORTIONS: dict[str, Callable[..., Image]] = {function.__name__: function for function in FUNCTIONS}


def luma(x: Image) -> Float[np.ndarray, "H W 1"]:
    """The brightness of a colour image; a grey one as it is."""
    return x if x.shape[-1] == 1 else (x @ GREY)[..., None]


def interpolated(x: Image, places: Float[np.ndarray, "2 H W"], mode: Any) -> Image:
    """Every pixel read bilinearly at its place."""
    channels = [map_coordinates(x[..., c], places, order=1, mode=mode) for c in range(x.shape[-1])]
    return np.stack(channels, axis=-1)


def pictured(x: Image) -> Picture.Image:
    """The image in 8 bits."""
    pixels = np.round(255 * x).astype(np.uint8)
    return Picture.fromarray(pixels[..., 0] if x.shape[-1] == 1 else pixels, MODES[x.shape[-1]])


def unpictured(picture: Picture.Image, x: Image) -> Image:
    return np.asarray(picture, np.float64).reshape(x.shape) / 255


def affine(rng: RandomState, sides: tuple[int, ...], reach: float) -> Float[np.ndarray, "2 3"]:
    """From a point (row, column, 1) of the result to its place in the image: three corners of a square, each moved."""
    centre, side = np.array(sides) // 2, min(sides) // 3
    corners = centre + side * np.array([[1, 1], [-1, 1], [-1, -1]])
    moved_corners = corners + rng.uniform(-reach, reach, corners.shape)
    return np.linalg.lstsq(np.c_[moved_corners, np.ones(3)], corners, rcond=None)[0].T
