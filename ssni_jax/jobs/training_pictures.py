"""What a network in training makes of noised images and of pure noise, as PNG sheets beside its checkpoints."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array, Key, UInt8

from ssni_jax.core.arrays import over, to_diffusion_range, to_unit_range
from ssni_jax.core.protocols import Denoiser, StagedLoss, TrainingObjective
from ssni_jax.core.rng import fold, normal_like, root_key, sample_keys
from ssni_jax.core.types import Images, Keys, Labels, Tree
from ssni_jax.data import Source, take
from ssni_jax.dist import whole
from ssni_jax.jobs.sheet import Row, write_sheet
from ssni_jax.networks import Conditioned, ConsistencyCoefficients, Preconditioned
from ssni_jax.schedules import VE, Karras
from ssni_jax.solvers import Heun, Renoise, solve
from ssni_jax.training import TrainState, averaged

N_COLUMNS, N_ROWS = 8, 4
LEVELS = (0.25, 0.5, 1.0, 2.0, 5.0)
SIGMA_MAX, HEUN_STEPS = 80.0, 18
Panels = dict[str, UInt8[Array, "N H W C"]]


class Pictures:
    """A hook that draws every `every` steps and after the `last`, on all processes, and writes on process 0.

    Drawing is only dispatched: the sheets of one call are written during a later one, when the device has them.
    """

    def __init__(self, draw: Callable[[TrainState], Panels], folder: Path, every: int, last: int):
        self.draw, self.folder, self.every, self.last = draw, folder, every, last
        self._drawn: tuple[int, Panels] | None = None

    def __enter__(self) -> "Pictures":
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def __call__(self, n: int, state: TrainState, metrics: Any) -> None:
        if self._drawn is not None and all(map(_is_ready, self._drawn[1].values())):
            self._write()
        if n % self.every == 0 or n == self.last:
            self._write()
            self._drawn = n, self.draw(state)

    def _write(self) -> None:
        drawn, self._drawn = self._drawn, None
        if drawn is not None and jax.process_index() == 0:
            write_pictures(self.folder, drawn[0], {name: np.asarray(panel) for name, panel in drawn[1].items()})


def make_draw(
    loss: TrainingObjective, graphdef: nnx.GraphDef, images: Source, seed: int, mesh: Mesh
) -> Callable | None:
    """The compiled drawing of a run's averaged network; None for a loss that trains no denoiser."""
    coefficients: Tree = getattr(loss, "coefficients", None)
    if coefficients is None or images.image_shape[-1] not in (1, 3):
        return None
    chosen = take(images, np.linspace(0, len(images) - 1, N_COLUMNS).astype(int))
    root, kind = root_key(seed), (trains_consistency(loss), getattr(loss, "n_classes", 0))

    def draw(state, coefficients, root, x, y):
        return panels(Preconditioned(averaged(graphdef, state), coefficients), root, x, y, kind)

    jitted = jax.jit(draw, out_shardings=whole(mesh))
    return lambda state: jitted(state, coefficients, root, chosen["image"], chosen["label"])


def trains_consistency(loss: TrainingObjective) -> bool:
    """Whether the network of a loss jumps to the end of a trajectory, or follows it."""
    coefficients = getattr(loss, "coefficients", None)
    exact = getattr(coefficients, "coefficients", coefficients)  # behind Snapped
    return isinstance(loss, StagedLoss) or isinstance(exact, ConsistencyCoefficients)


def panels(denoise: Denoiser, root: Key[Array, ""], x: Images, y: Labels, kind: tuple[bool, int]) -> Panels:
    """Images of [0, 1] noised with each of `LEVELS` (state noise) and denoised, row by row, and samples from noise.

    `kind` says whether the network is a consistency function, and how many classes it is told (0 for none): those of
    the images, and one after the other for samples.
    """
    consistency, n_classes = kind
    clean, classes = to_diffusion_range(x), jnp.tile(y, len(LEVELS))
    sigma, many = jnp.repeat(jnp.asarray(LEVELS), len(x)), jnp.tile(clean, (len(LEVELS), 1, 1, 1))
    noise = jnp.tile(normal_like(sample_keys(root, jnp.arange(len(x))), clean), (len(LEVELS), 1, 1, 1))
    noised = many + over(sigma, many) * noise
    shown = {"clean": clean, "noised": noised, "denoised": with_classes(denoise, classes, n_classes)(noised, sigma)}
    keys, start = sample_keys(root, jnp.arange(N_ROWS * N_COLUMNS)), jnp.zeros((N_ROWS * N_COLUMNS, *x.shape[1:]))
    one_each = with_classes(denoise, jnp.arange(len(keys)) % max(1, n_classes), n_classes)
    shown |= (consistency_samples if consistency else ode_samples)(one_each, keys, start)
    return {name: _bytes(panel) for name, panel in shown.items()}


def with_classes(denoise: Denoiser, labels: Labels, n_classes: int) -> Denoiser:
    """A class-conditional denoiser that is told the labels; any other as it is."""
    return Conditioned(denoise, labels, n_classes) if n_classes else denoise


def ode_samples(denoise: Denoiser, keys: Keys, start: Images) -> dict[str, Images]:
    """Heun on EDM's noise levels (Karras et al. 2022, algorithm 1)."""
    levels = Karras(HEUN_STEPS)(VE(), jnp.full(len(keys), SIGMA_MAX))
    x = over(levels[0], start) * normal_like(fold(keys, 0), start)
    return {f"{HEUN_STEPS} Heun steps": solve(fold(keys, 1), denoise, Heun(), x, levels)}


def consistency_samples(denoise: Denoiser, keys: Keys, start: Images) -> dict[str, Images]:
    """One step, and two with fresh noise in the middle of EDM's levels (Song et al. 2023, algorithm 1)."""
    levels = Karras(3)(VE(), jnp.full(len(keys), SIGMA_MAX))
    x = over(levels[0], start) * normal_like(fold(keys, 0), start)
    walks = {"one step": levels[jnp.array([0, 3])], "two steps": levels[jnp.array([0, 1, 3])]}
    return {name: solve(fold(keys, 1), denoise, Renoise(), x, walk) for name, walk in walks.items()}


def write_pictures(folder: Path, n: int, panels: dict[str, np.ndarray]) -> None:
    """step-<n>-denoised.png and step-<n>-samples.png."""
    clean, noised, denoised = (panels[name] for name in ("clean", "noised", "denoised"))
    groups = [[Row("clean", clean)]]
    for i, sigma in enumerate(LEVELS):
        part = slice(i * len(clean), (i + 1) * len(clean))
        groups.append([Row(f"noise {sigma:g}", noised[part]), Row("denoised", denoised[part])])
    write_sheet(folder / f"step-{n:06d}-denoised.png", groups)
    samples = {name: panel for name, panel in panels.items() if name not in ("clean", "noised", "denoised")}
    write_sheet(folder / f"step-{n:06d}-samples.png", [_lines(name, panel) for name, panel in samples.items()])


def _is_ready(array: Any) -> bool:
    return array.is_ready()


def _lines(name: str, pictures: np.ndarray) -> list[Row]:
    starts = range(0, len(pictures), N_COLUMNS)
    return [Row("" if start else name, pictures[start : start + N_COLUMNS]) for start in starts]


def _bytes(x: Images) -> UInt8[Array, "N H W C"]:
    return jnp.round(255 * jnp.clip(to_unit_range(x), 0, 1)).astype(jnp.uint8)
