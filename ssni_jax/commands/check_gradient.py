"""`ssni check-gradient`."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import jax
import jax.numpy as jnp
import tyro

from ssni_jax.commands.config import read_experiment
from ssni_jax.core.rng import root_key, sample_keys
from ssni_jax.data import take
from ssni_jax.evals.gradient_check import TOLERANCE, Case, ModeCheck, Slopes, compare, compare_slopes, doubled, passes
from ssni_jax.experiments import Evaluation
from ssni_jax.experiments.fit import fitted
from ssni_jax.zoo import resolve

SURROGATE_STEPS = 5


@dataclasses.dataclass(frozen=True)
class CheckGradient:
    """Check the gradient that an attack would take through the defence of a config file.

    An attack that is fed a wrong gradient reports robustness that is not there. Every exact mode is compared with
    plain autodiff: no checkpoints, no hand-written convolution gradient, everything stored. Slopes by central
    differences confirm it from outside, as far as float32 lets them. Stand-ins (BPDA, surrogates, frozen t) are listed
    with their cosine to the exact gradient: 1 points the same way, 0 points elsewhere. Exit code 1 if an exact mode is
    off by more than 1e-4. Most of the time is compiling; docs/gradients.md explains the modes.
    """

    takes_overrides: ClassVar[bool] = False
    config: tyro.conf.Positional[Path]
    """A .py file that builds `experiment`, an Evaluation."""
    n_images: int = 4
    """Images at which gradients are compared."""
    n_steps: int | None = None
    """At most so many solver steps a round, for networks whose stored intermediate values would not fit in memory."""
    seed: int = 0
    double: bool = False
    """Compute in float64, in which central differences are exact enough to count: for purifiers that follow gradients
    themselves, whose second derivatives plain autodiff would get wrong in the same way."""

    def run(self, overrides: Sequence[str]) -> None:
        """Prints a line a mode as it is done; the verdict last."""
        with jax.enable_x64(self.double):
            self._compare()

    def _compare(self) -> None:
        experiment = fitted(read_experiment(self.config, Evaluation))
        defense = resolve(experiment.defense)
        defense = defense if self.n_steps is None else defense.with_steps(self.n_steps)
        case = make_case(experiment, self.n_images, self.seed)
        case, defense = doubled(case, defense) if self.double else (case, defense)
        print(f"{self.n_images} images, {jax.devices()[0].device_kind}, {case.x.dtype}\n{HEADER}", flush=True)
        wrong, is_zero = [], False
        for row in compare(case, defense, SURROGATE_STEPS):
            wrong += [] if passes(row) else [row.mode]
            is_zero = is_zero or (row.error is not None and math.isnan(row.cosine))
            print(comparison_line(row), flush=True)
        print(SLOPES_HEADER, flush=True)
        for slopes in compare_slopes(case, defense):
            wrong += [f"{slopes.mode} (central differences)"] if self.double and not passes(slopes) else []
            print(slopes_line(slopes), flush=True)
        print(f"Above {TOLERANCE:g}: {', '.join(wrong)}." if wrong else f"Every exact mode is within {TOLERANCE:g}.")
        if is_zero:
            print(ZERO)
        if wrong:
            raise SystemExit(1)


HEADER = f"{'gradient':28}  {'relative error':>14}  {'floor':>13}  {'cosine to exact':>15}"
ZERO = (
    "The gradient of an image is exactly zero: attacks that follow gradients cannot move it, which is no robustness. "
    "Attack without gradients as well (Square, Spsa)."
)
SLOPES_HEADER = f"{'central differences of the margin':28}  {'error':>9}  {'step':>8}  {'uncertainty':>12}"


def make_case(experiment: Evaluation, n_images: int, seed: int) -> Case:
    """The first images of the config, under the loss of its attack."""
    if not 0 < n_images <= len(experiment.images):
        raise ValueError(f"n_images must lie between 1 and the {len(experiment.images)} images, got {n_images}.")
    batch = take(experiment.images, range(n_images))
    keys = sample_keys(root_key(seed), jnp.asarray(batch["id"]))
    loss = experiment.objective.loss
    return Case(keys, jnp.asarray(batch["image"]), jnp.asarray(batch["label"]), loss)


def comparison_line(row: ModeCheck) -> str:
    """One row of the first table."""
    numbers = ["stand-in" if value is None else f"{value:.1e}" for value in (row.error, row.floor)]
    return f"{row.mode:28}  {numbers[0]:>14}  {'' if row.floor is None else numbers[1]:>13}  {row.cosine:15.4f}"


def slopes_line(row: Slopes) -> str:
    """One row of the second table."""
    return f"{row.mode:33}  {row.error:9.1e}  {row.step:8g}  {row.floor:12.1e}"
