"""Certification, which needs no network."""

from ssni_jax.certify import certify as certified
from ssni_jax.certify import predict
from tests.reference.methods.case import Io, Outputs


def certify(io: Io) -> Outputs:
    """The class and radius of CERTIFY, and PREDICT's class on the estimation counts."""
    found = certified(io["in_selection"], io["in_estimation"], sigma=io["in_sigma"], alpha=io["in_alpha"])
    predicted = predict(io["in_estimation"], alpha=io["in_alpha"])
    return {"class": found.label, "radius": found.radius, "predict": predicted}
