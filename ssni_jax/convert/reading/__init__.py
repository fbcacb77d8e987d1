"""Readers of foreign checkpoints that build arrays, numbers and containers, and cannot run anything."""

from ssni_jax.convert.reading.allowance import Limits
from ssni_jax.convert.reading.errors import CheckpointError
from ssni_jax.convert.reading.nonfinite import nonfinite

__all__ = ["CheckpointError", "Limits", "nonfinite"]
