"""Image files and the input contract: float32 NHWC in [0, 1]."""

import io
import os
import stat
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from PIL import Image

from ssni_jax.core.interpolation import linear_weights
from ssni_jax.data.decode import MODES, decoded
from ssni_jax.data.resizing import StoredSize, resizing_of
from ssni_jax.files import write_bytes

TOLERANCE = 1e-3


def read_image(path: str | Path, channels: int = 3, size: int | None = None) -> Float[np.ndarray, "H W C"]:
    """One image file as float32 in [0, 1]; with `size` the shorter side is resized to it and the centre cropped.

    The EXIF orientation is applied. Grey is repeated for three channels; colour or transparency is never dropped.
    """
    return as_array(read_file(path), str(path), channels, size)


def as_array(content: bytes, name: str, channels: int, size: int | None = None) -> Float[np.ndarray, "H W C"]:
    """The bytes of an image file as float32 in [0, 1]; errors call it `name`."""
    pixels = resizing_of(size, StoredSize())(decoded(content, name, channels))
    return pixels.astype(np.float32) / np.float32(255)


def read_file(path: str | Path) -> bytes:
    """The bytes of an ordinary file; a pipe or a device, which might never end, is refused."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{path} is not an ordinary file: give an image file.")
        return file.read()


def write_image(path: str | Path, x: Shaped[Any, "..."]) -> None:
    """An image in [0, 1] as an 8-bit PNG, written as a whole or not at all; values outside are clipped."""
    write_bytes(Path(path), png(x, str(path)))


def png(x: Shaped[Any, "..."], name: str) -> bytes:
    """The content of an 8-bit PNG file; a purified image may overshoot [0, 1] a little, which is clipped."""
    x = np.asarray(x)
    if x.ndim != 3 or x.shape[-1] not in MODES:
        raise ValueError(f"an image to write has shape {x.shape}; give [H, W, C] with C 1 or 3.")
    if not np.isfinite(x).all():
        raise ValueError(f"the image for {name} has NaN or infinite pixels; nothing was written.")
    pixels = np.round(np.clip(x, 0, 1) * 255).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels[..., 0] if x.shape[-1] == 1 else pixels).save(content, "PNG")
    return content.getvalue()


def check_images(x: Shaped[Any, "..."], channels: int | None = None) -> Float[np.ndarray, "B H W C"]:
    """`x` as float32 in [0, 1] (uint8 is divided by 255), or a ValueError that names what is wrong and where."""
    x = np.asarray(x)
    if x.ndim != 4:
        raise ValueError(f"images have shape {x.shape}; give [B, H, W, C], one image as a batch of one.")
    if not len(x):
        raise ValueError("there are no images in the batch; give at least one.")
    if channels is not None and x.shape[-1] != channels:
        remedy = "; move the channels last" if x.shape[1] == channels else ""
        raise ValueError(f"images of shape {x.shape} have {x.shape[-1]} channels, and {channels} are needed{remedy}.")
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"images have type {x.dtype}; give float in [0, 1] or uint8.")
    return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else _in_range(x.astype(np.float32))


def enlarged(x: Float[np.ndarray, "N H W C"], size: int) -> Float[np.ndarray, "N size size C"]:
    """Bilinear resize with half-pixel centres and without antialiasing."""
    rows, columns = linear_weights(x.shape[1], size), linear_weights(x.shape[2], size)
    return np.einsum("ph,nhwc,qw->npqc", rows, x, columns, optimize=True).astype(np.float32)


def _in_range(x: Float[np.ndarray, "B H W C"]) -> Float[np.ndarray, "B H W C"]:
    for i, image in enumerate(x):
        low, high = float(image.min()), float(image.max())
        if not np.isfinite(low) or not np.isfinite(high):
            raise ValueError(f"image {i} has NaN or infinite pixels; remove or repair it.")
        if low < -TOLERANCE or high > 1 + TOLERANCE:
            raise ValueError(f"image {i} has pixels from {low:.4g} to {high:.4g}; scale them to [0, 1].")
    return np.clip(x, 0, 1)
