"""Networks that others have published, by name: their shapes are known before their weights are at hand."""

import dataclasses
from pathlib import Path
from typing import Any

from ssni_jax.convert import stored_file
from ssni_jax.convert.public_files import PUBLIC_FILES, PublicFile
from ssni_jax.core.describe import describe
from ssni_jax.core.types import Tree
from ssni_jax.networks.classifier import role_of
from ssni_jax.purify import Calibration, ScoreNorm
from ssni_jax.schedules import VP
from ssni_jax.zoo import Pretrained

NOT_STORED = "not stored yet: "


@dataclasses.dataclass(frozen=True)
class Published(Pretrained):
    """A network of `PUBLIC_FILES`, in `folder` once `ssni convert` has stored it there.

    Until then configs that name it can be built, estimated and compiled from its shapes; running one is refused with
    the file to download and the command that converts it.
    """

    folder: str = "weights"

    def __post_init__(self):
        if self.name not in PUBLIC_FILES:
            raise ValueError(f"There is no published network {self.name!r}: choose one of {', '.join(PUBLIC_FILES)}.")

    @property
    def path(self) -> Path:
        return Path(self.folder) / self.name

    @property
    def public(self) -> PublicFile:
        """Where the network comes from."""
        return PUBLIC_FILES[self.name]

    @property
    def is_stored(self) -> bool:
        """Whether `ssni convert` has written the network."""
        return stored_file(self.path, ".json").is_file()

    @property
    def fingerprint(self) -> str:
        return super().fingerprint if self.is_stored else f"{NOT_STORED}{self.name}"

    def about(self) -> dict[str, Any]:
        """As of a stored network; before that its architecture and what stands around it."""
        if self.is_stored:
            return super().about()
        about = _described(self.public)
        return about if self.coefficients is None else {**about, "coefficients": describe(self.coefficients)}

    def load(self, sharding: Any = None) -> Tree:
        if not self.is_stored:
            urls = " and ".join(part.url for part in self.public.downloads)
            raise FileNotFoundError(
                f"{self.path} is not stored yet: download {urls}, then run "
                f"`{self.public.convert_line(self.folder)}`; `ssni fetch-list CONFIG` lists all that is missing."
            )
        return super().load(sharding)

    def unmeasured(self, n_levels: int) -> Calibration:
        """A stand-in for the reference norms of a network that is not stored yet, which only plans can use."""
        deviation = ScoreNorm(self, VP(), n_levels)
        return Calibration.measured(deviation, (0.0, 1.0), data="", images=NOT_STORED + self.name)


def published_in(value: Any) -> list[Published]:
    """The published networks anywhere in an experiment, each once, in the order in which they are met."""
    if isinstance(value, Published):
        return [value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    parts = list(value.values()) if isinstance(value, dict) else value
    networks = [item for part in parts for item in published_in(part)] if isinstance(parts, list | tuple) else []
    return list({network.path: network for network in networks}.values())


def _described(public: PublicFile) -> dict[str, Any]:
    role = role_of(public.config, public.around)
    around = None if public.around is None else describe(public.around)
    return {"architecture": describe(public.config), "family": public.family, role: around}
