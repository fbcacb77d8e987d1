"""Reference norms of clean images, and which network, images and deviation they belong to."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ssni_jax.core.describe import describe
from ssni_jax.core.fingerprint import fingerprint
from ssni_jax.core.protocols import Deviation

FIRST_RELEASE = {"kind": "ScoreNorm", "spacing": 1e-3, "perturbed": True}
VP_SCHEDULE = {"kind": "VP", "beta_min": 0.1, "beta_max": 20.0}
NETWORKS = ("denoise", "classify")  # what a deviation may ask
NOT_COMPARED = (*NETWORKS, "n_together")  # the network has a fingerprint, and how many levels share a call is speed


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Norms of clean images under one deviation of one network; SSNI's levels take their mean or their range.

    `network` is the fingerprint of the denoiser, `data` that of the images, `images` says in words which they were, and
    `deviation` is `deviation_facts` of what measured them.
    """

    norms: tuple[float, ...]
    network: str
    data: str
    images: str
    deviation: Mapping[str, Any]
    seed: int = 0

    def __post_init__(self):
        if len(set(self.norms)) < 2 or not np.all(np.isfinite(self.norms)):
            raise ValueError(
                f"A calibration needs at least two different, finite norms, and got {len(set(self.norms))}, "
                f"{int(np.sum(~np.isfinite(self.norms)))} of them not finite; run `ssni calibrate` on clean images."
            )

    @classmethod
    def measured(
        cls, deviation: Deviation, norms: Sequence[float], *, data: str, images: str, seed: int = 0
    ) -> "Calibration":
        """The calibration of these norms, which `deviation` measured."""
        return cls(tuple(norms), network_of(deviation), data, images, deviation_facts(deviation), seed)

    @property
    def mean(self) -> float:
        return float(np.mean(self.norms))

    @property
    def low(self) -> float:
        return float(np.min(self.norms))

    @property
    def high(self) -> float:
        return float(np.max(self.norms))

    @property
    def std(self) -> float:
        return float(np.std(self.norms))

    def quantile(self, share: float) -> float:
        """The norm that this share of the images does not exceed."""
        return float(np.quantile(self.norms, share))

    @property
    def n_levels(self) -> int:
        """Levels of the score norm that measured; 1 for a deviation that has none."""
        return int(self.deviation.get("n_levels", 1))

    def check(self, deviation: Deviation) -> None:
        """Refuses another network or another deviation than the one these norms were measured with."""
        used = network_of(deviation)
        if used != self.network:
            raise ValueError(
                f"This calibration belongs to network {self.network[:12]}, not to {used[:12]}: "
                "run `ssni calibrate` with the network that purifies."
            )
        facts = deviation_facts(deviation)
        if not _same(facts, self.deviation):
            raise ValueError(
                f"This calibration was measured with {_shown(self.deviation)}, not with {_shown(facts)}: "
                "run `ssni calibrate` on a config with the deviation that measures."
            )

    def as_json(self) -> dict[str, Any]:
        """A plain dict with the derived mean, low and high beside the fields."""
        derived = {"mean": self.mean, "low": self.low, "high": self.high}
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "norms": list(self.norms), "deviation": dict(self.deviation), **derived}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Calibration":
        """The inverse of `as_json`; a missing key is named. Files of the first release are of the score norm on VP."""
        if "deviation" not in values and "n_levels" in values:
            first = {**FIRST_RELEASE, "n_levels": values["n_levels"], "schedule": VP_SCHEDULE}
            values = {**values, "deviation": first}
        names = [f.name for f in dataclasses.fields(cls)]
        missing = [name for name in names if name not in values]
        if missing:
            raise ValueError(f"The calibration lacks {', '.join(missing)}: write it again with `ssni calibrate`.")
        return cls(**{**{name: values[name] for name in names}, "norms": tuple(values["norms"])})


def network_of(deviation: Deviation) -> str:
    """Fingerprint of the network that a deviation asks."""
    asked = (getattr(deviation, name) for name in NETWORKS if hasattr(deviation, name))
    return fingerprint(next(asked, deviation))


def deviation_facts(deviation: Deviation) -> dict[str, Any]:
    """Kind and settings of a deviation, without its network."""
    fields = dataclasses.fields(deviation) if dataclasses.is_dataclass(deviation) else ()
    settings = {field.name: getattr(deviation, field.name) for field in fields if field.name not in NOT_COMPARED}
    return {"kind": type(deviation).__name__, **describe(settings)}


def _same(a: Any, b: Any) -> bool:
    """Equal values; numbers that were float32 on the way count as equal."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, float) and isinstance(b, float | int):
        return math.isclose(a, b, rel_tol=1e-6)
    return a == b


def _shown(facts: Mapping[str, Any]) -> str:
    fields = ", ".join(f"{name}={value}" for name, value in facts.items() if name not in ("kind", "schedule"))
    return f"{facts.get('kind')}({fields})"
