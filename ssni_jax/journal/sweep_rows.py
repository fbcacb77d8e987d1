"""The numbers of a sweep: one row per cell, and the worst case of each image over the attacks that share it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from ssni_jax.journal.records import draws_of
from ssni_jax.journal.rows import attacked, mean_of, proportion, summarise
from ssni_jax.journal.sweep import Swept, SweptCell

Right = Bool[np.ndarray, " draws"]  # which fresh draws of one adversarial image are right
FEW = 0.25  # of the images of the largest cell; a cell with a smaller share cannot be called the strongest attack


def cell_rows(sweep: Swept) -> list[dict[str, Any]]:
    """One row per cell that has records: `accuracy`, with `_ci` and `_invalid`, is that of one fresh draw, or of clean
    images without an attack."""
    return [_row(cell) for cell in sweep.cells if cell.run is not None and cell.run.records]


def _row(cell: SweptCell) -> dict[str, Any]:
    assert cell.run is not None and cell.path is not None
    row = summarise(cell.defense, cell.run.records)
    name = "clean" if row["robust"] is None else "robust"
    place = {"attack": cell.attack, "norm": cell.norm, "eps": cell.eps, "budget": cell.budget, "group": cell.group}
    cost = {"attack_seconds": cell.run.attack_seconds, "attack_draws": _draws_per_image(cell)}
    shown = {f"accuracy{part}": row[f"{name}{part}"] for part in ("", "_ci", "_invalid")}
    return {**row, **place, **cost, **shown, "directory": cell.path.name}


def _draws_per_image(cell: SweptCell) -> float | None:
    """Predictions that the attack made per image, with or without a gradient; of an ensemble over all its attacks."""
    assert cell.run is not None
    stages = cell.run.run.get("stages")
    if stages:
        return sum(stage["queries"] for stage in stages) / stages[0]["n"]
    counts = (record.get("attack_queries") for record in cell.run.records)
    return mean_of(None if count is None else float(count) for count in counts)


def strongest(rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The row of lowest accuracy under an attack, of those with enough images to compare; the first among equals."""
    tried = [row for row in rows if row["robust"] is not None]
    enough = FEW * max((row["n"] for row in tried), default=0)
    return min((row for row in tried if row["n"] >= enough), key=lambda row: row["robust"], default=None)


def worst_cases(sweep: Swept) -> list[dict[str, Any]]:
    """For each defence and budget, and each group of attacks: the worst case of every image over the attacks.

    Attacks ran on different numbers of images: for every number n there is a row of the attacks with at least n images,
    on the images that all of these share.
    """
    rows = []
    for defense, budget in dict.fromkeys((cell.defense, cell.budget) for cell in sweep.cells):
        cells = [cell for cell in sweep.cells if (cell.defense, cell.budget) == (defense, budget) and _answers(cell)]
        for group in dict.fromkeys(("", *(cell.group for cell in cells))):
            chosen = [cell for cell in cells if group in ("", cell.group)]
            rows += [{"defense": defense, "budget": budget, "group": group, **row} for row in _by_size(chosen)]
    return rows


def _by_size(cells: Sequence[SweptCell]) -> list[dict[str, Any]]:
    """One row per number of images; a single attack has no worst case over attacks."""
    answers = {cell.attack: _answers(cell) for cell in cells}
    rows = []
    for n in sorted({len(images) for images in answers.values()}, reverse=True):
        large = {attack: images for attack, images in answers.items() if len(images) >= n}
        shared = sorted(set.intersection(*(set(images) for images in large.values())))
        if len(large) > 1 and shared:
            rows.append(_worst_case(large, shared))
    return rows


def _worst_case(answers: dict[str, dict[int, Right]], ids: Sequence[int]) -> dict[str, Any]:
    """The worst case on the images `ids`, and the strongest single attack on the same ones.

    `oracle` is the accuracy of one draw against an attacker who knows which attack suits the image, `oracle_worst` the
    share of images of which no draw of any attack is wrong.
    """
    images = [[by_id[id] for by_id in answers.values()] for id in ids]
    alone = {attack: float(np.mean([np.mean(by_id[id]) for id in ids])) for attack, by_id in answers.items()}
    several = min(len(draws) for image in images for draws in image) > 1
    every = np.array([all(draws.all() for draws in image) for image in images], float)
    best = min(alone, key=lambda attack: alone[attack])
    return {
        "n": len(ids),
        "attacks": list(answers),
        "strongest": best,
        "strongest_alone": alone[best],
        **proportion("oracle", np.array([oracle_score(image) for image in images]), several),
        **proportion("oracle_worst", every),
    }


def oracle_score(attacks: Sequence[Right]) -> float:
    """Accuracy of one draw of one image under the attack that suits the image best.

    The attack is chosen by half of the draws and judged by the other half, both ways round, because the lowest of
    several noisy shares is too low; equally good attacks are averaged. With one draw the lowest share itself.
    """
    if min(len(draws) for draws in attacks) < 2:
        return min(float(np.mean(draws)) for draws in attacks)
    first, second = ([float(np.mean(draws[start::2])) for draws in attacks] for start in (0, 1))
    return (_judged(first, second) + _judged(second, first)) / 2


def _judged(choice: Sequence[float], judge: Sequence[float]) -> float:
    lowest = min(choice)
    return float(np.mean([score for share, score in zip(choice, judge, strict=True) if share == lowest]))


def _answers(cell: SweptCell) -> dict[int, Right]:
    """For each attacked image, which of its fresh draws are right."""
    records = [] if cell.run is None else attacked(cell.run.records)
    return {record["id"]: np.array(draws_of(record)) == record["label"] for record in records}
