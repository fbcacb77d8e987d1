"""The bridge of ADBM: its ends, the released formula, and the adversary at its other end."""

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.core.arrays import over, to_unit_range
from ssni_jax.core.rng import normal_like
from ssni_jax.networks import EdmCoefficients
from ssni_jax.purify import Constant
from ssni_jax.recipes import adbm
from ssni_jax.schedules import VP
from ssni_jax.training import Bridge, BridgeLoss
from tests.kit import SHAPE, Gaussian, Linear, images, keys

B, EPS = 16, 0.1
X, ADVERSARIAL = 2 * images(B) - 1, 2 * images(B, seed=1) - 1
CLASSIFY = Linear(np.random.default_rng(0).normal(size=(int(np.prod(SHAPE)), 5)).astype(np.float32))
LOSS = BridgeLoss(EdmCoefficients(0.5), CLASSIFY, eps=EPS)


def bridge(t, end=0.15):
    sigma, horizon = (VP().sigma(jnp.full(B, time)) for time in (t, end))
    return Bridge(sigma, horizon, normal_like(keys(B), X))


def test_it_leads_from_the_noised_adversary_to_the_clean_image():
    start, end = bridge(0.15), bridge(0.0)
    noised = ADVERSARIAL + over(start.end, X) * start.noise
    np.testing.assert_allclose(start.between(X, ADVERSARIAL), noised, atol=1e-6)
    np.testing.assert_allclose(end.between(X, ADVERSARIAL), X, atol=1e-6)


def test_the_state_and_its_target_are_those_of_the_released_loss():
    path, a, at_end = bridge(0.06), float(VP().scale(jnp.asarray(0.06))) ** 2, float(VP().scale(jnp.asarray(0.15))) ** 2
    gap, state = ADVERSARIAL - X, path.between(X, ADVERSARIAL)
    moved = np.sqrt(a) * X + np.sqrt(1 - a) * path.noise + gap * at_end * (1 - a) / ((1 - at_end) * np.sqrt(a))
    np.testing.assert_allclose(np.sqrt(a) * state, moved, atol=1e-5)
    target = path.noise + gap * np.sqrt(1 / a - 1) * at_end / (1 - at_end)
    np.testing.assert_allclose((state - X) / over(path.sigma, X), target, atol=1e-4)


def test_times_lie_below_a_horizon_of_each_row():
    path = jax.jit(LOSS.drawn)(keys(B), X)
    low, high = (VP().sigma(jnp.asarray(t)) for t in (0.1, 0.2))
    assert np.all((path.sigma < path.end) & (path.end >= low) & (path.end <= high)) and len(set(path.end.tolist())) == B


def test_the_adversary_is_near_and_leads_the_estimate_away_from_its_class():
    path, y, denoise = bridge(0.14), jnp.zeros(B, jnp.int32), Gaussian()
    adversarial = jax.jit(lambda x: LOSS.adversary(keys(B), denoise, path, x, y))(X)
    assert np.max(np.abs(adversarial - X)) <= 2 * EPS + 1e-6 and np.max(np.abs(adversarial)) <= 1

    def share(x):
        logits = CLASSIFY(to_unit_range(denoise(path.between(X, x), path.sigma)))
        return jax.nn.softmax(logits)[:, 0]

    assert np.all(share(adversarial) < share(X))


def test_without_an_adversary_it_is_the_denoising_loss():
    """Whose value for the exact denoiser of Gaussian data is one at every level."""
    x0 = 0.5 * np.random.RandomState(0).randn(256, *SHAPE)
    batch = {"image": jnp.asarray((x0 + 1) / 2, jnp.float32), "label": jnp.zeros(256, jnp.int32)}
    nothing = lambda x, noise_label, **conditions: jnp.zeros_like(x)  # noqa: E731
    plain = BridgeLoss(EdmCoefficients(0.5), CLASSIFY, eps=0.0)
    value = jax.jit(lambda keys: plain(nothing, keys, batch)[0])(keys(256))
    np.testing.assert_allclose(value, 1.0, rtol=0.05)


def test_adbm_purifies_in_five_ddim_steps_from_a_tenth():
    (only,) = adbm(Gaussian()).rounds
    assert isinstance(only.level, Constant) and (only.level.t_star, only.grid.n_steps, only.step.eta) == (0.1, 5, 0.0)
