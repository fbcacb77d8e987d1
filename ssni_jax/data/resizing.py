"""How a picture becomes an image of a source's size: the preprocessing of papers and libraries, by name."""

import abc
import dataclasses
from typing import Literal

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from ssni_jax.core.interpolation import cubic_weights, linear_weights

Filter = Literal["bilinear", "bicubic"]
Pixels = Shaped[np.ndarray, "H W C"]
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class Resizing(abc.ABC):
    """A function from a picture to pixels: uint8 [H, W, C], or float32 in [0, 1].

    `side` is the height and width of every result, and None where pictures keep their size.
    """

    @property
    @abc.abstractmethod
    def side(self) -> int | None: ...

    @abc.abstractmethod
    def __call__(self, picture: Image.Image) -> Pixels: ...


@dataclasses.dataclass(frozen=True)
class StoredSize(Resizing):
    """Leaves pictures as they are."""

    @property
    def side(self) -> None:
        return None

    def __call__(self, picture: Image.Image) -> Pixels:
        return pixels_of(picture)


@dataclasses.dataclass(frozen=True)
class ShorterSide(Resizing):
    """The shorter side to `size` by Pillow's bilinear filter, then the middle square: what `size=` of a source does."""

    size: int

    def __post_init__(self):
        _check_pixels("size", self.size)

    @property
    def side(self) -> int:
        return self.size

    def __call__(self, picture: Image.Image) -> Pixels:
        scale = self.size / min(picture.size)
        width, height = (max(self.size, round(side * scale)) for side in picture.size)
        resized = _resized(picture, (width, height), Image.Resampling.BILINEAR)
        return pixels_of(_cropped(resized, ((width - self.size) // 2, (height - self.size) // 2), self.size))


@dataclasses.dataclass(frozen=True)
class ResizeCrop(Resizing):
    """torchvision's Resize(`resize`) and CenterCrop(`crop`) of a picture, by Pillow's filter."""

    resize: int = 256
    crop: int = 224
    filter: Filter = "bilinear"

    def __post_init__(self):
        _check_pixels("resize", self.resize)
        _check_pixels("crop", self.crop)
        if self.crop > self.resize:
            raise ValueError(
                f"crop = {self.crop} is more than the shorter side after resize = {self.resize}: give a smaller crop."
            )
        _check_filter(self.filter)

    @property
    def side(self) -> int:
        return self.crop

    def __call__(self, picture: Image.Image) -> Pixels:
        shorter = min(picture.size)
        # torchvision cuts the longer side down to a whole number, and Python's round decides where the crop begins
        width, height = (self.resize if side == shorter else int(self.resize * side / shorter) for side in picture.size)
        resized = _resized(picture, (width, height), FILTERS[self.filter])
        corner = (round((width - self.crop) / 2), round((height - self.crop) / 2))
        return pixels_of(_cropped(resized, corner, self.crop))


@dataclasses.dataclass(frozen=True)
class StraightResize(Resizing):
    """Height and width to `size` by Pillow's filter, whatever the shape of the picture: nothing is cut off."""

    size: int = 256
    filter: Filter = "bicubic"

    def __post_init__(self):
        _check_pixels("size", self.size)
        _check_filter(self.filter)

    @property
    def side(self) -> int:
        return self.size

    def __call__(self, picture: Image.Image) -> Pixels:
        return pixels_of(_resized(picture, (self.size, self.size), FILTERS[self.filter]))


@dataclasses.dataclass(frozen=True)
class AdmCrop(Resizing):
    """What guided-diffusion was trained on: halved by averages while the shorter side is at least twice `size`, then
    resized by Pillow's bicubic filter, then the middle square."""

    size: int = 256

    def __post_init__(self):
        _check_pixels("size", self.size)

    @property
    def side(self) -> int:
        return self.size

    def __call__(self, picture: Image.Image) -> Pixels:
        while min(picture.size) >= 2 * self.size:
            half = (picture.size[0] // 2, picture.size[1] // 2)
            picture = picture.resize(half, Image.Resampling.BOX)
        scale = self.size / min(picture.size)
        width, height = (round(side * scale) for side in picture.size)
        resized = _resized(picture, (width, height), Image.Resampling.BICUBIC)
        return pixels_of(_cropped(resized, ((width - self.size) // 2, (height - self.size) // 2), self.size))


@dataclasses.dataclass(frozen=True)
class TensorResize(Resizing):
    """Height and width to `size` as torch's `interpolate(mode=filter, antialias=False)` of a tensor in [0, 1].

    The result is not rounded to 8 bits; where the cubic overshoots [0, 1] it is clipped.
    """

    size: int = 256
    filter: Filter = "bilinear"

    def __post_init__(self):
        _check_pixels("size", self.size)
        _check_filter(self.filter)

    @property
    def side(self) -> int:
        return self.size

    def __call__(self, picture: Image.Image) -> Pixels:
        x = pixels_of(picture)
        weights = linear_weights if self.filter == "bilinear" else cubic_weights
        rows, columns = weights(x.shape[0], self.size), weights(x.shape[1], self.size)
        resized = np.einsum("ph,hwc,qw->pqc", rows, x / 255, columns, optimize=True)
        return np.clip(resized, 0, 1).astype(np.float32)


def resizing_of(size: int | None, resizing: Resizing) -> Resizing:
    """What the fields `size` and `resizing` of a source say together; both at once are refused."""
    if size is None:
        return resizing
    if size < 1:
        raise ValueError(f"size must be at least 1, or None to keep the size, got {size}.")
    if resizing != StoredSize():
        raise ValueError(f"size = {size} and resizing = {resizing} both say how images are resized: give one of them.")
    return ShorterSide(size)


def pixels_of(picture: Image.Image) -> Shaped[np.ndarray, "H W C"]:
    """The pixels of a grey or RGB picture, uint8 with a last axis of channels."""
    pixels = np.asarray(picture)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _resized(picture: Image.Image, size: tuple[int, int], resample: Image.Resampling) -> Image.Image:
    return picture if picture.size == size else picture.resize(size, resample)


def _cropped(picture: Image.Image, corner: tuple[int, int], side: int) -> Image.Image:
    left, top = corner
    return picture.crop((left, top, left + side, top + side))


def _check_pixels(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} must be at least 1 pixel, got {value}.")


def _check_filter(value: str) -> None:
    if value not in FILTERS:
        raise ValueError(f"filter must be one of {', '.join(FILTERS)}, got {value!r}.")


TORCHVISION_224 = ResizeCrop(256, 224, "bilinear")
"""The ImageNet evaluation of torchvision's first weights, of DiffPure and of RobustBench: 256, then 224."""
TIMM_224 = ResizeCrop(256, 224, "bicubic")
"""timm's `crop_pct=0.875, interpolation="bicubic"` at 224."""
CENTRE_256 = ResizeCrop(256, 256, "bilinear")
"""The middle square at 256, torchvision's filter."""
ADM_256 = AdmCrop(256)
"""The training images of guided-diffusion at 256 (Dhariwal & Nichol 2021)."""
