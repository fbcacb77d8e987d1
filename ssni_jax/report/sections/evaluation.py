"""What the report says about evaluations: one row each, paired tests, figures and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssni_jax.evals.statistics import paired_difference
from ssni_jax.journal import formats
from ssni_jax.journal.evaluation import Evaluated
from ssni_jax.journal.judgements import JUDGEMENTS
from ssni_jax.journal.records import EvaluationRecord
from ssni_jax.journal.rows import known, mean_t, no_match, summarise
from ssni_jax.journal.seeds import SeedRuns, by_seed, seed_means, summarise_seeds
from ssni_jax.report.figures import accuracies as plots
from ssni_jax.report.figures.grid import grids
from ssni_jax.report.figures.protocol import attack_curves, resubmission_curves

NAMES = (
    ("robust_worst", "robust, every draw right"),
    ("robust_vote", "robust, plurality of the draws"),
    ("robust_majority", "robust, absolute majority of the draws"),
    ("robust_answer", "robust, the defence's own answer"),
    ("robust_worst_iterate", "robust, every judged iterate right"),
    ("fixed_key", "robust under the attack's own key"),
    ("bare_classifier", "bare classifier, same attacked images"),
    ("clean_draw", "clean, one draw"),
)


def evaluated_section(results: Sequence[Evaluated]) -> dict[str, Any]:
    """Content of the section, for results in the order of the table.

    Runs that differ in their seed alone share a row, whose `members` are theirs; figures of single images and of their
    norms are those of the first seed.
    """
    groups, singles = by_seed(results), {run.path: summarise(run.name, run.records) for run in results}
    rows = [summarise_seeds(group) | {"members": _members(group, singles)} for group in groups]
    several = [summarise_seeds(group) for group in groups if len(group.runs) > 1]
    baseline = next((group for group in groups if _kind(group.runs[0]) == 1), groups[0])
    first = [group.runs[0] for group in groups]
    return {
        "rows": rows,
        "numbers": {"rows": list(singles.values()), "over_seeds": several},
        "baseline": baseline.name,
        "baseline_is_fixed": _kind(baseline.runs[0]) == 1,
        "comparisons": [compare(group, baseline) for group in groups if group is not baseline],
        "bars": plots.accuracy_bars(rows),
        "protocol": _protocol_figures(groups, rows),
        "judgements": [(name, text) for name, text in NAMES if any(row[name] is not None for row in rows)],
        "warnings": [f"{row['defense']}: {warning}" for row in rows if (warning := no_match(row))],
        "panels": [panel for run in first if (panel := _panel(run))],
        "attacks": _attacks(groups),
        "sanity": [{"defense": run.name, **run.sanity} for run in results if run.sanity],
        "grids": grids(first),
    }


def _members(group: SeedRuns, singles: Mapping[Path, dict[str, Any]]) -> list[dict[str, Any]]:
    """One row per seed, where there are several."""
    rows = [singles[run.path] | {"seed": seed} for seed, run in zip(group.seeds, group.runs, strict=True)]
    return rows if len(rows) > 1 else []


def _protocol_figures(groups: Sequence[SeedRuns], rows: Sequence[dict[str, Any]]) -> list[str]:
    """Resubmission and attack curves, where there are any."""
    curves = attack_curves({group.name: [curve for run in group.runs for curve in run.curves] for group in groups})
    return [figure for figure in (resubmission_curves(rows), curves) if figure is not None]


def in_table_order(results: Sequence[Evaluated]) -> list[Evaluated]:
    """Defences without a noise level first, those with one for each image last."""
    return sorted(results, key=_kind)


def compare(group: SeedRuns, baseline: SeedRuns) -> dict[str, Any]:
    """Paired tests of one defence against another, over the images that both have; None where there are none."""
    tests = {name: _paired(name, group, baseline) for name in ("clean", "robust")}
    return {"defense": group.name, "n": tests["clean"].n if tests["clean"] else 0, **tests}


def _paired(name: str, a: SeedRuns, b: SeedRuns) -> Any:
    """Paired test of a judgement, whose scores are averaged over the seeds of each side."""
    ours, theirs = (seed_means(JUDGEMENTS[name], group) for group in (a, b))
    both = sorted(ours.keys() & theirs.keys())
    left, right = (np.array([means[id] for id in both]) for means in (ours, theirs))
    return paired_difference(left, right) if both else None


def _kind(results: Evaluated) -> int:
    """0 without a noise level, 1 with the same for every image, 2 with one for each image: the order of the table."""
    levels = known(mean_t(record.get(key)) for record in results.records for key in ("clean_t", "adversarial_t"))
    return 0 if not levels else 1 if max(levels) - min(levels) < 1e-6 else 2


def _panel(results: Evaluated) -> dict[str, Any] | None:
    """Figures of the score norm and the noise level, for a defence that measures them."""
    records = results.records
    norms = known(record["clean_norm"] for record in records)
    figures = [plots.score_norms(records)] if norms else []
    if _kind(results) == 2:
        figures.append(plots.noise_levels(records))
        figures += [plots.level_curve(records, results.run.get("level_curves", []))] if norms else []
    return {"defense": results.name, "figures": figures, "n_larger": _n_larger(records)} if figures else None


def _n_larger(records: Sequence[EvaluationRecord]) -> tuple[int, int]:
    """For how many images the norm is larger under attack, and of how many both norms are known."""
    pairs = [known((record["clean_norm"], record.get("adversarial_norm"))) for record in records]
    measured = [pair for pair in pairs if len(pair) == 2]
    return sum(after > before for before, after in measured), len(measured)


def _attacks(groups: Sequence[SeedRuns]) -> list[dict[str, str]]:
    """Each different attack and its objective, how its gradient was taken, and the defences it was aimed at."""
    aimed: dict[tuple[str, ...], list[str]] = {}
    for group in groups:
        facts = group.runs[0].run
        if "attack" in facts:
            objective = {name: value for name, value in facts["objective"].items() if name != "predict"}
            how = formats.compact(facts["attack"]), formats.compact(objective), str(facts["gradient"])
            aimed.setdefault(how, []).append(group.name)
    return [
        {"attack": attack, "objective": objective, "gradient": gradient, "defenses": ", ".join(names)}
        for (attack, objective, gradient), names in aimed.items()
    ]
