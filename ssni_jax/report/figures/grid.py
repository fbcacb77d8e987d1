"""The grid of pictures: one row per defence and image, inlined as PNG, with captions."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ssni_jax.journal.evaluation import Evaluated
from ssni_jax.journal.formats import level, number
from ssni_jax.journal.pictures import COLUMNS, Picture, load_pictures, picture_ids
from ssni_jax.journal.records import EvaluationRecord, draws_of
from ssni_jax.journal.rows import mean_t

LINF = "\N{SCRIPT SMALL L}\N{INFINITY}"
MIN_SIDE = 128
MAX_VALUES = 12_000_000  # of all pictures shown: a few megabytes of PNG
Caption = tuple[list[str], bool | None]  # lines, and whether the answer is right


class GridCell(NamedTuple):
    """One picture of the grid: its PNG as a data URI or None, the lines below it, and whether the answer is right."""

    source: str | None
    lines: list[str]
    is_right: bool | None


def grids(results: Sequence[Evaluated], limit: int = 6) -> list[dict[str, Any]]:
    """For the first images that most defences have pictures of: one row of cells per defence."""
    every = [id for run in results for id in picture_ids(run.path)]
    ids = sorted(set(every), key=lambda id: (-every.count(id), id))[:limit]
    shown, size = [], 0
    for id in ids:
        rows = [_row(run, id) for run in results if id in picture_ids(run.path)]
        size += sum(values for _, values in rows)
        if shown and size > MAX_VALUES:
            break
        shown.append({"id": id, "rows": [row for row, _ in rows]})
    return shown


def png(picture: Picture) -> str:
    """An image in [0, 1] as a PNG data URI, small ones enlarged by a whole factor so that every pixel is a square."""
    levels = np.round(255 * np.clip(np.nan_to_num(picture), 0, 1)).astype(np.uint8)
    factor = max(1, -(-MIN_SIDE // max(levels.shape[:2])))
    large = levels.repeat(factor, axis=0).repeat(factor, axis=1)
    content = io.BytesIO()
    Image.fromarray(large[..., 0] if large.shape[-1] == 1 else large).save(content, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()


def _row(results: Evaluated, id: int) -> tuple[dict[str, Any], int]:
    pictures = load_pictures(results.path, id)
    record = next((record for record in results.records if record["id"] == id), None)
    captions = _captions(record) if record else {}
    cells = [_cell(pictures, name, captions) for name in COLUMNS]
    return {"defense": results.name, "cells": cells}, sum(picture.size for picture in pictures.values())


def _cell(pictures: Mapping[str, np.ndarray], name: str, captions: Mapping[str, Caption]) -> GridCell:
    return GridCell(png(pictures[name]) if name in pictures else None, *captions.get(name, ([], None)))


def _captions(record: EvaluationRecord) -> dict[str, Caption]:
    """What is written below each picture of one image."""
    answer = _answer("defence", record["clean_label"], record["label"])
    answer[0].extend(_measured(record["clean_t"], record["clean_norm"]))
    captions: dict[str, Caption] = {"clean": ([f"label {record['label']}"], None), "purified_clean": answer}
    return captions | _adversarial_captions(record) if draws_of(record) else captions


def _adversarial_captions(record: EvaluationRecord) -> dict[str, Caption]:
    label, labels, bare = record["label"], draws_of(record), record.get("undefended_label")
    attacked = ([], None) if bare is None else _answer("bare classifier", bare, label)
    attacked[0].extend(_size(record.get("linf")))
    purified = _answer("defence", record.get("answers", labels)[0], label)
    purified[0].extend([f"{labels.count(label)} of {len(labels)} draws right"] if len(labels) > 1 else [])
    noised = _measured(record.get("adversarial_t"), record.get("adversarial_norm"))
    return {"adversarial": attacked, "noised": (noised, None), "purified": purified}


def _answer(who: str, answer: int, label: int) -> Caption:
    return [f"{who}: {_shown(answer)}"], answer == label


def _shown(label: int) -> str:
    return "NaN" if label < 0 else str(label)


def _size(linf: float | None) -> list[str]:
    return [] if linf is None else [f"{LINF} {255 * linf:.1f}/255"]


def _measured(t: list[float | None] | None, norm: float | None) -> list[str]:
    lines = [f"t {level(mean_t(t))}"] if t else []  # a NaN shows as a dash
    return lines + ([f"norm {number(norm)}"] if norm is not None else [])
