"""What the report says about certifications: the papers' table, curves, and effectiveness against cost."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ssni_jax.journal.certification import Certified
from ssni_jax.journal.certified_rows import (
    at_sigma,
    certified_accuracy,
    reach,
    reachable_radii,
    summarise_certified,
)
from ssni_jax.report.figures import radii as plots
from ssni_jax.report.figures.pareto import Panel, panels, pareto_svg
from ssni_jax.report.front import stated_radius

ALPHA = 0.001  # where an experiment does not say


class Comparison(NamedTuple):
    """The methods of a report in numbers, at common radii, and the panels of their Pareto plot."""

    methods: list[dict[str, Any]]
    largest: float
    radius: float
    distance: str
    panels: list[Panel]

    @property
    def names(self) -> list[str]:
        """All methods that have a record, in order: the order gives each its hue and marker."""
        return [method["method"] for method in self.methods if method["sigmas"]]


def compare_certified(runs: Sequence[Certified]) -> Comparison:
    """The numbers of every method; radii end with the first that no method certifies, though it could be reached."""
    largest = max(reach(run.records, alpha_of(run)) for run in runs)
    radii = reachable_radii(largest)
    radii = radii[: 1 + max(int(np.count_nonzero(certified_accuracy(run.records, radii))) for run in runs)]
    methods = [summarise_certified(run.name, run.records, radii, alpha_of(run)) for run in runs]
    begun, radius = [method for method in methods if method["sigmas"]], stated_radius(radii)
    distance = distance_name(next((run.experiment.get("distance") for run in runs), None))
    return Comparison(methods, largest, radius, distance, panels(begun, radius, distance) if begun else [])


def certified_section(runs: Sequence[Certified], compared: Comparison) -> dict[str, Any]:
    """Content of the section of the page."""
    begun = {run.name: run.records for run in runs if run.records}
    sigmas = sorted({row["sigma"] for method in compared.methods for row in method["sigmas"]})
    return {
        "methods": compared.methods,
        "radii": compared.methods[0]["radii"],
        "radius": compared.radius,
        "distance": compared.distance,
        "levels": {sigma: at_sigma(compared.methods, sigma) for sigma in sigmas},
        "n_invalid": sum(row["n_invalid"] for method in compared.methods for row in method["sigmas"]),
        "n_draws": sorted({run.experiment["n_estimation"] for run in runs if "n_estimation" in run.experiment}),
        "n_selection": sorted({run.experiment["n_selection"] for run in runs if "n_selection" in run.experiment}),
        "alphas": sorted({alpha_of(run) for run in runs}),
        "envelopes": plots.envelopes(begun, compared.largest) if len(begun) > 1 else None,
        "pareto": [pareto_svg(panel, compared.names) for panel in compared.panels],
        "figures": {name: _figures(records, compared.largest) for name, records in begun.items()},
    }


def alpha_of(run: Certified) -> float:
    """Probability of error of each statement of a run."""
    return float(run.experiment.get("alpha", ALPHA))


def distance_name(distance: Mapping[str, Any] | None) -> str:
    """The kind of the distance and the stored network in it: "Perceptual (lpips-squeeze)"."""
    if not isinstance(distance, Mapping):
        return "distance"
    networks = [text.rstrip("/").rsplit("/", 1)[-1] for text in _texts(distance, ("path", "name"))]
    kind = str(distance.get("kind", "distance")).rsplit(".", 1)[-1]
    return f"{kind} ({networks[0]})" if networks else kind


def _texts(value: Any, keys: Sequence[str]) -> list[str]:
    if not isinstance(value, Mapping):
        return []
    here = [entry for key, entry in value.items() if key in keys and isinstance(entry, str)]
    return here + [text for entry in value.values() for text in _texts(entry, keys)]


def _figures(records: plots.Records, largest: float) -> list[str]:
    return [plots.accuracy_over_radius(records, largest), plots.radius_histogram(records, largest)]
