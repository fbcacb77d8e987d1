"""Rows of small pictures on one sheet, each row named, rows that belong together close together."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from ssni_jax.files.atomic import write_bytes

MIN_SIDE = 56
GAP, MARGIN = 2, 12
NAME_WIDTH, FONT_SIZE = 96, 13


class Row(NamedTuple):
    """Pictures side by side, and what stands to their left."""

    name: str
    pictures: UInt8[np.ndarray, "N H W C"]


def write_sheet(path: Path, groups: Sequence[Sequence[Row]]) -> None:
    """The sheet as PNG; it appears as a whole or not at all."""
    content = io.BytesIO()
    sheet(groups).save(content, "PNG", optimize=True)
    write_bytes(path, content.getvalue())


def sheet(groups: Sequence[Sequence[Row]]) -> Image.Image:
    """Groups of rows from top to bottom with a margin between them; small pictures enlarged by a whole factor."""
    strips = [[_strip(row) for row in group] for group in groups]
    heights = [sum(strip.height + GAP for strip in group) - GAP for group in strips]
    width = NAME_WIDTH + max(strip.width for group in strips for strip in group) + MARGIN
    page = Image.new("RGB", (width, sum(heights) + MARGIN * (len(groups) + 1)), "white")
    top = MARGIN
    for group, images in zip(groups, strips, strict=True):
        for row, strip in zip(group, images, strict=True):
            page.paste(strip, (NAME_WIDTH, top))
            _write(page, row.name, top + strip.height // 2)
            top += strip.height + GAP
        top += MARGIN - GAP
    return page


def _strip(row: Row) -> Image.Image:
    """Pictures side by side on white; nearest neighbour, so that every pixel is a square."""
    pictures = np.broadcast_to(row.pictures, (*row.pictures.shape[:3], 3))
    factor = max(1, -(-MIN_SIDE // max(pictures.shape[1:3])))
    large = pictures.repeat(factor, axis=1).repeat(factor, axis=2)
    spaced = np.pad(large, ((0, 0), (0, 0), (0, GAP), (0, 0)), constant_values=255)
    return Image.fromarray(np.concatenate(list(spaced), axis=1)[:, :-GAP])


def _write(page: Image.Image, text: str, middle: int) -> None:
    place = (NAME_WIDTH - MARGIN / 2, middle)
    ImageDraw.Draw(page).text(place, text, "black", ImageFont.load_default(FONT_SIZE), anchor="rm")
