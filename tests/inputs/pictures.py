"""Picture files, and mutations after which they still show the same, or have to be refused."""

import io
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ssni_jax.api import Opened
from ssni_jax.data.images import read_image

SHAPE = (12, 10, 3)
RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, SHAPE).astype(np.uint8)
SMOOTH = np.broadcast_to(np.linspace(20, 220, 12)[:, None, None], SHAPE).astype(np.uint8)  # JPEG keeps it well
GREY = COLOUR[..., 0]
LOSSLESS = ("png", "webp", "bmp", "tif")
PLAIN = Image.Exif()


def planted(rng: random.Random, folder: Path) -> tuple[str, Any, str]:
    """Writes a folder with one mutated file; gives its name, the pixels of the right result, and what was done.

    None stands for an input that has no right result.
    """
    folder.mkdir()
    for i in range(2):
        (folder / f"good{i}.png").write_bytes(encoded(COLOUR, "png"))
    name, mutate = rng.choice(list(MUTATIONS.items()))
    file, expected = mutate(rng, folder)
    return file, expected, name


def halved(defense: Any, images: np.ndarray, seed: int, ids: list[int]) -> Opened:
    """A purifier that halves every pixel."""
    zero = np.zeros(len(images))
    return Opened(images / 2, zero, np.zeros((len(images), 0)), zero, zero.astype(int))


def read(path: Path) -> np.ndarray:
    """The pixels of a result."""
    return np.round(read_image(path, 3) * 255).astype(int)


def after(pixels: np.ndarray) -> np.ndarray:
    """The pixels of the right result for these."""
    pixels = np.repeat(pixels[..., None], 3, -1) if pixels.ndim == 2 else pixels
    return np.round(pixels.astype(np.float32) / 255 / 2 * 255).astype(int)


def encoded(pixels: np.ndarray, ending: str, **options: Any) -> bytes:
    """The file of an image."""
    content = io.BytesIO()
    kind = {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper())
    options |= {"lossless": True} if ending == "webp" else {"quality": 95} if ending == "jpg" else {}
    options |= {"compression": "tiff_deflate"} if ending == "tif" else {}
    Image.fromarray(pixels).save(content, kind, **options)
    return content.getvalue()


def pixels_of(content: bytes) -> np.ndarray:
    """What a file shows before it is mutated."""
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def some(rng: random.Random) -> tuple[str, bytes]:
    """An ending and a file of it."""
    ending = rng.choice((*LOSSLESS, "jpg"))
    return ending, encoded(SMOOTH if ending == "jpg" else rng.choice((COLOUR, GREY)), ending)


def written(folder: Path, name: str, content: bytes, expected: Any) -> tuple[str, Any]:
    (folder / name).write_bytes(content)
    return name, expected


def flipped(rng: random.Random, folder: Path) -> tuple[str, Any]:
    """PNG has checksums, other formats have none."""
    content = bytearray(encoded(rng.choice((COLOUR, GREY)), "png"))
    shown = after(pixels_of(bytes(content)))
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return written(folder, "x.png", bytes(content), shown)


def cut(rng: random.Random, folder: Path) -> tuple[str, Any]:
    ending, content = some(rng)
    return written(folder, f"x.{ending}", content[: rng.randrange(len(content))], after(pixels_of(content)))


def longer(rng: random.Random, folder: Path) -> tuple[str, Any]:
    ending, content = some(rng)
    return written(folder, f"x.{ending}", content + rng.randbytes(rng.randrange(1, 300)), after(pixels_of(content)))


def misnamed(rng: random.Random, folder: Path) -> tuple[str, Any]:
    _, content = some(rng)
    return written(folder, f"x.{rng.choice((*LOSSLESS, 'jpg', 'jpeg', 'gif'))}", content, after(pixels_of(content)))


def turned(rng: random.Random, folder: Path) -> tuple[str, Any]:
    """A photo of a phone, stored sideways or mirrored; the network takes the upright shape alone."""
    orientation, ending = rng.randrange(1, 9), rng.choice(("png", "webp", "tif"))
    exif = Image.Exif()
    exif[0x0112] = orientation
    ways = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # Pillow's transpositions that make it upright
    inverse = {4: 2, 2: 4}
    way = ways.get(orientation)
    stored = COLOUR if way is None else np.asarray(Image.fromarray(COLOUR).transpose(inverse.get(way, way)))
    return written(folder, f"x.{ending}", encoded(np.ascontiguousarray(stored), ending, exif=exif), after(COLOUR))


def framed(rng: random.Random, folder: Path) -> tuple[str, Any]:
    ending = rng.choice(("png", "webp", "tif", "gif"))
    frames = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    frames[0].save(folder / f"x.{ending}", save_all=True, append_images=frames[1:])
    return f"x.{ending}", None


def transparent(rng: random.Random, folder: Path) -> tuple[str, Any]:
    alpha = np.full((*SHAPE[:2], 1), 255, np.uint8)
    is_full = rng.random() < 0.5
    alpha[0, 0] = 255 if is_full else rng.randrange(255)
    content = encoded(np.concatenate([COLOUR, alpha], -1), rng.choice(("png", "webp")))
    return written(folder, "x.png", content, after(COLOUR) if is_full else None)


def deep(rng: random.Random, folder: Path) -> tuple[str, Any]:
    return written(folder, "x.png", encoded(GREY.astype(np.uint16) * 257, "png"), after(GREY))


def numbers(rng: random.Random, folder: Path) -> tuple[str, Any]:
    Image.new(rng.choice(("F", "I", "LAB")), SHAPE[1::-1]).save(folder / "x.tif")
    return "x.tif", None


def garbage(rng: random.Random, folder: Path) -> tuple[str, Any]:
    starts = (b"", b"<html><body>404</body></html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"PK\x03\x04", b"BM")
    return written(folder, f"x.{rng.choice(LOSSLESS)}", rng.choice(starts) + rng.randbytes(rng.randrange(200)), None)


def bomb(rng: random.Random, folder: Path) -> tuple[str, Any]:
    side = rng.choice((20_000, 60_000, 2**31 - 1))
    return written(folder, "x.pgm", f"P5 {side} {side} 255\n".encode() + bytes(64), None)


def no_file(rng: random.Random, folder: Path) -> tuple[str, Any]:
    path = folder / "x.png"
    if rng.random() < 0.5:
        os.mkfifo(path)
    else:
        path.symlink_to(folder / "nowhere.png")
    return "x.png", None


def resized(rng: random.Random, folder: Path) -> tuple[str, Any]:
    shape = rng.choice(((12, 11), (10, 12), (1, 1), (24, 20)))
    return written(folder, "x.png", encoded(np.zeros((*shape, 3), np.uint8), "png"), None)


MUTATIONS = {
    "a flipped bit": flipped,
    "a file cut short": cut,
    "bytes at the end": longer,
    "another ending": misnamed,
    "EXIF orientation": turned,
    "two frames": framed,
    "an alpha channel": transparent,
    "16 bits": deep,
    "a mode without a range": numbers,
    "no picture": garbage,
    "a decompression bomb": bomb,
    "no ordinary file": no_file,
    "another size": resized,
}
