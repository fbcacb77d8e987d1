"""Reference score norms of clean images, and which network, images and deviation they belong to."""

import dataclasses
from typing import Any

import numpy as np

from ssni_jax.core.fingerprint import fingerprint
from ssni_jax.core.types import Tree


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Score norms of clean images under one network; SSNI's levels take their mean or their range.

    `network` is the fingerprint of the denoiser, `data` that of the images, `images` says in words which they were.
    """

    norms: tuple[float, ...]
    network: str
    data: str
    images: str
    n_levels: int
    seed: int = 0

    def __post_init__(self):
        if len(set(self.norms)) < 2 or not np.all(np.isfinite(self.norms)):
            raise ValueError(
                f"A calibration needs at least two different, finite norms, and got {len(set(self.norms))}, "
                f"{int(np.sum(~np.isfinite(self.norms)))} of them not finite; run `ssni calibrate` on clean images."
            )

    @property
    def mean(self) -> float:
        return float(np.mean(self.norms))

    @property
    def low(self) -> float:
        return float(np.min(self.norms))

    @property
    def high(self) -> float:
        return float(np.max(self.norms))

    def check(self, denoise: Tree) -> None:
        """Refuses a network other than the one these norms were measured with."""
        used = fingerprint(denoise)
        if used != self.network:
            raise ValueError(
                f"This calibration belongs to network {self.network[:12]}, not to {used[:12]}: "
                "run `ssni calibrate` with the network that purifies."
            )

    def as_json(self) -> dict[str, Any]:
        """A plain dict with the derived mean, low and high beside the fields."""
        derived = {"mean": self.mean, "low": self.low, "high": self.high}
        return {**dataclasses.asdict(self), "norms": list(self.norms), **derived}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Calibration":
        """The inverse of `as_json`; a missing key is named."""
        names = [f.name for f in dataclasses.fields(cls)]
        missing = [name for name in names if name not in values]
        if missing:
            raise ValueError(f"The calibration lacks {', '.join(missing)}: write it again with `ssni calibrate`.")
        return cls(**{**{name: values[name] for name in names}, "norms": tuple(values["norms"])})
