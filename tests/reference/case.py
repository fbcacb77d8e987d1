"""A folder of reference numbers, made by running the reference implementations in float32 on a CPU.

`manifest.json` holds the reference's own configuration and the name and shape of every tensor of its state dict,
`io.npz` inputs `in_*` and outputs `out_*`, in the reference's layout. Weights follow from a formula: no file is needed.
"""

import dataclasses
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Check:
    """One compared output; the relative error is that of the whole array in the Euclidean norm."""

    case: str
    output: str
    max_absolute: float
    relative: float
    tolerance: float
    params: int = 0
    bfloat16: float | None = None

    @property
    def passed(self) -> bool:
        return self.relative <= self.tolerance


def compare(case: str, output: str, found: Any, expected: np.ndarray, tolerance: float, **facts: Any) -> Check:
    """The error of `found` against the reference; NaN fails, another shape raises."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    if found.shape != expected.shape:
        raise ValueError(f"{case} {output} has shape {found.shape}, the reference {expected.shape}")
    return Check(case, output, float(np.abs(found - expected).max()), relative(found, expected), tolerance, **facts)


def relative(found: Any, expected: Any) -> float:
    """|found - expected| / |expected|; where the reference is all zeros, |found|."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    return float(np.linalg.norm(found - expected) / (np.linalg.norm(expected) or 1.0))


@dataclasses.dataclass(frozen=True)
class Case:
    """A network's case."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def manifest(self) -> dict[str, Any]:
        return json.loads((self.folder / "manifest.json").read_text())

    @property
    def settings(self) -> dict[str, Any]:
        """The reference's configuration without its sections."""
        nested = self.manifest["config"]
        inner = [section for section in nested.values() if isinstance(section, Mapping)]
        return {key: value for part in [nested, *inner] for key, value in part.items()}

    @property
    def has_averages(self) -> bool:
        """Whether the case also gives outputs of averaged weights."""
        return (self.folder / "io_ema.npz").is_file()

    def io(self, name: str = "io.npz") -> dict[str, np.ndarray]:
        return dict(np.load(self.folder / name))

    def tensors(self, prefix: str = "") -> dict[str, np.ndarray]:
        """The reference's state dict but for LPIPS's constants; `prefix` makes another set of the same shapes."""
        manifest = self.manifest
        fill = flax_weight if manifest.get("layout") == "flax" else weight
        shapes = {name: shape for name, shape, _ in manifest["tensors"] if not name.startswith("scaling_layer.")}
        made = {name: fill(name, shape, prefix + manifest["salt"]) for name, shape in shapes.items()}
        return {name: np.abs(array) if is_head(name) else array for name, array in made.items()}


def is_head(name: str) -> bool:
    """LPIPS's linear heads, which the cases fill with absolute values."""
    return name.startswith("lin") and name.endswith(".model.1.weight")


def weight(name: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """The tensor that the cases give torch's `name` of `shape`: He gain for kernels, norms near the identity."""
    z = np.random.RandomState(zlib.crc32((salt + name).encode())).standard_normal(tuple(shape)).astype(np.float32)
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if leaf == "running_var":
        return 0.75 + 0.25 * np.abs(z)
    if z.ndim >= 2:
        return z * np.sqrt(np.float32(2.0 / (int(np.prod(shape[1:])) or 1)))
    return 1.0 + 0.1 * z if leaf in ("weight", "scale", "gamma") else 0.1 * z


def flax_weight(name: str, shape: tuple[int, ...], salt: str = "") -> np.ndarray:
    """The same for a flax path, whose kernels have their outputs last."""
    dotted = name.replace("/", ".")
    if not name.endswith("/kernel"):
        return weight(dotted, shape, salt)
    return np.moveaxis(weight(dotted, (shape[-1], *shape[:-1]), salt), 0, -1)
