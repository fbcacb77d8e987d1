"""Denoised smoothing: the network is told exactly the noise that smoothing added, and sees exactly that image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.pytree import pytree
from ssni_jax.purify import Constant, Defense, Purifier, Round, Vote, predictor
from ssni_jax.recipes import (
    consistency,
    dds,
    densepure,
    diffpure_ddpm,
    diffpure_ldsde,
    edm_one_step,
    gns,
    one_step,
    pf_ode,
    step_at_least,
)
from ssni_jax.schedules import VE, CosineVP, DiscreteVP, IntegerSteps, Uniform
from ssni_jax.solvers import Ancestral, Euler
from tests.kit import Gaussian, called, images, keys, over_n, two_modes

SIGMAS = (0.25, 0.5, 1.0)
B = 3


@pytree
class Notes:
    """A Gaussian denoiser that notes what it is called with."""

    def __call__(self, x, sigma):
        jax.debug.callback(lambda *call: CALLS.append(jax.tree.map(np.asarray, call)), x, sigma)
        return Gaussian()(x, sigma)


@pytree
class Pixels:
    """Logits of three classes."""

    def __call__(self, x):
        return 9 * x[:, :3, 0, 0]


CALLS: list = []
METHODS = {
    "dds": dds(Notes(), sigma=0.15),
    "dds on whole steps": one_step(Notes(), t_star=step_at_least(CosineVP(), 0.15), schedule=CosineVP()),
    "one-step DDPM on the linear table": dds(Notes(), schedule=DiscreteVP()),
    "edm_one_step": edm_one_step(Notes()),
    "pf_ode": pf_ode(Notes(), n_steps=3),
    "densepure": densepure(Notes(), n_steps=3),
    "consistency": consistency(Notes()),
    "consistency in two steps": consistency(Notes(), n_steps=2),
    "diffpure": diffpure_ddpm(Notes(), n_steps=5),
}


def first_call(predict, sigma):
    """An image that was noised, and what the network of a method saw at the highest noise, which comes first."""
    CALLS.clear()
    x = np.asarray(images(B)) + np.float32(sigma)
    jax.block_until_ready(run(predict.at_noise(sigma), keys(B), x))
    jax.effects_barrier()
    return x, max(CALLS, key=lambda call: call[1].max())


@jax.jit
def run(predict, keys, x):
    return predict(keys, x)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "diffpure" else name for name in METHODS]
)
def test_the_network_sees_the_noised_image_at_exactly_twice_sigma(name):
    for sigma in SIGMAS:
        x, (state, told) = first_call(METHODS[name], sigma)
        np.testing.assert_allclose(told, 2 * sigma, rtol=2e-6)
        np.testing.assert_allclose(state, 2 * x - 1, atol=1e-6)


def test_a_vote_gives_every_draw_the_same_noised_image():
    defense = Defense(densepure(Notes(), n_steps=2), Pixels())
    x, (state, told) = first_call(Vote(defense, 3), 0.5)
    np.testing.assert_allclose(told, 1.0, rtol=2e-6)
    np.testing.assert_allclose(state, 2 * x - 1, atol=1e-6)
    given = Vote(defense, 3).at_noise(0.5)
    assert given.n == 3 and given.predict.classify is defense.classify


def test_a_plain_classifier_stays_as_it_is():
    defense = predictor(Pixels())
    np.testing.assert_array_equal(run(defense.at_noise(0.5), keys(B), images(B)), run(defense, keys(B), images(B)))
    assert defense.at_noise(0.5) is defense


def test_one_step_is_the_denoiser_of_the_given_state():
    x = images(B)
    found = run(edm_one_step(Gaussian()).at_noise(0.5), keys(B), x)
    np.testing.assert_allclose(found, (Gaussian()(2 * x - 1, jnp.ones(B)) + 1) / 2, atol=1e-6)


def test_the_level_of_smoothing_is_that_of_sigma_whatever_the_recipe_was_made_for():
    made, other = pf_ode(Gaussian(), sigma=0.5).at_noise(0.5), pf_ode(Gaussian(), sigma=1.0).at_noise(0.5)
    np.testing.assert_allclose(run(made, keys(B), images(B)), run(other, keys(B), images(B)), atol=1e-6)


def test_equal_parts_of_noise_stay_equal():
    found, made = (
        consistency(Gaussian(), sigma=0.25, n_steps=4).at_noise(1.0),
        consistency(Gaussian(), sigma=1.0, n_steps=4),
    )
    levels = [called(purifier.rounds[0].grid, VE(), jnp.full(1, 2.0)) for purifier in (found, made)]
    np.testing.assert_allclose(*levels, rtol=1e-6)


def test_steps_of_one_size_keep_it():
    purifier = diffpure_ddpm(Gaussian(), t_star=0.1, n_steps=10)
    for sigma in SIGMAS:
        each = purifier.at_noise(sigma).rounds[0]
        times = np.asarray(called(each.grid, VE(), each.level(jnp.zeros(1))))[
            :, 0
        ]  # of a schedule whose noise is the time
        moves = -np.diff(times)
        np.testing.assert_allclose(moves[:-1], 0.01, rtol=1e-3)
        assert 0 < moves[-1] <= 0.0101


def test_later_rounds_and_repeats_stay_as_they_are():
    base = gns(Gaussian(), rounds=((10, 3), (20, 1)), stride=5)
    first, rest, last = base.at_noise(0.25).rounds
    assert (first.repeats, rest.repeats) == (1, 2)
    assert type(first.noise).__name__ == "AsGiven" and type(rest.noise).__name__ == "Diffused"
    assert rest.level is base.rounds[0].level and last is base.rounds[1]


def test_the_smoothing_form_of_the_smoothing_form_is_itself():
    once = edm_one_step(Gaussian()).at_noise(0.5)
    np.testing.assert_array_equal(run(once.at_noise(0.5), keys(B), images(B)), run(once, keys(B), images(B)))


def test_a_purifier_that_chooses_its_own_noise_is_refused():
    with pytest.raises(ValueError, match=r"^smoothing fixes the noise of the first round, .* by Rounded: certify"):
        over_n(diffpure_ddpm(two_modes(), n_steps=2)).at_noise(0.5)


@pytest.mark.parametrize(
    ("purifier", "match"),
    [
        (diffpure_ldsde(Gaussian()), "are times, not noise levels"),
        (
            Purifier(Gaussian(), DiscreteVP(), (Round(Constant(0.1), IntegerSteps(5), Ancestral()),)),
            "IntegerSteps make the noise",
        ),
        (Purifier(Gaussian(), DiscreteVP(n=20), (Round(Constant(0.1), Uniform(1), Euler()),)), "DiscreteVP schedule"),
    ],
)
def test_noise_that_cannot_be_exactly_twice_sigma_is_refused(purifier, match):
    with pytest.raises(ValueError, match=match):
        purifier.at_noise(1.0)


def test_smoothing_without_noise_is_refused():
    with pytest.raises(ValueError, match=r"must be positive, got sigma=0\.0"):
        edm_one_step(Gaussian()).at_noise(0.0)
