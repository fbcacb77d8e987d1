"""What a data set is to the rest of the library, and how rows of it become a batch."""

from collections.abc import Sequence
from typing import Any, Protocol, TypedDict, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, Shaped

from ssni_jax.core.protocols import checks_classes

Rows = dict[str, np.ndarray]


class Example(TypedDict):
    """One image, float32 [H, W, C] in [0, 1]; label -1 where there is none; `id` is its place in the source."""

    image: Float[np.ndarray, "H W C"]
    label: int
    id: int


@checks_classes("image_shape", "n_classes", "fingerprint", "__len__", "__getitem__")
@runtime_checkable
class Source(Protocol):
    """Images by number. `fingerprint` is a sha256 that changes when the data do."""

    @property
    def image_shape(self) -> tuple[int, int, int]: ...

    @property
    def n_classes(self) -> int: ...

    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> Example: ...


@runtime_checkable
class InMemory(Protocol):
    """A source that also has all its images (uint8, or float in [0, 1]) and labels at hand."""

    @property
    def images(self) -> Shaped[np.ndarray, "N H W C"]: ...

    @property
    def labels(self) -> Int[np.ndarray, " N"]: ...


@runtime_checkable
class InRows(Protocol):
    """A source that reads many rows faster than one after the other: images and labels `ids`."""

    def rows(self, ids: Int[np.ndarray, " B"]) -> tuple[Float[np.ndarray, "B H W C"], Int[np.ndarray, " B"]]: ...


def take(source: Source, ids: Sequence[int] | Int[np.ndarray, " B"]) -> Rows:
    """The batch of rows `ids`: "image" float32 [B, H, W, C], "label" and "id" int32 [B]."""
    ids = np.asarray(ids)
    if isinstance(source, InMemory):
        return _batch(as_float(source.images[ids]), source.labels[ids], ids)
    if isinstance(source, InRows):
        return _batch(*source.rows(ids), ids)
    examples = [source[int(i)] for i in ids]
    return _batch(stacked(examples), [example["label"] for example in examples], ids)


def example(images: Shaped[np.ndarray, "N H W C"], labels: Int[np.ndarray, " N"], i: int) -> Example:
    """Row i of arrays in memory."""
    return {"image": as_float(images[i]), "label": int(labels[i]), "id": i}


def as_float(x: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """uint8 0..255 or float to float32 in [0, 1]."""
    return x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x.astype(np.float32)


def stacked(examples: Sequence[Example]) -> Float[np.ndarray, "B H W C"]:
    """The images of one batch as one array."""
    shape = examples[0]["image"].shape
    for example in examples:
        if example["image"].shape != shape:
            raise ValueError(
                f"image {example['id']} has shape {example['image'].shape} and image {examples[0]['id']} {shape};"
                " give the source a size, so that all are resized and cropped alike."
            )
    return np.stack([example["image"] for example in examples])


def _batch(images: np.ndarray, labels: Any, ids: np.ndarray) -> Rows:
    return {"image": images, "label": np.asarray(labels, np.int32), "id": ids.astype(np.int32)}
