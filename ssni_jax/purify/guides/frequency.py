"""Guidance in the frequency domain (FreqPure, Pei et al. 2025)."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from ssni_jax.core.arrays import to_diffusion_range, to_unit_range
from ssni_jax.core.bounds import bounded
from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import DenoiseFn, Images, Keys, Level
from ssni_jax.solvers.adjusted import Adjusted

Spectrum = Complex[Array, "B H W C"]


@pytree
class LowFrequencies:
    """Low frequencies of every estimate: amplitude of the reference, phase within `delta` of the reference's.

    `amplitude_radius` and `phase_radius` bound the frequencies, in cycles per image, `delta` is in radians (10, 10 and
    0.3 in the paper's code). Amplitudes are those of images in [0, 1], and the result is clipped to that range.
    Differences of phase are taken around the circle, and images are not quantised, unlike there.
    """

    amplitude_radius: float = bounded(0, default=10.0)
    phase_radius: float = bounded(0, default=10.0)
    delta: float = bounded(0, default=0.3)

    def __call__(self, denoise: DenoiseFn, keys: Keys, reference: Images) -> DenoiseFn:
        def mixed(x: Images, sigma: Level, x0: Images) -> Images:
            return to_diffusion_range(self._mixed(to_unit_range(x0), to_unit_range(reference)))

        return Adjusted(denoise, mixed)

    def _mixed(self, x0: Images, reference: Images) -> Images:
        own, given = (jnp.fft.fft2(v, axes=(1, 2)) for v in (x0, reference))
        radius = jnp.asarray(radius_of(*x0.shape[1:3]))[..., None]
        amplitude = jnp.where(radius <= self.amplitude_radius, modulus(given), modulus(own))
        turn = jnp.clip(_angle(own * jnp.conj(given)), -self.delta, self.delta)
        direction = jnp.where(radius <= self.phase_radius, _direction(given) * jnp.exp(1j * turn), _direction(own))
        return jnp.clip(jnp.fft.ifft2(amplitude * direction, axes=(1, 2)).real, 0.0, 1.0)


def radius_of(height: int, width: int) -> np.ndarray:
    """Distance from frequency zero, in cycles per image."""
    rows, columns = np.fft.fftfreq(height, 1 / height), np.fft.fftfreq(width, 1 / width)
    return np.hypot(rows[:, None], columns).astype(np.float32)


def _filled(z: Spectrum) -> Spectrum:
    """The spectrum with one where it is zero, where neither modulus nor angle has a derivative."""
    return jnp.where(z == 0, 1.0, z)


def modulus(z: Spectrum) -> Float[Array, "B H W C"]:
    """Amplitude of every frequency, with gradient zero where it is zero."""
    return jnp.where(z == 0, 0.0, jnp.abs(_filled(z)))


def _angle(z: Spectrum) -> Float[Array, "B H W C"]:
    return jnp.angle(_filled(z))


def _direction(z: Spectrum) -> Spectrum:
    return _filled(z) / jnp.abs(_filled(z))
