"""One set of images beside another: metrics of pairs, and distances of the sets by named features."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from ssni_jax.data import ImageFolder, Npz, Source, take
from ssni_jax.data.containers import container
from ssni_jax.data.decode import is_grey
from ssni_jax.evals.features import Features, moments
from ssni_jax.evals.fid import frechet, kid

Metric = Callable[..., Any]
FEWEST_FOR_KID = 4


@dataclasses.dataclass(frozen=True)
class NamedImages:
    """Images with names: relative paths without ending in a folder, row numbers in an .npz file."""

    source: Source
    names: tuple[str, ...]

    def batches(self, ids: Sequence[int], size: int, n_channels: int | None = None) -> Iterator[np.ndarray]:
        """Images `ids` in batches; grey ones are repeated where `n_channels` are more."""
        for start in range(0, len(ids), size):
            x = take(self.source, ids[start : start + size])["image"]
            yield x if n_channels is None or x.shape[-1] == n_channels else np.repeat(x, n_channels, axis=-1)


def open_images(path: Path, size: int | None) -> NamedImages:
    """A folder or zip archive of images, which is grey if all its files are; or an .npz file with an array `images`."""
    if path.suffix == ".npz":
        source = Npz(str(path))
        return NamedImages(source, tuple(str(i) for i in range(len(source))))
    folder = ImageFolder(str(path), size)
    folder = dataclasses.replace(folder, channels=1 if is_grey_folder(folder) else 3)
    names = {str(Path(name).with_suffix("")): name for name in folder.names}
    twice = [name for name in folder.names if name not in names.values()]
    if twice:
        raise ValueError(f"{path} holds {twice[0]} and {names[str(Path(twice[0]).with_suffix(''))]}: keep one of them.")
    return NamedImages(folder, tuple(names))


def is_grey_folder(folder: ImageFolder) -> bool:
    """Whether every image file of a folder holds one channel."""
    files = container(folder.path)
    return all(is_grey(files.read(name), f"{folder.path}/{name}") for name in folder.names)


def pairs_of(reference: NamedImages, other: NamedImages) -> tuple[list[int], list[int]]:
    """Ids of the images whose name is in both, in the reference's order."""
    places = {name: i for i, name in enumerate(other.names)}
    common = [(i, places[name]) for i, name in enumerate(reference.names) if name in places]
    return [i for i, _ in common], [j for _, j in common]


def aligned(reference: NamedImages, other: NamedImages) -> tuple[list[int], list[int]]:
    """All ids of both, those of pairs first and in the same order."""
    ids, other_ids = pairs_of(reference, other)
    return _then_the_rest(ids, len(reference.names)), _then_the_rest(other_ids, len(other.names))


def _then_the_rest(ids: list[int], n: int) -> list[int]:
    return ids + sorted(set(range(n)) - set(ids))


def score_pairs(
    metrics: Mapping[str, Metric], reference: NamedImages, other: NamedImages, batch_size: int
) -> dict[str, Float[np.ndarray, " N"]]:
    """Every metric of every pair."""
    ids, other_ids = pairs_of(reference, other)
    scores: dict[str, list[np.ndarray]] = {name: [] for name in metrics}
    both = (reference.batches(ids, batch_size), other.batches(other_ids, batch_size))
    for a, b in zip(*both, strict=True):
        for name, metric in metrics.items():
            scores[name].append(np.asarray(metric(a, b), np.float64))
    return {name: np.concatenate(values) for name, values in scores.items() if values}


def summary(values: Float[np.ndarray, " N"]) -> dict[str, Any]:
    """Mean and standard deviation of the finite values; `n_infinite` counts pairs of equal images under PSNR."""
    finite = values[~np.isposinf(values)]
    mean, std = (float(finite.mean()), float(finite.std())) if len(finite) else (None, None)
    return {"mean": mean, "std": std, "n": len(finite), "n_infinite": len(values) - len(finite)}


def compare_sets(reference: Features, other: Features, seed: int) -> dict[str, Any]:
    """FID and KID with the name of their features; KID is None for fewer than four images."""
    n = min(len(reference.vectors), len(other.vectors))
    distance = frechet(moments(reference), moments(other))
    kernel = kid(reference, other, seed=seed)._asdict() if n >= FEWEST_FOR_KID else None
    return {
        "features": reference.name,
        "n_dimensions": reference.vectors.shape[1],
        "n": [len(reference.vectors), len(other.vectors)],
        "fid": distance,
        "kid": kernel,
    }
