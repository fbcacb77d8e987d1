"""Adversarial images that exist already, as a source beside the clean ones they belong to."""

import dataclasses
import functools
import hashlib
from pathlib import Path

import numpy as np

from ssni_jax.data.images import check_images
from ssni_jax.data.npz_file import open_npz
from ssni_jax.data.source import Example


@dataclasses.dataclass(frozen=True)
class AdversarialImages:
    """Image i is the adversarial version of image i of the clean source.

    `path` is the workdir of an `ssni evaluate`, whose adversarial/ folder is read, or an .npz file with `images`
    [N, H, W, C] (uint8, or float in [0, 1]) and optionally `ids` [N], their places in the clean source.
    """

    path: str
    n_classes = 0

    @property
    def ids(self) -> list[int]:
        """The places in the clean source of which there is an adversarial image."""
        return sorted(_read(self.path))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return next(iter(_read(self.path).values())).shape

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for id, image in sorted(_read(self.path).items()):
            digest.update(str(id).encode() + np.ascontiguousarray(image).tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return 1 + max(_read(self.path))

    def __getitem__(self, i: int) -> Example:
        images = _read(self.path)
        if i not in images:
            raise ValueError(
                f"{self.path} has no adversarial image of image {i}, but of {len(images)} others: "
                "choose the same images as the attack with --n-images and --order-seed."
            )
        return {"image": images[i], "label": -1, "id": i}


@functools.cache
def _read(path: str) -> dict[int, np.ndarray]:
    folder = Path(path) / "adversarial"
    if folder.is_dir():
        parts = [_file(file) for file in sorted(folder.glob("*.npz"))]
    elif Path(path).is_file():
        parts = [_file(Path(path))]
    else:
        raise FileNotFoundError(f"{path} is neither the workdir of an evaluation with an attack nor an .npz file.")
    images = {id: image for part in parts for id, image in part.items()}
    if not images:
        raise FileNotFoundError(f"{path} holds no adversarial images: evaluate with an attack first.")
    return images


def _file(path: Path) -> dict[int, np.ndarray]:
    with open_npz(path) as arrays:
        images_name = next((name for name in ("images", "image") if name in arrays), "images")
        ids_name = next((name for name in ("ids", "id") if name in arrays), None)
        images = check_images(arrays[images_name])
        ids = np.arange(len(images)) if ids_name is None else arrays[ids_name]
    if ids.shape != (len(images),):
        raise ValueError(f"{path} holds {len(images)} images but ids of shape {ids.shape}: give one id per image.")
    if ids.dtype.kind not in "iu" or (ids < 0).any() or len(np.unique(ids)) < len(ids):
        raise ValueError(f"{path} holds ids that are not different whole numbers from 0: give each image its own.")
    return dict(zip(ids.tolist(), images, strict=True))
