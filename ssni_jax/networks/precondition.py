"""Preconditioning: the coefficients that turn a raw network into a denoiser (Karras et al. 2022, eq. 7 and table 1)."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from ssni_jax.core.arrays import over
from ssni_jax.core.protocols import NoiseSchedule
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Images, Labels, Level, Tree

Extra = Float[Array, "B H W E"]


class Coefficients(NamedTuple):
    """c_skip, c_out, c_in and c_noise of each row."""

    skip: Level
    out: Level
    in_: Level
    noise: Level


@runtime_checkable
class CoefficientFunction(Protocol):
    """Noise level to coefficients, finite at sigma = 0."""

    def __call__(self, sigma: Level) -> Coefficients: ...


@pytree
class Preconditioned:
    """D(x, sigma) = c_skip x + c_out F(c_in x, c_noise), a Denoiser over the raw network F.

    Channels of F beyond those of x, such as a learned variance, are left out; `with_extra` returns them too.
    """

    network: Tree
    coefficients: CoefficientFunction

    def __call__(self, x: Images, sigma: Level, **conditions: Any) -> Images:
        return self.with_extra(x, sigma, **conditions)[0]

    def with_extra(self, x: Images, sigma: Level, **conditions: Any) -> tuple[Images, Extra]:
        """The denoised image, and the network's further channels as they are (perhaps none)."""
        c = self.coefficients(sigma)
        raw = self.network(over(c.in_, x) * x, c.noise, **conditions)
        n = x.shape[-1]
        return over(c.skip, x) * x + over(c.out, x) * raw[..., :n], raw[..., n:]

    def with_continuous_labels(self, schedule: NoiseSchedule) -> "Preconditioned":
        """The same network told 999 t of `schedule` instead of a table's index; other coefficients are left alone."""
        continuous = getattr(self.coefficients, "continuous", None)
        return self if continuous is None else Preconditioned(self.network, continuous(schedule))


@pytree
class Clipped:
    """A denoiser whose estimate is clipped to [-1, 1] (Ho et al. 2020, and `clip_denoised` of OpenAI's code)."""

    denoise: Tree

    def __call__(self, x: Images, sigma: Level, **conditions: Any) -> Images:
        return jnp.clip(self.denoise(x, sigma, **conditions), -1.0, 1.0)

    def with_extra(self, x: Images, sigma: Level, **conditions: Any) -> tuple[Images, Extra]:
        """As of the denoiser, the image clipped."""
        x0, extra = self.denoise.with_extra(x, sigma, **conditions)
        return jnp.clip(x0, -1.0, 1.0), extra


@pytree
class Conditioned:
    """A class-conditional denoiser that is told the classes: one for all rows, or one per row."""

    denoise: Tree
    class_labels: int | Int[Array, ""] | Labels
    n_classes: int = static()

    def __post_init__(self):
        wrong = [k for k in np.ravel(_known(self.class_labels)) if not 0 <= k < self.n_classes]
        if wrong:
            raise ValueError(f"class {wrong[0]} does not exist: choose one of 0 to {self.n_classes - 1}")

    def __call__(self, x: Images, sigma: Level, **conditions: Any) -> Images:
        labels = jnp.broadcast_to(jnp.asarray(self.class_labels), sigma.shape)
        return self.denoise(x, sigma, class_labels=jax.nn.one_hot(labels, self.n_classes), **conditions)

    def with_extra(self, x: Images, sigma: Level, **conditions: Any) -> tuple[Images, Extra]:
        """As of the denoiser, told the classes."""
        labels = jnp.broadcast_to(jnp.asarray(self.class_labels), sigma.shape)
        return self.denoise.with_extra(x, sigma, class_labels=jax.nn.one_hot(labels, self.n_classes), **conditions)


@pytree
class EdmCoefficients:
    """EDM's own column of table 1; `sigma_data` is the standard deviation of the data in [-1, 1].

    The label is `label_scale` times log sigma: 0.25, or 250 in OpenAI's consistency_models.
    """

    sigma_data: float | Float[Array, ""] = 0.5
    label_scale: float | Float[Array, ""] = 0.25

    def __call__(self, sigma: Level) -> Coefficients:
        total = jnp.square(sigma) + jnp.square(self.sigma_data)
        in_ = 1 / jnp.sqrt(total)
        skip, out = jnp.square(self.sigma_data) / total, sigma * self.sigma_data * in_
        return Coefficients(skip, out, in_, self.label_scale * _log(sigma))


@pytree
class ConsistencyCoefficients:
    """Consistency functions (Song et al. 2023, arXiv:2303.01469, eq. 5 and appendix C): f(x, sigma_min) = x.

    Below `sigma_min`, where they are not defined, they are the identity too. The label is `label_scale` times
    log sigma: 250 in OpenAI's PyTorch networks, 0.25 in its JAX ones.
    """

    sigma_data: float | Float[Array, ""] = 0.5
    sigma_min: float | Float[Array, ""] = 0.002
    label_scale: float | Float[Array, ""] = 250.0

    def __call__(self, sigma: Level) -> Coefficients:
        sigma = jnp.maximum(sigma, self.sigma_min)
        in_ = 1 / jnp.sqrt(jnp.square(sigma) + jnp.square(self.sigma_data))
        above = sigma - self.sigma_min
        skip = jnp.square(self.sigma_data) / (jnp.square(above) + jnp.square(self.sigma_data))
        return Coefficients(skip, above * self.sigma_data * in_, in_, self.label_scale * jnp.log(sigma))


@pytree
class Snapped:
    """The coefficients of the nearest of EDM's `n` noise levels (Karras et al. 2022, eq. 5), whatever the noise is.

    Consistency Purification as released (arXiv:2407.00623, code): its networks were fine-tuned so.
    """

    coefficients: CoefficientFunction
    n: int = static(default=18)
    sigma_min: float = static(default=0.002)
    sigma_max: float = static(default=80.0)
    rho: float = static(default=7.0)

    def __call__(self, sigma: Level) -> Coefficients:
        return self.coefficients(nearest_level(sigma, self.n, self.sigma_min, self.sigma_max, self.rho))


@pytree
class SnappedDenoiser:
    """A denoiser that is told the nearest of EDM's 18 noise levels, as `Snapped` tells its coefficients."""

    denoise: Tree

    def __call__(self, x: Images, sigma: Level, **conditions: Any) -> Images:
        return self.denoise(x, nearest_level(sigma), **conditions)


def nearest_level(
    sigma: Level, n: int = 18, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> Level:
    """The nearest of `n` levels (Karras et al. 2022, eq. 5)."""
    ends = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    levels = jnp.asarray(np.linspace(*ends, n) ** rho, jnp.float32)
    return levels[jnp.argmin(jnp.abs(sigma[:, None] - levels), axis=1)]


@pytree
class VpCoefficients:
    """Networks that predict the noise of a VP state at label 999 t (score_sde's DDPM++): the VP column of table 1.

    `floored` takes the whole label below, as DiffPure's released code does with 1000 t for ImageNet.
    """

    schedule: NoiseSchedule
    n_labels: float | Float[Array, ""] = 999.0
    floored: bool = static(default=False)

    def __call__(self, sigma: Level) -> Coefficients:
        in_ = 1 / jnp.sqrt(jnp.square(sigma) + 1)
        label = self.n_labels * self.schedule.inverse(sigma)
        # A whole label that rounding left just below itself is still that label.
        return Coefficients(jnp.ones_like(sigma), -sigma, in_, jnp.floor(label + 1e-3) if self.floored else label)


@pytree
class IddpmCoefficients:
    """Networks that predict the noise of a table's VP state at its index: the iDDPM column of table 1.

    At t = k / n_steps `schedule` has the noise after k of `n_steps` steps, whose index is k - 1; the label is
    `label_step` times the index (1000 / n_steps where the original rescales its timesteps). `whole` takes the k whose
    sigma is nearest, as the network was trained; otherwise k is fractional and passes gradients.
    """

    schedule: NoiseSchedule
    n_steps: int = static(default=1000)
    label_step: float | Float[Array, ""] = 1.0
    whole: bool = static(default=True)

    def __call__(self, sigma: Level) -> Coefficients:
        k = self.n_steps * self.schedule.inverse(sigma)
        index = jnp.maximum((jnp.round(k) if self.whole else k) - 1, 0)
        in_ = 1 / jnp.sqrt(jnp.square(sigma) + 1)
        return Coefficients(jnp.ones_like(sigma), -sigma, in_, self.label_step * index)

    def continuous(self, schedule: NoiseSchedule) -> VpCoefficients:
        """The labels of a continuous process, which SSNI's released score norm takes."""
        return VpCoefficients(schedule)


@pytree
class VeCoefficients:
    """Networks that predict the negative noise at label log(sigma / 2) (EDM's NCSN++): the VE column of table 1."""

    def __call__(self, sigma: Level) -> Coefficients:
        one = jnp.ones_like(sigma)
        return Coefficients(one, sigma, one, _log(sigma / 2))


@pytree
class FlowCoefficients:
    """Networks that predict the velocity from images with noise `std` to clean ones (Lipman et al. 2023, example II).

    x_t = x + (1 - t) std n has noise sigma = (1 - t) std, and its estimate is x_t + (1 - t) v(x_t, t), in the range of
    the state; the label is `label_scale` times t.
    """

    std: float | Float[Array, ""] = 0.6
    label_scale: float | Float[Array, ""] = 1.0

    def __call__(self, sigma: Level) -> Coefficients:
        one, rest = jnp.ones_like(sigma), sigma / self.std
        return Coefficients(one, rest, one, self.label_scale * (1 - rest))


def _log(v: Level) -> Level:
    """log with log 0 = 0: c_out is zero there, so any finite label serves; NaN stays NaN."""
    return jnp.log(jnp.where(v == 0, 1.0, v))


def _known(labels: int | Array) -> np.ndarray:
    """The labels as numbers, none of them if they are being traced."""
    return np.zeros(0) if isinstance(labels, Tracer) else np.asarray(labels)
