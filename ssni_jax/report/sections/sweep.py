"""What the report says about a sweep: heat map, accuracy by radius, worst cases, submissions, t(x) and cost."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ssni_jax.journal.records import EvaluationRecord
from ssni_jax.journal.sweep import Swept
from ssni_jax.journal.sweep_rows import cell_rows, strongest, worst_cases
from ssni_jax.report.figures.by_budget import accuracy_by_eps
from ssni_jax.report.figures.heat_map import heat_map_svg
from ssni_jax.report.figures.levels_by_attack import levels_by_attack, levels_of
from ssni_jax.report.figures.protocol import resubmission_curves

Row = dict[str, Any]


def swept_section(sweep: Swept) -> dict[str, Any]:
    """Content of the section: `rows` are of all cells with records, `tables` the same by defence."""
    rows = cell_rows(sweep)
    budget = main_budget(rows)
    hardest = [row for row in _strongest_by_defense(rows, budget) if row["resubmission"]]
    named = [row | {"defense": f"{row['defense']}: {row['attack']}"} for row in hardest]
    return {
        "rows": rows,
        "worst_cases": worst_cases(sweep),
        "n_cells": len(sweep.cells),
        "heat_map": heat_map_svg(rows),
        "by_eps": accuracy_by_eps(rows),
        "budget": budget,
        "resubmission": resubmission_curves(named),
        "levels": _levels(sweep, budget),
        "tables": {defense: [row for row in rows if row["defense"] == defense] for defense in _defenses(rows)},
    }


def unfinished_cells(sweep: Swept) -> list[dict[str, str]]:
    """What is missing, in one entry, and the command that resumes."""
    waiting = [cell for cell in sweep.cells if cell.missing]
    if not waiting:
        return []
    text = f"{len(sweep.cells) - len(waiting)} of {len(sweep.cells)} cells complete; the next one is {waiting[0].label}"
    return [{"text": text, "command": sweep.command}]


def main_budget(rows: Sequence[Row]) -> str:
    """The budget under which most attacks were run; the first among equals."""
    counts = Counter(row["budget"] for row in rows if row["robust"] is not None)
    return counts.most_common(1)[0][0] if counts else ""


def _strongest_by_defense(rows: Sequence[Row], budget: str) -> list[Row]:
    best = [strongest([row for row in rows if (row["defense"], row["budget"]) == (d, budget)]) for d in _defenses(rows)]
    return [row for row in best if row is not None]


def _levels(sweep: Swept, budget: str) -> dict[str, str]:
    """For each defence that chooses its noise by the score norm: t and norm under each attack of the main budget."""
    figures = {}
    for defense in dict.fromkeys(cell.defense for cell in sweep.cells):
        runs = {
            cell.attack: cell.run.records
            for cell in sweep.cells
            if cell.defense == defense and cell.budget == budget and cell.run
        }
        attacked = [levels_of(attack, "adversarial", records) for attack, records in runs.items()]
        attacked = [levels for levels in attacked if levels.norms]
        if attacked:
            figures[defense] = levels_by_attack(defense, levels_of("clean", "clean", _largest(runs.values())), attacked)
    return figures


def _largest(several: Any) -> Sequence[EvaluationRecord]:
    return max(several, key=len)


def _defenses(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row["defense"] for row in rows))
