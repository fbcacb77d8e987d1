import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import shift

from ssni_jax.attacks import CrossEntropy, Margin, Objective, StAdv
from ssni_jax.attacks.stadv import roughness, transformed
from ssni_jax.core.adam import adam_step, no_moments
from tests.attacks.kit import Brightness, NanInTheDark, state_after
from tests.kit import images, keys, with_leaves

B, SIDE = 6, 8
X = images(B, shape=(SIDE, SIDE, 2))
Y = jnp.zeros(B, jnp.int32)
RAMP = jnp.broadcast_to(jnp.linspace(0.2, 0.8, SIDE)[None, None, :, None], (B, SIDE, SIDE, 1))


PLAIN = Brightness(jnp.asarray(np.random.default_rng(3).normal(size=(SIDE, SIDE, 2)), jnp.float32))
NOISY = dataclasses.replace(PLAIN, noise=0.1)
SHORT = StAdv(bound=0.2, learning_rate=0.05, n_steps=8)


@jax.jit
def attack(stadv, predict, keys, x, y, objective=Objective(loss=Margin())):
    state = state_after(stadv, objective.of(predict), keys, x, y)
    return stadv.result(state), state.flow


def test_no_flow_is_the_identity():
    np.testing.assert_array_equal(transformed(X, jnp.zeros((B, SIDE, SIDE, 2))), X)


@pytest.mark.parametrize("move", [(2.0, 0.0), (0.0, -1.5), (0.25, 0.75)], ids=str)
def test_a_constant_flow_shifts_the_image_and_repeats_its_edges(move):
    flow = jnp.broadcast_to(jnp.asarray(move) * 2 / SIDE, (B, SIDE, SIDE, 2))
    expected = [shift(image, (-move[0], -move[1], 0), order=1, mode="nearest") for image in np.asarray(X)]
    np.testing.assert_allclose(transformed(X, flow), expected, atol=1e-5)


@pytest.mark.slow
def test_roughness_is_zero_for_a_shift_and_counts_neighbours_of_a_moved_pixel():
    assert jnp.all(roughness(jnp.full((B, SIDE, SIDE, 2), 0.3)) == 0)
    moved = jnp.zeros((B, SIDE, SIDE, 2)).at[:, 3, 3].set(jnp.asarray([3.0, 4.0])).at[0].set(0.0)
    np.testing.assert_allclose(roughness(moved), [0, *[20.0] * (B - 1)])
    assert jnp.all(jnp.isfinite(jax.grad(lambda flow: jnp.sum(roughness(flow)))(moved)))


@pytest.mark.slow
def test_adam_begins_with_steps_of_the_sign_and_corrects_its_bias():
    gradient = jnp.asarray([3.0, -0.01, 0.0])
    direction, moments = adam_step(no_moments(gradient), gradient, 0)
    np.testing.assert_allclose(direction, [1, -1, 0], atol=1e-5)
    direction, _ = adam_step(moments, -gradient, 1)
    mean, square = (0.9 * 0.1 - 0.1) / (1 - 0.9**2), 1.0
    np.testing.assert_allclose(direction, [mean / square, -mean / square, 0], atol=1e-5)


def test_stadv_stays_in_its_bound_and_raises_the_loss():
    result, flow = attack(SHORT, PLAIN, keys(B), X, Y)
    assert jnp.max(jnp.abs(flow)) == jnp.float32(0.2) and jnp.all((result.image >= 0) & (result.image <= 1))
    clean = Margin()(PLAIN.trace(keys(B), X), Y)
    assert jnp.all(result.loss > clean + 0.1)
    local = np.stack([np.roll(X, (a, b), (1, 2)) for a in (-1, 0, 1) for b in (-1, 0, 1)])[:, :, 1:-1, 1:-1]
    inside = np.asarray(result.image)[:, 1:-1, 1:-1]
    assert np.all((inside <= local.max(axis=0) + 1e-6) & (inside >= local.min(axis=0) - 1e-6))


@pytest.mark.slow
def test_on_a_ramp_every_pixel_comes_from_the_brighter_side():
    """Class 1 is bright and the image brightens to the right: the best flow is the bound, horizontally."""
    bright = Brightness(jnp.ones((SIDE, SIDE, 1)))
    result, flow = attack(SHORT, bright, keys(B), RAMP, Y)
    np.testing.assert_allclose(flow[:, :, :-1, 1], 0.2, atol=1e-6)
    step = 0.6 / (SIDE - 1)
    np.testing.assert_allclose(result.image[:, :, :-1], RAMP[:, :, :-1] + step * 0.2 * SIDE / 2, atol=1e-5)
    np.testing.assert_allclose(result.loss, jnp.sum(result.image, axis=(1, 2, 3)), rtol=1e-5)
    assert jnp.all(result.broken == 1) and jnp.all(result.n_queries == 8)


@pytest.mark.slow
def test_a_bound_of_zero_leaves_the_image():
    np.testing.assert_array_equal(attack(with_leaves(SHORT, bound=lambda _: 0.0), PLAIN, keys(B), X, Y)[0].image, X)


@pytest.mark.slow
def test_values_of_bound_rate_and_tau_are_one_trace_and_tau_smooths_the_flow():
    traces = []

    @jax.jit
    def traced(stadv):
        traces.append(1)
        return state_after(stadv, Objective().of(PLAIN), keys(B), X, Y).flow

    flows = [traced(StAdv(bound, 0.05, 8, tau)) for bound, tau in [(0.1, 0.0), (0.2, 0.0), (0.2, 0.3)]]
    np.testing.assert_allclose([float(jnp.max(jnp.abs(flow))) for flow in flows[:2]], [0.1, 0.2], rtol=1e-5)
    assert jnp.all(roughness(flows[2]) < 0.9 * roughness(flows[1])) and len(traces) == 1


@pytest.mark.slow
def test_a_row_is_attacked_alike_in_any_batch():
    eot = Objective(loss=CrossEntropy(), n_draws=2)
    whole, _ = attack(SHORT, NOISY, keys(B), X, Y, eot)
    reverse, _ = attack(SHORT, NOISY, keys(B)[::-1], X[::-1], Y[::-1], eot)
    alone, _ = attack(SHORT, NOISY, keys(B)[4:5], X[4:5], Y[4:5], eot)
    np.testing.assert_allclose(reverse.image[::-1], whole.image, atol=1e-5)
    np.testing.assert_allclose(alone.image[0], whole.image[4], atol=1e-5)
    assert jnp.all(whole.n_queries == 16)


@pytest.mark.slow
def test_nan_stays_in_its_own_row_and_is_no_success():
    x = X.at[2].set(0.0)
    result, flow = attack(SHORT, NanInTheDark(PLAIN), keys(B), x, Y)
    np.testing.assert_array_equal(jnp.any(jnp.isnan(flow), axis=(1, 2, 3)), jnp.arange(B) == 2)
    assert result.broken[2] == 0 and result.loss[2] == -jnp.inf


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("n_steps", 0, "n_steps must be at least 1, got 0"),
        ("bound", 3.0, "between 0 and 2 half sides of the image, got 3.0: use 0.05"),
        ("tau", -1.0, "must not be negative, got -1.0: use 0"),
    ],
)
def test_a_flow_that_cannot_be_is_refused(field, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(StAdv(), **{field: value})
