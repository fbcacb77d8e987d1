"""A prepared tensorflow-datasets directory as a source; reading it needs neither TensorFlow nor the network."""

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ssni_jax.data.decode import MODES
from ssni_jax.data.hashing import content_hash
from ssni_jax.data.images import centre_crop
from ssni_jax.data.source import Example, as_float

AGAIN = "copy the directory again from its source"


@dataclasses.dataclass(frozen=True)
class TfdsDirectory:
    """One split of a directory that holds dataset_info.json and array_record files; with `size`, resized and cropped.

    Features "image" and "label" are read. `fingerprint` is the sha256 of dataset_info.json and of
    the split's shards, and of the split and size. Needs the extra `tfds`.
    """

    path: str
    split: str = "test"
    size: int | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self[0]["image"].shape

    @property
    def n_classes(self) -> int:
        return int(_builder(self.path).info.features["label"].num_classes)

    @property
    def fingerprint(self) -> str:
        root = Path(self.path)
        shards = sorted(root.glob(f"*-{self.split}.*")) or sorted(root.glob("*.array_record*"))
        content = content_hash(root, [root / "dataset_info.json", *shards])
        return hashlib.sha256(f"{content} {self.split} {self.size}".encode()).hexdigest()

    def __len__(self) -> int:
        return len(_rows(self.path, self.split))

    def __getitem__(self, i: int) -> Example:
        rows = _rows(self.path, self.split)
        try:
            row = rows[i]
        except Exception as error:  # array_record and the decoders each raise their own
            raise ValueError(
                f"{self.path}: row {i} of {self.split} cannot be read ({_line(error)}): {AGAIN}."
            ) from error
        return {"image": self._sized(row["image"]), "label": int(row["label"]), "id": i}

    def _sized(self, image: np.ndarray) -> np.ndarray:
        if self.size is None:
            return as_float(image)
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image, MODES[image.shape[-1]])
        return as_float(np.asarray(centre_crop(picture, self.size)).reshape(self.size, self.size, -1))


@functools.cache
def _builder(path: str) -> Any:
    if not (Path(path) / "dataset_info.json").is_file():
        raise FileNotFoundError(
            f"{path} has no dataset_info.json: give the versioned directory, such as cifar10/3.0.2."
        )
    try:
        import tensorflow_datasets as tfds  # slow to import, and an extra
    except ImportError:
        raise ValueError(f"Reading {path} needs tensorflow-datasets: pip install 'ssni_jax[tfds]'.") from None
    try:
        return tfds.builder_from_directory(path)
    except Exception as error:  # a damaged dataset_info.json or features.json
        raise ValueError(f"{path} does not describe a data set ({_line(error)}): {AGAIN}.") from error


@functools.cache
def _rows(path: str, split: str) -> Any:
    builder = _builder(path)
    if split not in builder.info.splits:
        raise ValueError(f"{path} has no split {split!r}: choose one of {', '.join(builder.info.splits)}.")
    if builder.info.file_format.value != "array_record":
        raise ValueError(
            f"{path} is stored as {builder.info.file_format.value}, which has no random access: "
            "prepare it with file_format='array_record'."
        )
    try:
        return builder.as_data_source(split)
    except Exception as error:
        raise ValueError(f"{path}: the shards of {split} cannot be opened ({_line(error)}): {AGAIN}.") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
