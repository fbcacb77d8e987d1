"""An .npz file of images and labels, and mutations of it that its right content survives or that must be refused."""

import io
import random
from pathlib import Path

import numpy as np

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3)).astype(np.uint8)
LABELS = np.arange(12) % 10


def planted(rng: random.Random, folder: Path) -> tuple[Path, str]:
    """Writes a mutated file; gives its path and what was done."""
    name, mutate = rng.choice(list(MUTATIONS.items()))
    (folder / "x.npz").write_bytes(mutate(rng))
    return folder / "x.npz", name


def packed(images: np.ndarray = IMAGES, labels: np.ndarray = LABELS, **names: str) -> bytes:
    """The file of these arrays, under other names if asked."""
    content = io.BytesIO()
    stored = {names.get("images", "images"): images, names.get("labels", "labels"): labels}
    np.savez(content, **stored)  # type: ignore[arg-type]
    return content.getvalue()


def flipped(rng: random.Random) -> bytes:
    content = bytearray(packed())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def cut(rng: random.Random) -> bytes:
    content = packed()
    return content[: rng.randrange(len(content))]


def another_type(rng: random.Random) -> bytes:
    kinds = (np.float32, np.float64, np.int64, np.float16, object, "U3", np.complex64)
    images = IMAGES.astype(rng.choice(kinds))
    return packed(images / 255 if images.dtype.kind == "f" and rng.random() < 0.5 else images)


def wrong_labels(rng: random.Random) -> bytes:
    labels = (LABELS + 1, LABELS - 1, LABELS + 0.5, LABELS * np.nan, np.eye(12), LABELS[:5], LABELS.astype(str))
    return packed(labels=rng.choice((*labels, LABELS.astype(object), LABELS + 2**40, LABELS[None])))


def same_labels(rng: random.Random) -> bytes:
    return packed(labels=rng.choice((LABELS[:, None], LABELS.astype(np.float64), LABELS.astype(np.uint8))))


def another_shape(rng: random.Random) -> bytes:
    shapes = (np.moveaxis(IMAGES, 3, 1), IMAGES[0], IMAGES[..., :2], IMAGES[:0], IMAGES[None], IMAGES.reshape(12, -1))
    return packed(rng.choice(shapes))


def wrong_pixels(rng: random.Random) -> bytes:
    images = IMAGES.astype(np.float32) / 255
    images[rng.randrange(12), 0, 0, 0] = rng.choice((np.nan, np.inf, -1.0, 255.0, 1.01))
    return packed(images)


def another_name(rng: random.Random) -> bytes:
    return packed(**{rng.choice(("images", "labels")): rng.choice(("x", "Images", "arr_0"))})


def garbage(rng: random.Random) -> bytes:
    return rng.choice((b"", b"PK\x03\x04", b"\x93NUMPY", b"<html>")) + rng.randbytes(rng.randrange(300))


MUTATIONS = {
    "a flipped bit": flipped,
    "a file cut short": cut,
    "another type": another_type,
    "wrong labels": wrong_labels,
    "labels of another form": same_labels,
    "another shape": another_shape,
    "a wrong pixel": wrong_pixels,
    "another name": another_name,
    "no array file": garbage,
}
