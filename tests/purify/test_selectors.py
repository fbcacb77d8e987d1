"""Deviations beside the score norm: their values by hand, and an oracle that never passes for a defence."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.api import purify_with
from ssni_jax.networks.distances import AbsoluteDifference
from ssni_jax.purify import (
    Calibration,
    Defense,
    Diffused,
    Doubt,
    Oracle,
    ReconstructionDistance,
    SingleScoreNorm,
    SmallMargin,
)
from ssni_jax.recipes import ssni_l, ssni_monotone, ssni_n, ssni_oracle, ssni_step
from ssni_jax.schedules import VP
from tests.configs.toy import certification, evaluation
from tests.kit import Gaussian, Linear, bases, called, images, keys

B = 4
IMAGES = np.asarray(images(B))
X = 2 * IMAGES - 1
CLASSIFY = Linear(np.random.default_rng(2).standard_normal((12, 3)).astype(np.float32))
LOGITS = IMAGES.reshape(B, -1) @ CLASSIFY.weight


def test_doubt_and_small_margin_are_what_the_two_largest_logits_leave():
    largest = np.sort(LOGITS, axis=1)
    probability = np.exp(LOGITS - LOGITS.max(axis=1, keepdims=True))
    expected = 1 - (probability / probability.sum(axis=1, keepdims=True)).max(axis=1)
    np.testing.assert_allclose(called(Doubt(CLASSIFY), keys(B), X), expected, rtol=1e-5)
    np.testing.assert_allclose(called(SmallMargin(CLASSIFY), keys(B), X), largest[:, -2] - largest[:, -1], rtol=1e-5)


def test_the_reconstruction_distance_is_that_of_the_estimate_of_the_noised_image():
    """For a Gaussian of standard deviation s the estimate is s^2 / (s^2 + sigma^2) of the noised image."""
    sigma = np.full(B, VP().sigma(jnp.asarray(0.2)), np.float32)
    noised = np.asarray(called(Diffused(), keys(B), X, sigma))
    difference = (0.25 / (0.25 + sigma[0] ** 2) * noised - X).reshape(B, -1)
    measured = called(ReconstructionDistance(Gaussian(0.5), VP(), 0.2), keys(B), X)
    np.testing.assert_allclose(measured, np.linalg.norm(difference, axis=1), rtol=1e-4)
    other = ReconstructionDistance(Gaussian(0.5), VP(), 0.2, AbsoluteDifference())
    np.testing.assert_allclose(called(other, keys(B), X), np.mean(np.abs(difference), axis=1), rtol=1e-4)


def test_an_oracle_says_how_far_the_nearest_clean_image_is():
    moved = IMAGES + np.asarray([0.0, 0.05, 0.1, 0.0], np.float32)[:, None, None, None]
    distance = called(Oracle(images(B)), keys(B), 2 * moved - 1)
    np.testing.assert_allclose(distance, np.asarray([0.0, 0.05, 0.1, 0.0]) * np.sqrt(12), atol=1e-6)


def test_each_selector_measures_a_row_as_if_it_were_alone():
    for deviation in (Doubt(CLASSIFY), SmallMargin(CLASSIFY), Oracle(images(2))):
        together = np.asarray(called(deviation, keys(B), X))
        np.testing.assert_allclose(called(deviation, keys(B)[::-1], X[::-1])[::-1], together, atol=1e-6)


def test_a_calibration_of_a_classifiers_confidence_belongs_to_the_classifier():
    calibration = Calibration.measured(Doubt(CLASSIFY), (0.1, 0.4), data="kit", images="uniform pixels")
    assert calibration.deviation == {"kind": "Doubt"}
    assert ssni_n(bases()["one_step"], calibration, tau=0.1, deviation=Doubt(CLASSIFY)).deviation.classify is CLASSIFY
    with pytest.raises(ValueError, match="belongs to network"):
        ssni_n(bases()["one_step"], calibration, tau=0.1, deviation=Doubt(Linear(2 * CLASSIFY.weight)))


@pytest.mark.parametrize(
    "deviation",
    [
        Doubt(CLASSIFY),
        SmallMargin(CLASSIFY),
        ReconstructionDistance(Gaussian(), VP()),
        SingleScoreNorm(Gaussian(), VP()),
    ],
    ids=lambda deviation: type(deviation).__name__,
)
def test_every_level_goes_over_every_selector(deviation):
    clean, adversarial = (
        Calibration.measured(deviation, norms, data="kit", images="made up")
        for norms in ((0.1, 0.2, 0.4), (0.3, 0.5, 0.6))
    )
    base = bases()["one_step"]
    for purifier in (
        ssni_l(base, clean, deviation=deviation),
        ssni_n(base, clean, tau=0.1, deviation=deviation),
        ssni_step(base, clean, deviation=deviation),
        ssni_monotone(base, clean, adversarial, deviation=deviation),
    ):
        t = np.asarray(purifier.times(jnp.asarray([0.0, 0.3, 0.9]))[0])
        assert purifier.deviation is deviation and np.all(np.diff(t) >= 0) and t[0] < t[2] <= 0.105 + 1e-6


def test_an_oracle_gives_noise_to_what_was_perturbed_and_none_to_the_others():
    purifier = ssni_oracle(bases()["one_step"], images(B), size=0.1)
    np.testing.assert_allclose(purifier.times(jnp.asarray([0.0, 0.05, 0.2]))[0], [0.0, 0.0, 0.105], atol=1e-6)
    assert type(purifier.deviation) is Oracle and type(purifier.fixed().deviation) is not Oracle


def test_results_of_an_oracle_are_named_as_such_and_it_neither_certifies_nor_purifies():
    oracle = Defense(ssni_oracle(bases()["one_step"], images(B), size=0.1), CLASSIFY)
    with pytest.raises(ValueError, match=r'its name must contain "oracle", got \'toy\': choose for example .*\.$'):
        dataclasses.replace(evaluation, defense=oracle)
    assert dataclasses.replace(evaluation, name="Oracle t", defense=oracle).name == "Oracle t"
    with pytest.raises(ValueError, match="certifies nothing"):
        dataclasses.replace(certification, defense=oracle)
    with pytest.raises(ValueError, match="purifies no others"):
        purify_with(oracle, IMAGES)
