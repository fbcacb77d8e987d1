"""What stands in run.json of every run."""

import platform
from typing import Any

import jax

from ssni_jax import __version__
from ssni_jax.data import Source


def run_facts(images: Source, seed: int) -> dict[str, Any]:
    """Where and with what the numbers were made."""
    return {
        "version": __version__,
        "jax": jax.__version__,
        "python": platform.python_version(),
        "devices": [device.device_kind for device in jax.devices()],
        "data": images.fingerprint,
        "seed": seed,
    }
