"""The pictures of a few images before and after attack, noise and purification, one file of arrays per image."""

from pathlib import Path

import numpy as np
from jaxtyping import Num

from ssni_jax.files.atomic import read_arrays, write_arrays

Picture = Num[np.ndarray, "H W C"]
COLUMNS = ("clean", "purified_clean", "adversarial", "noised", "purified")


def save_pictures(workdir: Path, id: int, **pictures: Picture) -> None:
    """pictures/<id>.npz: images [H, W, C] in [0, 1] as float16, named as in `COLUMNS`."""
    half = {name: np.asarray(picture, np.float16) for name, picture in pictures.items()}
    write_arrays(workdir / "pictures" / f"{id}.npz", half)


def load_pictures(workdir: Path, id: int) -> dict[str, np.ndarray]:
    """The arrays of one image; empty when it has none."""
    path = workdir / "pictures" / f"{id}.npz"
    if not path.exists():
        return {}
    return {name: np.asarray(array, np.float32) for name, array in read_arrays(path, "delete it").items()}


def picture_ids(workdir: Path) -> list[int]:
    """Images that have pictures."""
    return sorted(int(path.stem) for path in workdir.glob("pictures/*.npz") if path.stem.isdecimal())
