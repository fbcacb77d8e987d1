"""Certified radii by randomized smoothing."""

from ssni_jax.certify.bounds import Certificate, certify, lower_bound, predict

__all__ = ["Certificate", "certify", "lower_bound", "predict"]
