"""Diffusion-based adversarial purification in JAX: sample-specific noise (SSNI) over any purifier, evaluated."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("ssni_jax")
except PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0+source"

from ssni_jax.api import purify

__all__ = ["__version__", "purify"]
