"""Diffusion-based adversarial purification in JAX: sample-specific noise (SSNI) over any purifier, evaluated."""

import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssni_jax.api import purify

try:
    __version__ = version("ssni_jax")
except PackageNotFoundError:  # imported from a source tree that was never installed
    __version__ = "0+source"

__all__ = ["__version__", "purify"]


class _Package(ModuleType):
    """This package as a module: it imports JAX only when `purify` is first used."""

    @property
    def purify(self) -> Any:
        """The function of `ssni_jax.api`, not the subpackage of that name."""
        from ssni_jax.api import purify

        return purify

    @purify.setter
    def purify(self, subpackage: Any) -> None:
        """The import system stores the subpackage here; `from ssni_jax.purify import ...` finds it without."""


sys.modules[__name__].__class__ = _Package
