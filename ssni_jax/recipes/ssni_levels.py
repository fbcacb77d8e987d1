"""Sample-specific noise by other levels than SSNI's two: a threshold, a learned monotone one, and an oracle's."""

from collections.abc import Callable
from functools import partial

import numpy as np

from ssni_jax.core.protocols import Deviation, NoiseLevel
from ssni_jax.core.types import Images
from ssni_jax.purify import Calibration, Oracle, Purifier, Rounded, SsniMonotone, SsniStep
from ssni_jax.purify.isotonic import isotonic
from ssni_jax.recipes.ssni import n_steps_of, selected_by, ssni


def ssni_step(
    base: Purifier,
    calibration: Calibration,
    *,
    share: float = 0.95,
    bias: float = 0.005,
    deviation: Deviation | None = None,
) -> Purifier:
    """t_star + bias for images that deviate more than this share of the reference images; the others stay untouched.

    Soft, for attacks through t(x), it is SSNI-N with tau the standard deviation of the reference norms.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share must lie between 0 and 1, got {share}: choose for example 0.95.")
    level = partial(SsniStep, calibration.quantile(share), calibration.std)
    return ssni(base, calibration, partial(_rounded, base, level, bias), bias=bias, deviation=deviation)


def ssni_monotone(
    base: Purifier,
    calibration: Calibration,
    adversarial: Calibration,
    *,
    bias: float = 0.005,
    deviation: Deviation | None = None,
) -> Purifier:
    """t = t_star p(xi) + bias, p the learned probability that an image with this deviation is adversarial.

    p is the isotonic regression of clean against adversarial images of equal weight. `adversarial` has the norms of
    adversarial images under the same deviation: `ssni calibrate` measures them too.
    """
    norms = [np.asarray(measured.norms) for measured in (calibration, adversarial)]
    truth = np.repeat([0.0, 1.0], [len(part) for part in norms])
    weight = np.concatenate([np.full(len(part), 1 / len(part)) for part in norms])
    learned = isotonic(np.concatenate(norms), truth, weight)
    level = partial(SsniMonotone, *(tuple(values.tolist()) for values in learned))
    purifier = ssni(base, calibration, partial(_rounded, base, level, bias), bias=bias, deviation=deviation)
    adversarial.check(purifier.deviation)
    return purifier


def ssni_oracle(base: Purifier, clean: Images, *, size: float, bias: float = 0.005) -> Purifier:
    """t_star + bias for images that truly differ from all `clean` ones, in [0, 1], by more than `size`; no defence.

    `size` is a Euclidean distance, below that of the perturbations. For evaluations named as an oracle's.
    """
    return selected_by(Oracle(clean), base, partial(_rounded, base, partial(SsniStep, size, size), bias), bias=bias)


def _rounded(base: Purifier, level: Callable[..., NoiseLevel], bias: float, t_star: float) -> NoiseLevel:
    return Rounded(level(t_star, bias), n_steps_of(base))
