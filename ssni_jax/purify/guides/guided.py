"""A step on the guided denoiser: how keys and reference reach the guide, and what a guide may change."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

from ssni_jax.core.protocols import Guide, Remembering, Step
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold
from ssni_jax.core.types import DenoiseFn, Images, Keys, Level, State

GUIDE = 1 << 20  # beyond every draw that a step folds


class WithReference(NamedTuple):
    """A denoiser that carries the reference of its rows to the guide, and to a step that looks at it."""

    denoise: DenoiseFn
    reference: Images

    def __call__(self, x: Images, sigma: Level) -> Images:
        return self.denoise(x, sigma)

    @property
    def with_extra(self) -> Callable[[Images, Level], tuple[Images, Any]] | None:
        """The denoiser's own; None for one without further channels."""
        return getattr(self.denoise, "with_extra", None)


@pytree
class Guided:
    """`step` on `guide(denoise)`; the guide draws with a fold of the keys, so its noise is new in every step.

    It remembers what `step` does; the state of a step that remembers nothing is the images.
    """

    step: Step | Remembering
    guide: Guide

    @property
    def n_calls(self) -> int:
        return self.step.n_calls

    @property
    def walks_noise(self) -> bool:
        return walks_noise(self.step)

    def begin(self, before: Images, x: Images, sigma: Level) -> State:
        """The state of images `x`, which have been noised with `sigma` from `before`."""
        return self.step.begin(before, x, sigma) if isinstance(self.step, Remembering) else x

    def image(self, x: State) -> Images:
        """The images of a state."""
        return self.step.image(x) if isinstance(self.step, Remembering) else x

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: State, hi: Level, lo: Level) -> State:
        given = cast(WithReference, denoise)  # what the purifier hands to its walk
        guided = self.guide(given.denoise, fold(keys, GUIDE), given.reference)
        return self.step(keys, given._replace(denoise=guided), x, hi, lo)


def walks_noise(step: Step | Remembering) -> bool:
    """Whether the levels of a walk with this step are the noise of its images."""
    return not isinstance(step, Remembering) or step.walks_noise
