"""--fsdp: networks in parts, for weights that do not fit on one device beside its work."""

import dataclasses
import functools

from ssni_jax.core.protocols import Predict
from ssni_jax.dist import make_mesh, sharded_over_data, whole
from ssni_jax.experiments import Evaluation
from ssni_jax.purify import Buckets
from ssni_jax.zoo import resolve


@dataclasses.dataclass(frozen=True, kw_only=True)
class Divided:
    """The flag of commands whose networks may be divided over the devices."""

    fsdp: bool = False
    """Keep of each network a part on every device, and collect it for each of its calls: for weights that do not fit.
    Every image then pays for the longest walk of its batch, and the records stay the same."""

    @property
    def divides(self) -> list[str]:
        """The flag, where it is set."""
        return ["--fsdp"] if self.fsdp else []

    def in_place(self, experiment: Evaluation) -> Predict:
        """The predictor of an experiment with its networks on the devices, whole or in parts."""
        mesh = make_mesh()
        if not self.fsdp:
            return resolve(experiment.defense, whole(mesh))
        if isinstance(getattr(experiment.objective.differentiate, "walk", None), Buckets):
            raise ValueError(
                "--fsdp needs devices that call their networks equally often, and Buckets() lets them differ: "
                "differentiate through Exact() or Exact(Nested())."
            )
        return resolve(experiment.defense, functools.partial(sharded_over_data, mesh)).scanned()
