"""Released container formats: the reader and a family make of a file what the formula gives, to the last bit."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ssni_jax.convert import read_checkpoint
from ssni_jax.convert.family import convert
from ssni_jax.convert.selection import Choice
from tests.reference.case import Case, Check, compare
from tests.reference.networks import SMALL, family_of, options_of, run, tree_of


def checks(folder: Path, *, averages: bool = True) -> Iterator[Check]:
    """Every file of a network's case that is none of its own: a checkpoint as its project writes it.

    `averages` also runs the network with the averaged weights, where the case has outputs of theirs.
    """
    for file in sorted(folder.iterdir()):
        if file.suffix not in (".npz", ".json"):
            yield from container(Case(folder), file, averages)


def container(case: Case, file: Path, averages: bool) -> Iterator[Check]:
    """Raw and averaged weights, as far as the file has both."""
    for weights, wanted in expected(case).items():
        found = convert(family_of(case), read_checkpoint(file), options_of(case), Choice(weights)).arrays
        if found.keys() != wanted.keys():
            raise ValueError(f"{file} gives other parameters than its case: {sorted(found.keys() ^ wanted.keys())}")
        error = max(float(np.abs(found[key] - wanted[key]).max()) for key in wanted)
        yield compare(case.name, f"{file.name} ({weights})", error, np.zeros(()), 0.0)
    if averages and case.has_averages:
        io = case.io() | case.io("io_ema.npz")
        yield compare(case.name, "model (ema)", run(case, case.tensors("ema:"), io, "model")[0], io["out_model"], SMALL)


def expected(case: Case) -> dict[str, dict[str, np.ndarray]]:
    """The parameters of each kind of weights: averages are of another salt in torch's files, and half in flax's."""
    raw = converted(case, case.tensors())
    if case.manifest.get("layout") == "flax":
        return {"raw": raw, "ema": {key: array / 2 for key, array in raw.items()}}
    return {"raw": raw, "ema": converted(case, case.tensors("ema:"))} if case.has_averages else {"ema": raw}


def converted(case: Case, tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return convert(family_of(case), tree_of(case, tensors), options_of(case)).arrays
