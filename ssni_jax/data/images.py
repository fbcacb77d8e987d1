"""Image files and the input contract: float32 NHWC in [0, 1]."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from PIL import Image, UnidentifiedImageError

TOLERANCE = 1e-3
SUFFIXES = (".png", ".jpg", ".jpeg")
MODES = {1: "L", 3: "RGB"}


def read_image(path: str | Path, channels: int = 3, size: int | None = None) -> Float[np.ndarray, "H W C"]:
    """One image file as float32 in [0, 1]; with `size` the shorter side is resized to it and the centre cropped.

    Grey is repeated for three channels; colour or transparency is never dropped silently.
    """
    try:
        with Image.open(path) as image:
            image.load()
            pixels = _in_mode(image, channels, path)
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise ValueError(f"{path} cannot be read as an image; give a whole PNG or JPEG file.") from error
    return _as_array(pixels if size is None else centre_crop(pixels, size))


def write_image(path: str | Path, x: Shaped[Any, "..."]) -> None:
    """An image in [0, 1] as an 8-bit PNG; values outside are clipped, as a purified image may overshoot a little."""
    x = np.asarray(x)
    if x.ndim != 3 or x.shape[-1] not in MODES:
        raise ValueError(f"an image to write has shape {x.shape}; give [H, W, C] with C 1 or 3.")
    if not np.isfinite(x).all():
        raise ValueError(f"the image for {path} has NaN or infinite pixels; nothing was written.")
    pixels = np.round(np.clip(x, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if x.shape[-1] == 1 else pixels).save(path, "PNG")


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


def centre_crop(image: Image.Image, size: int) -> Image.Image:
    """The central `size` x `size` square after an antialiased bilinear resize of the shorter side."""
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR) if (width, height) != image.size else image
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def enlarged(x: Float[np.ndarray, "N H W C"], size: int) -> Float[np.ndarray, "N size size C"]:
    """Bilinear resize with half-pixel centres and without antialiasing."""
    rows, columns = _weights(x.shape[1], size), _weights(x.shape[2], size)
    return np.einsum("ph,nhwc,qw->npqc", rows, x, columns, optimize=True).astype(np.float32)


def _weights(n_in: int, n_out: int) -> Float[np.ndarray, "n_out n_in"]:
    centre = np.clip((np.arange(n_out) + 0.5) * n_in / n_out - 0.5, 0, n_in - 1)
    return np.maximum(0.0, 1.0 - np.abs(centre[:, None] - np.arange(n_in)))


def _in_range(x: Float[np.ndarray, "B H W C"]) -> Float[np.ndarray, "B H W C"]:
    for i, image in enumerate(x):
        low, high = float(image.min()), float(image.max())
        if not np.isfinite(low) or not np.isfinite(high):
            raise ValueError(f"image {i} has NaN or infinite pixels; remove or repair it.")
        if low < -TOLERANCE or high > 1 + TOLERANCE:
            raise ValueError(f"image {i} has pixels from {low:.4g} to {high:.4g}; scale them to [0, 1].")
    return np.clip(x, 0, 1)


def _in_mode(image: Image.Image, channels: int, path: str | Path) -> Image.Image:
    if channels not in MODES:
        raise ValueError(f"channels={channels} is not 1 (grey) or 3 (colour).")
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode in ("LA", "RGBA"):
        if image.getextrema()[-1] != (255, 255):
            raise ValueError(f"{path} has transparent pixels; flatten it onto a background first.")
        image = image.convert(image.mode[:-1])
    return _coloured(image, channels, path)


def _coloured(image: Image.Image, channels: int, path: str | Path) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    image = image.convert("L") if image.mode == "1" else image.convert("RGB") if image.mode == "CMYK" else image
    if image.mode == "RGB" and channels == 1:
        raise ValueError(f"{path} has 3 channels where 1 is wanted; convert it to grey or ask for 3.")
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"{path} is stored as {image.mode}; convert it to 8-bit grey or RGB.")
    return image.convert(MODES[channels])


def _as_array(image: Image.Image) -> Float[np.ndarray, "H W C"]:
    x = np.asarray(image, np.float32) / np.float32(255)
    return x[..., None] if x.ndim == 2 else x
