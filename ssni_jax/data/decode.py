"""The bytes of an image file as one upright picture in 8-bit grey or RGB, or one sentence about why not."""

import io
import zlib

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pnm")
)
MOST_PIXELS = 178_956_970  # a quarter of a gigabyte of grey; Pillow refuses larger ones too
MODES = {1: "L", 3: "RGB"}
PNG_START = b"\x89PNG\r\n\x1a\n"
WIDE_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
FRAMED_ONCE = ("MPO",)  # photos of phones, whose further frames are previews and depth maps


def decoded(content: bytes, name: str, channels: int) -> Image.Image:
    """The picture in `content`, turned as its EXIF orientation says, in mode "L" for one channel or "RGB" for three.

    Grey is repeated for three channels, and a colour file whose channels are equal is grey. 16 bits are rounded to 8.
    ValueError names the file where it is damaged, has several frames, transparent pixels, colours before a grey
    network, or a mode without one right reading.
    """
    if channels not in MODES:
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), got {channels}.")
    image = _opened(content, name)
    try:
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
    except Exception as error:  # decoders raise whatever they stumble over
        raise _unreadable(name, error) from error
    return _with_channels(_eight_bit(_opaque(image, name), name), channels, name)


def is_grey(content: bytes, name: str) -> bool:
    """Whether a file says that it holds one channel; pixels are not decoded."""
    return _opened(content, name).mode in ("1", "L", "LA", "I", *WIDE_MODES)


def check_picture(content: bytes, name: str) -> None:
    """Decodes a file for the sake of its errors, in as many channels as it has."""
    decoded(content, name, 3)


def _opened(content: bytes, name: str) -> Image.Image:
    """The file, its header read and nothing decoded."""
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        n_frames = 1 if image.format in FRAMED_ONCE else getattr(image, "n_frames", 1)
        if content.startswith(PNG_START):
            _check_chunks(content)
    except Image.DecompressionBombError:
        raise ValueError(f"{name} has more than {MOST_PIXELS:,} pixels: scale it down first.") from None
    except Exception as error:
        raise _unreadable(name, error) from error
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise ValueError(f"{name} has {width} x {height} pixels, more than {MOST_PIXELS:,}: scale it down first.")
    if n_frames > 1:
        raise ValueError(f"{name} has {n_frames} frames: save the frame that is meant as a file of its own.")
    return image


def _unreadable(name: str, error: Exception) -> ValueError:
    reason = " ".join(str(error).split()) or type(error).__name__
    reason = "it is in none of the formats below" if "cannot identify" in reason else reason
    return ValueError(f"{name} cannot be read as an image ({reason}): give a whole PNG, JPEG, WebP, BMP or TIFF file.")


def _check_chunks(content: bytes) -> None:
    """Compares the CRC of every chunk of a PNG, which Pillow does not do for pixels."""
    at = len(PNG_START)
    while content[at + 4 : at + 8] != b"IEND":
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        if end + 4 > len(content):
            raise ValueError("the file is cut short")
        if zlib.crc32(memoryview(content)[at + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            raise ValueError("a checksum is wrong")
        at = end + 4


def _opaque(image: Image.Image, name: str) -> Image.Image:
    """Without a palette and without an alpha channel, which has to be full everywhere."""
    if image.mode in ("P", "PA") or "transparency" in image.info:
        has_alpha = image.mode == "PA" or "transparency" in image.info
        image = image.convert("RGBA" if has_alpha else "RGB")
    if image.mode in ("La", "RGBa"):
        image = image.convert(image.mode.upper())
    if image.mode not in ("LA", "RGBA"):
        return image
    if image.getextrema()[-1] != (255, 255):
        raise ValueError(f"{name} has transparent pixels: flatten it onto a background first.")
    return image.convert(image.mode[:-1])


def _eight_bit(image: Image.Image, name: str) -> Image.Image:
    """In mode "L" or "RGB"."""
    if image.mode in WIDE_MODES or (image.mode == "I" and image.format == "PNG"):
        return Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("CMYK", "YCbCr"):
        return image.convert("RGB")
    if image.mode not in ("L", "RGB"):
        raise ValueError(f"{name} is stored as {image.mode}: convert it to 8-bit grey or RGB first.")
    return image


def _with_channels(image: Image.Image, channels: int, name: str) -> Image.Image:
    if image.mode == "RGB" and channels == 1:
        pixels = np.asarray(image)
        if (pixels != pixels[..., :1]).any():
            raise ValueError(f"{name} has colours where one channel is wanted: convert it to grey first.")
    return image.convert(MODES[channels])
