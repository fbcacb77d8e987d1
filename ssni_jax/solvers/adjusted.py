"""A denoiser whose estimates are changed, or only looked at, on their way to the step."""

from collections.abc import Callable
from typing import Any, NamedTuple

from ssni_jax.core.types import DenoiseFn, Images, Level


class Adjusted(NamedTuple):
    """A denoiser whose estimates `change(x, sigma, x0)` replaces; channels of a learned variance pass unchanged."""

    denoise: DenoiseFn
    change: Callable[[Images, Level, Images], Images]

    def __call__(self, x: Images, sigma: Level) -> Images:
        return self.change(x, sigma, self.denoise(x, sigma))

    @property
    def with_extra(self) -> Callable[[Images, Level], tuple[Images, Any]] | None:
        """The changed estimate and the network's further channels; None for a denoiser without them."""
        inner = getattr(self.denoise, "with_extra", None)
        if inner is None:
            return None

        def with_extra(x: Images, sigma: Level) -> tuple[Images, Any]:
            x0, extra = inner(x, sigma)
            return self.change(x, sigma, x0), extra

        return with_extra
