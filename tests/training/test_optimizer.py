import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.training import Adam, LayerwiseDecay, Optimizer, RAdam

PARAMS = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
GRADIENT = {"kernel": jnp.full((2, 2), 3.0), "bias": jnp.full(2, -4.0)}


def first_update(adam):
    tx = adam.transform(100)
    return jax.jit(lambda gradient, params: tx.update(gradient, tx.init(params), params)[0])(GRADIENT, PARAMS)


def test_the_first_step_of_adam_is_the_learning_rate_against_the_sign():
    update = first_update(Adam(0.01))
    np.testing.assert_allclose(update["kernel"], -0.01, rtol=1e-4)
    np.testing.assert_allclose(update["bias"], 0.01, rtol=1e-4)


def test_weight_decay_is_decoupled_and_spares_vectors():
    update = first_update(Adam(0.01, weight_decay=0.5))
    np.testing.assert_allclose(update["kernel"], -0.01 * (1 + 0.5), rtol=1e-4)
    np.testing.assert_allclose(update["bias"], 0.01, rtol=1e-4)


def test_clipping_bounds_the_gradient_norm_seen_by_adam():
    tx = Adam(0.01, clip=1.0).transform(100)
    state = jax.jit(lambda gradient, params: tx.update(gradient, tx.init(params), params)[1])(GRADIENT, PARAMS)
    first_moment = state[1].mu
    norm = np.sqrt(sum(np.sum(np.square(leaf / 0.1)) for leaf in first_moment.values()))
    np.testing.assert_allclose(norm, 1.0, rtol=1e-5)


def test_the_rate_rises_then_falls_to_its_share():
    rate = Adam(0.1, warmup=9, decay_to=0.2).rate(109)
    np.testing.assert_allclose([rate(0), rate(4), rate(9), rate(109)], [0.01, 0.05, 0.1, 0.02], rtol=1e-4)
    np.testing.assert_allclose(Adam(0.1).rate(10)(7), 0.1, rtol=1e-6)


def updates(optimizer, n):
    """The first `n` updates of a scalar whose gradient is 1, 2, 3, ..."""
    tx = optimizer.transform(n)
    state, found = tx.init(jnp.zeros(())), []
    for k in range(1, n + 1):
        update, state = tx.update(jnp.array(float(k)), state, jnp.zeros(()))
        found.append(float(update))
    return found


def by_hand(n, rate, b1, b2, eps, rectified):
    """Algorithm 1 of Kingma & Ba, or algorithm 2 of Liu et al. with its gate at 5."""
    m = v = 0.0
    rho_inf = 2 / (1 - b2) - 1
    for k in range(1, n + 1):
        m, v = b1 * m + (1 - b1) * k, b2 * v + (1 - b2) * k**2
        mean, root = m / (1 - b1**k), np.sqrt(v / (1 - b2**k))
        rho = rho_inf - 2 * k * b2**k / (1 - b2**k)
        share = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
        adaptive = mean / (root + eps)
        if rectified:
            adaptive = np.sqrt(share) * adaptive if rho >= 5 else mean
        yield -rate * adaptive


@pytest.mark.parametrize("kind", [Adam, RAdam])
def test_the_first_steps_are_those_done_by_hand(kind):
    beginning = kind(0.01, clip=0.0, b1=0.8, b2=0.99, eps=1e-3)
    expected = list(by_hand(8, 0.01, 0.8, 0.99, 1e-3, kind is RAdam))
    np.testing.assert_allclose(updates(beginning, 8), expected, rtol=1e-3)  # 1 - b2^t cancels in float32


def test_rectified_adam_has_the_published_defaults_of_consistency_models():
    np.testing.assert_allclose(updates(RAdam(), 7), list(by_hand(7, 4e-4, 0.9, 0.999, 1e-8, True)), rtol=2e-2)


@pytest.mark.parametrize("kind", [Adam, RAdam])
def test_every_optimizer_decays_clips_and_changes_its_rate_alike(kind):
    tx = kind(0.01, warmup=9, weight_decay=0.5, clip=1e-9).transform(100)
    update = tx.update(jax.tree.map(jnp.zeros_like, GRADIENT), tx.init(PARAMS), PARAMS)[0]
    np.testing.assert_allclose(
        update["kernel"], -0.001 * 0.5, rtol=1e-4
    )  # a tenth of the rate, in the first of ten steps
    np.testing.assert_array_equal(update["bias"], np.zeros(2))
    assert isinstance(kind(), Optimizer)


@pytest.mark.parametrize("kind", [Adam, RAdam])
@pytest.mark.parametrize(
    "bad", [{"learning_rate": 0.0}, {"warmup": -1}, {"clip": -1.0}, {"decay_to": 2.0}, {"b2": 1.0}, {"eps": 0.0}]
)
def test_impossible_settings_are_refused(kind, bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        kind(**bad)


def test_layerwise_decay_slows_what_lies_further_from_the_head():
    blocks = {f"block{i}": {"kernel": jnp.ones((2, 2))} for i in range(2)}
    params = {"blocks": blocks, "embed": {"kernel": jnp.ones((2, 2))}, "cls": jnp.ones(2), "head": jnp.ones((2, 2))}
    tx = LayerwiseDecay(Adam(0.01), decay=0.5).transform(10)
    update, _ = tx.update(jax.tree.map(jnp.ones_like, params), tx.init(params), params)
    rates = {"embed": 1 / 8, "cls": 1 / 8, "head": 1}
    for name, rate in rates.items():
        np.testing.assert_allclose(jax.tree.leaves(update[name])[0], -0.01 * rate, rtol=1e-4)
    np.testing.assert_allclose(update["blocks"]["block0"]["kernel"], -0.01 / 4, rtol=1e-4)
    np.testing.assert_allclose(update["blocks"]["block1"]["kernel"], -0.01 / 2, rtol=1e-4)
    assert isinstance(LayerwiseDecay(Adam()), Optimizer)
