"""A few images opened up: before, attacked, noised and purified, kept as arrays and shown as inlined PNG."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Num
from PIL import Image

from ssni_jax.files.atomic import write_arrays
from ssni_jax.journal.formats import level, number
from ssni_jax.journal.records import Record
from ssni_jax.journal.rows import draws, mean_t
from ssni_jax.journal.workdir import Results

Picture = Num[np.ndarray, "H W C"]
COLUMNS = ("clean", "purified_clean", "adversarial", "noised", "purified")
LINF = "\N{SCRIPT SMALL L}\N{INFINITY}"
MIN_SIDE = 128
MAX_VALUES = 12_000_000  # of all pictures shown: a few megabytes of PNG


class Cell(NamedTuple):
    """One picture of the grid: its PNG as a data URI (None where there is none), lines below it, right or wrong."""

    source: str | None
    lines: list[str]
    correct: bool | None


def save_pictures(workdir: Path, id: int, **pictures: Picture) -> None:
    """pictures/<id>.npz: images [H, W, C] in [0, 1] as float16, named as in `COLUMNS`."""
    half = {name: np.asarray(picture, np.float16) for name, picture in pictures.items()}
    write_arrays(workdir / "pictures" / f"{id}.npz", half)


def load_pictures(workdir: Path, id: int) -> dict[str, np.ndarray]:
    """The arrays of one image; empty when it has none."""
    path = workdir / "pictures" / f"{id}.npz"
    if not path.exists():
        return {}
    with np.load(path) as stored:
        return {name: np.asarray(stored[name], np.float32) for name in stored.files}


def picture_ids(workdir: Path) -> list[int]:
    """Images that have pictures."""
    return sorted(int(path.stem) for path in workdir.glob("pictures/*.npz"))


def grids(results: Sequence[Results], limit: int = 6) -> list[dict[str, Any]]:
    """For the first images that most defences have pictures of: one row of cells a defence."""
    every = [id for each in results for id in picture_ids(each.path)]
    ids = sorted(set(every), key=lambda id: (-every.count(id), id))[:limit]
    shown, size = [], 0
    for id in ids:
        rows = [_row(each, id) for each in results if id in picture_ids(each.path)]
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


def _row(results: Results, id: int) -> tuple[dict[str, Any], int]:
    pictures = load_pictures(results.path, id)
    record = next((record for record in results.records if record["id"] == id), None)
    captions = _captions(record) if record else {}
    cells = [_cell(pictures, name, captions) for name in COLUMNS]
    return {"defense": results.defense, "cells": cells}, sum(picture.size for picture in pictures.values())


def _cell(pictures: Mapping[str, np.ndarray], name: str, captions: Mapping[str, Any]) -> Cell:
    lines, correct = captions.get(name, ([], None))
    return Cell(png(pictures[name]) if name in pictures else None, lines, correct)


def _captions(record: Record) -> dict[str, tuple[list[str], bool | None]]:
    """What stands below each picture of one image."""
    label, after, valid = record["label"], record["adversarial_prediction"], record["valid"]
    votes = [f"{draws(record).count(label)} of {len(draws(record))} draws right"] if len(draws(record)) > 1 else []
    return {
        "clean": ([f"label {label}"], None),
        "purified_clean": (
            [f"defence: {record['clean_prediction']}", *_measured(record["clean_t"], record["clean_norm"])],
            valid and record["clean_prediction"] == label,
        ),
        "adversarial": (
            [f"bare classifier: {record['undefended_prediction']}", *_size(record["linf"])],
            valid and record["undefended_prediction"] == label,
        ),
        "noised": (_measured(record["adversarial_t"], record["adversarial_norm"]), None),
        "purified": ([f"defence: {after}", *votes], valid and after == label),
    }


def _size(linf: float | None) -> list[str]:
    return [] if linf is None else [f"{LINF} {255 * linf:.1f}/255"]


def _measured(t: list[float | None] | None, norm: float | None) -> list[str]:
    lines = [f"t {level(mean_t(t))}"] if t else []  # a NaN shows as a dash
    return lines + ([f"norm {number(norm)}"] if norm is not None else [])
