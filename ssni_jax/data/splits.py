"""One split of a prepared data set, or a slice of it, as tensorflow-datasets writes it: "test", "train[10%:20%]"."""

import re
from collections.abc import Mapping
from typing import NamedTuple

FORMS = "NAME, NAME[:5000], NAME[-500:] or NAME[10%:20%]"
SPLIT = re.compile(r"\s*(?P<name>[\w-]+)\s*(?:\[\s*(?P<low>[^:\]]*?)\s*:\s*(?P<high>[^:\]]*?)\s*\])?\s*")
BOUND = re.compile(r"-?\d[\d_]*(?:\.\d+)?%?")


class Slice(NamedTuple):
    """The rows `start` to `stop` of a split."""

    name: str
    start: int
    stop: int


def split_slice(text: str, sizes: Mapping[str, int], where: str) -> Slice:
    """What `text` asks for among splits of these sizes; percentages are rounded to the closest row, as tfds does."""
    parts = SPLIT.fullmatch(text)
    if "+" in text:
        raise ValueError(f"split {text!r} is a sum, and one split is read at a time: give one of {FORMS}.")
    if parts is None:
        raise ValueError(f"split {text!r} is not understood: give {FORMS}.")
    name, known = parts["name"], ", ".join(sizes)
    if name not in sizes:
        raise ValueError(f"{where} has no split {name!r}: choose one of {known}.")
    low, high = parts["low"] or "", parts["high"] or ""
    percents = {bound.endswith("%") for bound in (low, high) if bound}
    if not all(BOUND.fullmatch(bound) for bound in (low, high) if bound) or len(percents) > 1:
        raise ValueError(f"split {text!r} is not understood: give {FORMS}, both ends in rows or both in percent.")
    if parts["low"] is not None and not percents:
        raise ValueError(f"split {text!r} has a slice without ends: give {FORMS}.")
    n = sizes[name]
    start, stop = (_row(text, bound, default, n) for bound, default in ((low, 0), (high, n)))
    if start >= stop:
        raise ValueError(f"split {text!r} of {where} holds no rows of {n}: give a slice that begins before it ends.")
    return Slice(name, start, stop)


def _row(text: str, bound: str, default: int, n: int) -> int:
    if not bound:
        return default
    if not bound.endswith("%") and "." in bound:
        raise ValueError(f"split {text!r} counts rows in fractions: give whole rows, or percent.")
    row = round(float(bound[:-1]) * n / 100) if bound.endswith("%") else int(bound)
    if abs(row) > n:
        raise ValueError(f"split {text!r} goes beyond the {n} rows that are there: give ends of at most {n} or 100%.")
    return row + n if row < 0 else row
