"""Certified radii by randomized smoothing."""

from ssni_jax.certify.bounds import Certificate, certify, certify_looks, lower_bound, predict
from ssni_jax.certify.smooth import Draws, count_rows, draw_keys, noised
from ssni_jax.certify.stopping import AlphaSpending, FixedDraws, Stopping, check_draws, smallest_n

__all__ = [
    "AlphaSpending",
    "Certificate",
    "Draws",
    "FixedDraws",
    "Stopping",
    "certify",
    "certify_looks",
    "check_draws",
    "count_rows",
    "draw_keys",
    "lower_bound",
    "noised",
    "predict",
    "smallest_n",
]
