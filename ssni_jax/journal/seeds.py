"""Runs that differ in nothing but their seed, as one row: scores are averaged over the seeds, then over the images."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ssni_jax.evals.statistics import wilson
from ssni_jax.journal.evaluation import Evaluated
from ssni_jax.journal.identity import digest_of
from ssni_jax.journal.judgements import JUDGEMENTS, Judgement, submissions
from ssni_jax.journal.rows import summarise


class SeedRuns(NamedTuple):
    """The runs of one experiment under different seeds, in their order; most experiments have one run."""

    name: str
    runs: Sequence[Evaluated]

    @property
    def seeds(self) -> list[int]:
        """The seed of each run."""
        return [_seed(run) for run in self.runs]


def by_seed(results: Sequence[Evaluated]) -> list[SeedRuns]:
    """The runs grouped by all of their identity but the seed, groups in the order of their first run.

    Of two runs with the same seed the second begins a group of its own.
    """
    groups: dict[tuple[str, int], list[Evaluated]] = {}
    for number, run in enumerate(results):
        identity = {name: value for name, value in run.experiment.items() if name not in ("seed", "hash")}
        n_before = sum(other.experiment == run.experiment for other in results[:number])
        groups.setdefault((digest_of(identity), n_before), []).append(run)
    names = Counter(str(runs[0].run["defense"]) for runs in groups.values() if len(runs) > 1)
    return [SeedRuns(_name(runs, names), sorted(runs, key=_seed)) for runs in groups.values()]


def summarise_seeds(group: SeedRuns) -> dict[str, Any]:
    """The row of several seeds, on the images that all of them have; of a single one as `summarise`.

    Accuracies are means over seeds and images. The unit of their intervals is the image: they cover the choice of
    images alone. `x_seeds` are the lowest and the highest accuracy x of a seed. Predictions that are invalid, and all
    other numbers, are of all seeds together.
    """
    shared = set.intersection(*({record["id"] for record in run.records} for run in group.runs))
    row = summarise(group.name, [record for run in group.runs for record in run.records if record["id"] in shared])
    row |= {"seeds": group.seeds}
    if len(group.runs) == 1:
        return row
    for name, judgement in JUDGEMENTS.items():
        row |= _over_seeds(name, judgement, group)
    counts = [point["m"] for point in row["resubmission"]]
    row["resubmission"] = [{"m": m, **_over_seeds("accuracy", submissions(m), group)} for m in counts]
    return row | {"n": len(shared), "n_attacked": len(seed_means(JUDGEMENTS["robust"], group))}


def seed_means(judgement: Judgement, group: SeedRuns) -> dict[int, float]:
    """The score of each image that every seed has judged, averaged over the seeds."""
    ids, scores = _by_seed_and_image(judgement, group)
    return dict(zip(ids, np.mean(scores, axis=0).tolist(), strict=True))


def _over_seeds(name: str, judgement: Judgement, group: SeedRuns) -> dict[str, Any]:
    """Mean, interval, and the spread over the seeds."""
    ids, scores = _by_seed_and_image(judgement, group)
    if not ids:
        return {name: None, f"{name}_ci": [0.0, 1.0], f"{name}_seeds": None}
    total, means = float(np.sum(np.mean(scores, axis=0))), np.mean(scores, axis=1)
    spread = [float(np.min(means)), float(np.max(means))]
    return {name: total / len(ids), f"{name}_ci": list(wilson(total, len(ids))), f"{name}_seeds": spread}


def _by_seed_and_image(judgement: Judgement, group: SeedRuns) -> tuple[list[int], Float[np.ndarray, "seeds n"]]:
    """The images that every seed has judged, and their scores, one row per seed."""
    judged = [{record["id"]: record for record in run.records if judgement.labels(record)} for run in group.runs]
    ids = sorted(set.intersection(*map(set, judged)))
    return ids, np.stack([judgement.scores(records[id] for id in ids) for records in judged])


def _seed(run: Evaluated) -> int:
    return run.experiment.get("seed", 0)


def _name(runs: Sequence[Evaluated], names: Counter[str]) -> str:
    """The name of the only run, or the predictor's, with the directories where several groups have the same."""
    if len(runs) == 1:
        return runs[0].name
    name = str(runs[0].run["defense"])
    return name if names[name] == 1 else f"{name} ({', '.join(run.path.name for run in runs)})"
