"""The drift of Langevin dynamics that is held near the image being purified."""

import jax.numpy as jnp

from ssni_jax.core.arrays import over
from ssni_jax.core.bounds import as_share, bounded
from ssni_jax.core.protocols import NoiseSchedule
from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import DenoiseFn, Images, Keys, Level
from ssni_jax.purify.deviation import score


@pytree
class Tethered:
    """x moved by rate / 2 (score(x, t) - (x - reference) / variance), the drift of LDSDE (Nie et al. 2022, code)."""

    schedule: NoiseSchedule
    t: float = bounded(0, 1, hint=as_share)
    rate: float = bounded(0)
    variance: float = bounded(0, above=True)

    def __call__(self, denoise: DenoiseFn, keys: Keys, reference: Images) -> DenoiseFn:
        def moved(x: Images, sigma: Level) -> Images:
            t = jnp.full(sigma.shape, self.t)
            unscaled = x / over(self.schedule.scale(t), x)
            pull = (x - reference) / self.variance
            return x + 0.5 * self.rate * (score(denoise, self.schedule, unscaled, self.schedule.sigma(t)) - pull)

        return moved
