"""What the report says about evaluations: a row each, paired tests, figures and pictures."""

from collections.abc import Sequence
from typing import Any

from ssni_jax.evals.statistics import paired_difference
from ssni_jax.journal import formats, pictures
from ssni_jax.journal.records import Record
from ssni_jax.journal.rows import clean_scores, known, mean_t, robust_scores, summarise
from ssni_jax.journal.workdir import Results
from ssni_jax.report.figures import accuracies as plots


def evaluated_section(results: Sequence[Results]) -> dict[str, Any]:
    """Content of the section, for results in the order of the table."""
    rows = [summarise(each.defense, each.records) for each in results]
    baseline = next((each for each in results if _kind(each) == 1), results[0])
    return {
        "rows": rows,
        "baseline": baseline.defense,
        "baseline_is_fixed": _kind(baseline) == 1,
        "comparisons": [compare(each, baseline) for each in results if each is not baseline],
        "bars": plots.accuracy_bars(rows),
        "panels": [panel for each in results if (panel := _panel(each))],
        "attacks": _attacks(results),
        "grids": pictures.grids(results),
    }


def in_table_order(results: Sequence[Results]) -> list[Results]:
    """Defences without a noise level first, those with one for each image last."""
    return sorted(results, key=_kind)


def compare(results: Results, baseline: Results) -> dict[str, Any]:
    """Paired tests of one defence against another, over the images that both have."""
    ours, theirs = ({record["id"]: record for record in each.records} for each in (results, baseline))
    common = sorted(ours.keys() & theirs.keys())
    a, b = [ours[id] for id in common], [theirs[id] for id in common]
    return {
        "defense": results.defense,
        "n": len(common),
        "clean": paired_difference(clean_scores(a), clean_scores(b)),
        "robust": paired_difference(robust_scores(a), robust_scores(b)),
    }


def _kind(results: Results) -> int:
    """0 without a noise level, 1 with the same for every image, 2 with one for each image: the order of the table."""
    levels = known(mean_t(record[key]) for record in results.records for key in ("clean_t", "adversarial_t"))
    return 0 if not levels else 1 if max(levels) - min(levels) < 1e-6 else 2


def _panel(results: Results) -> dict[str, Any] | None:
    """Figures of the score norm and the noise level, for a defence that measures them."""
    records = results.records
    norms = known(record["clean_norm"] for record in records)
    figures = [plots.score_norms(records)] if norms else []
    if _kind(results) == 2:
        figures.append(plots.noise_levels(records))
        figures += [plots.level_curve(records, results.run.get("level_curve"))] if norms else []
    return {"defense": results.defense, "figures": figures, "n_larger": _n_larger(records)} if figures else None


def _n_larger(records: Sequence[Record]) -> tuple[int, int]:
    """For how many images the norm is larger under attack, and of how many both norms are known."""
    pairs = [(record["clean_norm"], record["adversarial_norm"]) for record in records]
    measured = [(before, after) for before, after in pairs if before is not None and after is not None]
    return sum(after > before for before, after in measured), len(measured)


def _attacks(results: Sequence[Results]) -> list[dict[str, str]]:
    """Each different attack, how its gradient was taken, and the defences it was aimed at."""
    aimed: dict[tuple[str, str], list[str]] = {}
    for each in results:
        if "attack" in each.run:
            how = formats.compact(each.run["attack"]), str(each.run.get("gradient", "not stated"))
            aimed.setdefault(how, []).append(each.defense)
    return [{"attack": a, "gradient": g, "defenses": ", ".join(names)} for (a, g), names in aimed.items()]
