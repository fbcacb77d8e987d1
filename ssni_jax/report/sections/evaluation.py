"""What the report says about evaluations: one row each, paired tests, figures and pictures."""

from collections.abc import Sequence
from typing import Any

from ssni_jax.evals.statistics import paired_difference
from ssni_jax.journal import formats
from ssni_jax.journal.evaluation import Evaluated
from ssni_jax.journal.records import EvaluationRecord
from ssni_jax.journal.rows import attacked, clean_scores, known, mean_t, robust_scores, summarise
from ssni_jax.report.figures import accuracies as plots
from ssni_jax.report.figures.grid import grids
from ssni_jax.report.figures.protocol import attack_curves, resubmission_curves

JUDGEMENTS = (
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
    """Content of the section, for results in the order of the table."""
    rows = [summarise(run.name, run.records) for run in results]
    baseline = next((run for run in results if _kind(run) == 1), results[0])
    return {
        "rows": rows,
        "baseline": baseline.name,
        "baseline_is_fixed": _kind(baseline) == 1,
        "comparisons": [compare(run, baseline) for run in results if run is not baseline],
        "bars": plots.accuracy_bars(rows),
        "protocol": _protocol_figures(results, rows),
        "judgements": [(name, text) for name, text in JUDGEMENTS if any(row[name] is not None for row in rows)],
        "panels": [panel for run in results if (panel := _panel(run))],
        "attacks": _attacks(results),
        "sanity": [{"defense": run.name, **run.sanity} for run in results if run.sanity],
        "grids": grids(results),
    }


def _protocol_figures(results: Sequence[Evaluated], rows: Sequence[dict[str, Any]]) -> list[str]:
    """Resubmission and attack curves, where there are any."""
    curves = attack_curves({run.name: run.curves for run in results})
    return [figure for figure in (resubmission_curves(rows), curves) if figure is not None]


def in_table_order(results: Sequence[Evaluated]) -> list[Evaluated]:
    """Defences without a noise level first, those with one for each image last."""
    return sorted(results, key=_kind)


def compare(results: Evaluated, baseline: Evaluated) -> dict[str, Any]:
    """Paired tests of one defence against another, over the images that both have."""
    ours, theirs = ({record["id"]: record for record in run.records} for run in (results, baseline))
    common = sorted(ours.keys() & theirs.keys())
    a, b = [ours[id] for id in common], [theirs[id] for id in common]
    return {
        "defense": results.name,
        "n": len(common),
        "clean": paired_difference(clean_scores(a), clean_scores(b)),
        "robust": _paired(attacked(a), attacked(b)),
    }


def _paired(a: Sequence[EvaluationRecord], b: Sequence[EvaluationRecord]) -> Any:
    """Paired test of one fresh draw, over the images that both attacked; None where there are none."""
    both = {record["id"] for record in a} & {record["id"] for record in b}
    a, b = ([record for record in records if record["id"] in both] for records in (a, b))
    return paired_difference(robust_scores(a), robust_scores(b)) if both else None


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


def _attacks(results: Sequence[Evaluated]) -> list[dict[str, str]]:
    """Each different attack and its objective, how its gradient was taken, and the defences it was aimed at."""
    aimed: dict[tuple[str, ...], list[str]] = {}
    for run in results:
        if "attack" in run.run:
            objective = {name: value for name, value in run.run["objective"].items() if name != "predict"}
            how = formats.compact(run.run["attack"]), formats.compact(objective), str(run.run["gradient"])
            aimed.setdefault(how, []).append(run.name)
    return [
        {"attack": attack, "objective": objective, "gradient": gradient, "defenses": ", ".join(names)}
        for (attack, objective, gradient), names in aimed.items()
    ]
