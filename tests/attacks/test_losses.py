import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import CrossEntropy, Margin
from ssni_jax.core.protocols import Trace

LOGITS = jnp.asarray([[2.0, 1.0, -1.0], [0.0, 3.0, 1.0], [5.0, 5.0, 0.0]])
Y = jnp.asarray([0, 2, 1])


def of(loss, scores):
    """A loss of a trace with these scores."""
    zero, image = jnp.zeros(len(scores)), jnp.zeros((len(scores), 1, 1, 1))
    return loss(Trace(scores, scores, image, image, zero, zero[:, None], zero), Y)


def test_cross_entropy_is_minus_the_log_probability_of_the_label():
    probability = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(of(CrossEntropy(), LOGITS), -np.log(probability[[0, 1, 2], Y]), rtol=1e-6)


def test_margin_is_the_best_other_logit_minus_the_true_one():
    np.testing.assert_array_equal(of(Margin(), LOGITS), [-1, 2, 0])


@pytest.mark.parametrize("loss", [CrossEntropy(), Margin()], ids=repr)
def test_a_loss_does_not_change_when_all_logits_shift(loss):
    np.testing.assert_allclose(of(loss, LOGITS + 10), of(loss, LOGITS), atol=1e-5)


@pytest.mark.parametrize("loss", [CrossEntropy(), Margin()], ids=repr)
def test_raising_a_loss_lowers_the_true_logit(loss):
    gradient = jax.grad(lambda logits: jnp.sum(of(loss, logits)))(LOGITS)
    assert jnp.all(gradient[jnp.arange(3), Y] < 0)
    np.testing.assert_allclose(jnp.sum(gradient, axis=1), 0, atol=1e-6)


@pytest.mark.parametrize("loss", [CrossEntropy(), Margin()], ids=repr)
def test_large_logits_keep_loss_and_gradient_finite(loss):
    value, gradient = jax.value_and_grad(lambda logits: jnp.sum(of(loss, logits)))(1e4 * LOGITS)
    assert jnp.isfinite(value) and jnp.all(jnp.isfinite(gradient))


@pytest.mark.parametrize("loss", [CrossEntropy(), Margin()], ids=repr)
def test_a_nan_logit_is_a_nan_loss_in_its_own_row(loss):
    for column in range(3):
        found = jnp.isnan(of(loss, LOGITS.at[1, column].set(jnp.nan)))
        np.testing.assert_array_equal(found, [False, True, False])
