import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold
from ssni_jax.core.save_at import SaveAt
from ssni_jax.purify import ClippedEstimate, Constant, Defense, Purifier, Ragged, Round, Scan, Unguided
from ssni_jax.schedules import VE, VP, DiscreteVP, IntegerSteps, Strided, Uniform
from ssni_jax.solvers import Ancestral, Euler, Heun, Learned, Renoise, diffuse
from tests.kit import SHAPE, Gaussian, ShowsSigma, called, images, keys, recipes, run, two_modes

B = 8
X = images(B)
SSNI = recipes()["ssni_n diffpure_ddpm"]


@pytree
class Copies:
    """A guide that leaves nothing but the reference."""

    def __call__(self, denoise, keys, reference):
        return lambda x, sigma: reference


@pytree
class Sums:
    """A classifier of two classes by the sum of pixels."""

    def __call__(self, x):
        total = jnp.sum(x, axis=(1, 2, 3))
        return jnp.stack([total, -total], axis=1)


@jax.jit
def held_at(value, keys, x):
    return value.hold(keys, x)


def purifier_of(*rounds, denoise=None, schedule=None):
    return Purifier(denoise or two_modes(), schedule or VP(), rounds)


def test_a_purification_is_its_measurement_and_the_run_from_there():
    opened, measured = run(SSNI, keys(B), X), jax.jit(SSNI.measure)(keys(B), X)
    from_there = jax.jit(lambda k, x, d: SSNI.run_at(k, x, d, SSNI.times(d)))(keys(B), X, measured)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6, rtol=1e-6), opened, from_there)
    np.testing.assert_allclose(opened.deviation, measured, rtol=1e-6)
    np.testing.assert_array_equal(opened.t, jax.jit(SSNI.times)(opened.deviation))


def test_calling_a_purifier_gives_the_image_of_its_run():
    np.testing.assert_allclose(jax.jit(SSNI)(keys(B), X), run(SSNI, keys(B), X).image, atol=1e-6)


@pytest.mark.parametrize("t", [0.05, 0.1])
@pytest.mark.parametrize("schedule", [VP(), VE(), DiscreteVP()], ids=repr)
def test_the_noised_image_is_the_forward_process_in_the_diffusion_range(schedule, t):
    noised = run(purifier_of(Round(Constant(t), Uniform(1), Euler()), schedule=schedule), keys(64), images(64)).noised
    change = 2 * np.asarray(noised - images(64))
    np.testing.assert_allclose(change.std(), schedule.sigma(jnp.asarray(t)), rtol=0.15)
    assert abs(change.mean()) < 5 * change.std() / np.sqrt(change.size)


@pytest.mark.parametrize("step", [Euler(), Heun(), Ancestral(), Renoise()], ids=repr)
def test_one_step_is_the_denoiser_of_the_noised_image(step):
    done = run(purifier_of(Round(Constant(0.1), Uniform(1), step)), keys(B), X)
    sigma = jnp.broadcast_to(VP().sigma(jnp.asarray(0.1)), B)
    np.testing.assert_allclose(2 * done.image - 1, called(two_modes(), 2 * done.noised - 1, sigma), atol=1e-6)


def test_a_round_diffuses_with_its_own_keys_and_starts_where_the_last_one_ended():
    """Two rounds of one step, by hand."""
    levels = [0.05, 0.1]
    state = 2 * X - 1
    for i, t in enumerate(levels):
        sigma = jnp.broadcast_to(VP().sigma(jnp.asarray(t)), B)
        state = called(two_modes(), diffuse(fold(fold(fold(keys(B), 1 + i), 0), 0), state, sigma), sigma)
    rounds = (Round(Constant(t), Uniform(1), Euler()) for t in levels)
    np.testing.assert_allclose(run(purifier_of(*rounds), keys(B), X).image, (state + 1) / 2, atol=1e-6)


def test_repeats_are_rounds_with_fresh_noise():
    """The noise of both repeats, worked out from the images of a linear denoiser."""
    once, twice = (Round(Constant(0.1), Uniform(1), Euler(), repeats=n) for n in (1, 2))
    first, second = (run(purifier_of(each, denoise=Gaussian()), keys(B), X) for each in (once, twice))
    shrink = 0.25 / (0.25 + VP().sigma(jnp.asarray(0.1)) ** 2)
    noise_1, noise_2 = 2 * (first.noised - X), (2 * second.image - 1) / shrink - (2 * first.image - 1)
    assert jnp.all(jnp.abs(noise_1 - noise_2) > 1e-5)
    np.testing.assert_allclose(noise_2.std(), noise_1.std(), rtol=0.3)


@pytest.mark.parametrize("walk", [Scan(), pytest.param(Ragged(4), marks=pytest.mark.slow)], ids=repr)
def test_a_guide_sees_the_image_being_purified_row_by_row_and_not_what_became_of_it(walk):
    plain, guided = (Round(Constant(0.1), Strided(4, 0.1), Ancestral(), guide) for guide in (Unguided(), Copies()))
    before, after = (
        run(Purifier(two_modes(), VP(), rounds, walk=walk), keys(B), X) for rounds in ((plain,), (plain, guided))
    )
    np.testing.assert_allclose(after.image, X, atol=1e-6)
    assert jnp.all(jnp.any(before.image != X, axis=(1, 2, 3)))


@pytest.mark.parametrize("name", [pytest.param("ssni_n rounds", marks=pytest.mark.slow), "ssni_l diffpure_ddpm"])
def test_the_count_of_network_calls_is_the_number_really_made(name):
    """With one slot the ragged walk calls for one sample at a time; the measurement's calls are counted elsewhere."""
    calls = []

    def denoise(x, sigma):
        jax.debug.callback(lambda: calls.append(len(x)))
        return two_modes()(x, sigma)

    purifier = dataclasses.replace(recipes()[name], denoise=denoise, walk=Ragged(1))
    done = jax.jit(purifier.run)(keys(B), X)
    jax.block_until_ready(done)
    jax.effects_barrier()
    assert sum(calls) + B * purifier.deviation.n_calls == jnp.sum(done.n_calls)


def test_holding_keeps_the_levels_of_one_image_for_another():
    held = held_at(SSNI, keys(B), X)
    other = run(held, keys(B, seed=1), X[::-1])
    np.testing.assert_allclose(other.t, run(SSNI, keys(B), X).t, atol=1e-7)
    assert jnp.any(other.t != run(SSNI, keys(B, seed=1), X[::-1]).t)


def test_a_held_purifier_measures_nothing():
    assert jnp.all(run(held_at(SSNI, keys(B), X), keys(B), X).n_calls == run(SSNI, keys(B), X).n_calls - 3)


def test_a_defense_classifies_the_purified_image_and_holds_its_purifiers_levels():
    defense = Defense(SSNI, Sums())
    np.testing.assert_allclose(called(defense, keys(B), X), called(Sums(), run(SSNI, keys(B), X).image), rtol=1e-5)
    held, alone = held_at(defense, keys(B), X), held_at(SSNI, keys(B), X)
    np.testing.assert_array_equal(held.purify.deviation.value, alone.deviation.value)


def test_the_denoiser_is_told_the_noise_that_was_added():
    done = run(purifier_of(Round(Constant(0.1), Uniform(1), Euler()), denoise=ShowsSigma()), keys(B), X)
    np.testing.assert_allclose(2 * done.image - 1, VP().sigma(jnp.asarray(0.1)), rtol=1e-6)


def test_a_round_that_never_runs_is_refused():
    with pytest.raises(ValueError, match="repeats=0; leave it out"):
        Round(Constant(), Uniform(1), Euler(), repeats=0)


def test_colour_images_of_any_shape_pass():
    x = images(2, shape=(5, 3, 3))
    purifier = purifier_of(Round(Constant(0.02), IntegerSteps(2), Ancestral()), denoise=Gaussian())
    assert run(purifier, keys(2), x).image.shape == x.shape != SHAPE


def test_chosen_steps_are_saved_row_by_row():
    """Index, state before the step and the network's estimate in it, by hand for one step of a linear denoiser."""
    round = Round(Constant(0.1), Strided(4, 0.1), Euler(), repeats=2)
    purifier, save = (
        purifier_of(round, denoise=Gaussian()),
        SaveAt(lambda moment: (moment.step + 0 * moment.hi, moment.x, moment.x0), (0, 2)),
    )
    done = jax.jit(lambda keys, x: purifier.run(keys, x, save))(keys(B), X)
    steps, states, estimates = done.saved[0]
    assert steps.shape == (B, 2, 2) and states.shape == estimates.shape == (B, 2, 2, *X.shape[1:])
    np.testing.assert_array_equal(steps[:, 0], np.tile([0, 2], (B, 1)))
    np.testing.assert_allclose(states[:, 0, 0], 2 * done.noised - 1, atol=1e-6)
    sigma = jnp.broadcast_to(VP().sigma(jnp.asarray(0.1)), B)
    np.testing.assert_allclose(estimates[:, 0, 0], Gaussian()(states[:, 0, 0], sigma), atol=1e-6)
    np.testing.assert_allclose(done.image, run(purifier, keys(B), X).image, atol=1e-6)
    with pytest.raises(ValueError, match=r"cannot be saved under a Ragged walk: use `scanned\(\)`"):
        purifier.ragged().run(keys(B), X, save)


def test_clipping_keeps_the_channels_of_a_learned_variance():
    """A guide changes the estimate; the variance is still read from the network's further channels."""

    @pytree
    class WithVariance:
        def __call__(self, x, sigma):
            return self.with_extra(x, sigma)[0]

        def with_extra(self, x, sigma):
            return 3 * x, jnp.zeros_like(x)

    def purified(guide):
        step = Ancestral(variance=Learned())
        return run(purifier_of(Round(Constant(0.1), Uniform(3), step, guide), denoise=WithVariance()), keys(B), X).image

    clipped = purified(ClippedEstimate())
    assert jnp.all(jnp.isfinite(clipped)) and jnp.all((clipped >= -1e-6) & (clipped <= 1 + 1e-6))
    assert jnp.max(jnp.abs(clipped - purified(Unguided()))) > 0.1
