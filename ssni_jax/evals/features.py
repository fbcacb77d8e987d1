"""Features of sets of images, never without the name of the network that made them."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import jax
import numpy as np
from jaxtyping import Float

from ssni_jax.networks import PreprocessedClassifier


@dataclasses.dataclass(frozen=True)
class Features:
    """One vector per image; `name` says whose, such as "inception-fid" or "classifier digits-classifier"."""

    name: str
    vectors: Float[np.ndarray, "N D"]

    def __post_init__(self):
        broken = int(np.sum(~np.isfinite(self.vectors).all(axis=1)))
        if broken:
            raise ValueError(f"{broken} of {len(self.vectors)} images have NaN or infinite {self.name} features.")


@dataclasses.dataclass(frozen=True)
class Moments:
    """Number, mean and scatter (sum of (x - mean)(x - mean)^T) of features, float64: all that FID needs of them."""

    name: str
    n: int
    mean: Float[np.ndarray, " D"]
    scatter: Float[np.ndarray, "D D"]

    @property
    def covariance(self) -> Float[np.ndarray, "D D"]:
        """The unbiased estimate."""
        if self.n < 2:
            raise ValueError(f"{self.n} image has no covariance: give two or more.")
        return self.scatter / (self.n - 1)

    def __add__(self, other: "Moments") -> "Moments":
        """Those of both sets together, Chan, Golub & LeVeque 1979 (STAN-CS-79-773)."""
        check_same(self, other)
        n, apart = self.n + other.n, other.mean - self.mean
        between = np.outer(apart, apart) * (self.n * other.n / n)
        return Moments(self.name, n, self.mean + apart * (other.n / n), self.scatter + other.scatter + between)


def moments(features: Features) -> Moments:
    """Those of one batch; a stream of batches is a sum."""
    vectors = features.vectors.astype(np.float64)
    centred = vectors - vectors.mean(axis=0)
    return Moments(features.name, len(vectors), vectors.mean(axis=0), centred.T @ centred)


def check_same(a: Features | Moments, b: Features | Moments) -> None:
    """Refuses to mix features of two networks."""
    if a.name != b.name:
        raise ValueError(f"{a.name} features cannot be compared with {b.name} features: take both of one network.")


def extract(
    name: str, classifier: PreprocessedClassifier, batches: Iterable[jax.Array | np.ndarray]
) -> Iterator[Features]:
    """The pooled features of every batch of images in [0, 1], on the host."""
    run: Callable[..., jax.Array] = jax.jit(lambda classifier, x: classifier.features(x))
    for x in batches:
        yield Features(name, np.asarray(run(classifier, x), np.float32))


def joined(parts: Iterable[Features]) -> Features:
    """All of them as one set."""
    first, *rest = parts
    for features in rest:
        check_same(first, features)
    return Features(first.name, np.concatenate([first.vectors, *(features.vectors for features in rest)]))
