import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.core.protocols import Loss
from ssni_jax.networks import EdmCoefficients, VpCoefficients
from ssni_jax.schedules import VP
from ssni_jax.training import ClassificationLoss, DenoisingLoss

N = 512


def gaussian(std):
    """A batch in [0, 1] whose image in [-1, 1] is N(0, std^2)."""
    x0 = std * np.random.RandomState(0).randn(N, 8, 8, 1)
    return {"image": jnp.asarray((x0 + 1) / 2, jnp.float32), "label": jnp.zeros(N, jnp.int32)}


@pytest.fixture
def many():
    return jax.random.split(jax.random.key(0), N)


def value(loss, model, keys, batch):
    return jax.jit(lambda keys: loss(model, keys, batch)[0])(keys)


def nothing(x, noise_label, **conditions):
    return jnp.zeros_like(x)


def test_the_exact_denoiser_of_gaussian_data_has_loss_one_at_every_level(many):
    # With c_skip = std^2 / (std^2 + sigma^2) a silent network is the exact denoiser, and the weight undoes its error.
    for p_mean in (-4.0, -1.2, 2.0):
        loss = DenoisingLoss(EdmCoefficients(0.3), p_mean=p_mean)
        np.testing.assert_allclose(value(loss, nothing, many, gaussian(0.3)), 1.0, rtol=0.03)


def test_the_loss_of_a_wrong_denoiser_is_its_expectation(many):
    std, assumed, sigma = 0.3, 0.6, 0.5
    skip = assumed**2 / (assumed**2 + sigma**2)
    error = (1 - skip) ** 2 * std**2 + skip**2 * sigma**2
    weight = (assumed**2 + sigma**2) / (assumed * sigma) ** 2
    loss = DenoisingLoss(EdmCoefficients(assumed), p_mean=np.log(sigma), p_std=0.0)
    np.testing.assert_allclose(value(loss, nothing, many, gaussian(std)), weight * error, rtol=0.03)


def test_variance_preserving_coefficients_give_the_noise_prediction_loss(many):
    std, sigma = 0.3, 0.5

    def exact_noise(z, noise_label, **conditions):  # E[n | x] with x = z * sqrt(1 + sigma^2)
        return sigma * z * np.sqrt(1 + sigma**2) / (std**2 + sigma**2)

    loss = DenoisingLoss(VpCoefficients(VP()), p_mean=np.log(sigma), p_std=0.0)
    expected = std**2 / (std**2 + sigma**2)
    np.testing.assert_allclose(value(loss, exact_noise, many, gaussian(std)), expected, rtol=0.03)


def test_levels_are_lognormal_and_clipped(many):
    keys = jax.random.split(jax.random.key(1), 4000)
    sigma = jax.jit(DenoisingLoss(EdmCoefficients(), p_mean=-1.0, p_std=0.5).levels)(keys)
    np.testing.assert_allclose(np.log(sigma).mean(), -1.0, atol=0.03)
    np.testing.assert_allclose(np.log(sigma).std(), 0.5, atol=0.03)
    clipped = DenoisingLoss(EdmCoefficients(), p_std=50.0, sigma_min=0.1, sigma_max=2.0).levels
    clipped = jax.jit(clipped)(many)
    assert float(clipped.min()) == pytest.approx(0.1) and float(clipped.max()) == pytest.approx(2.0)


@pytest.mark.parametrize("p_mean", [-1e4, 1e4])
def test_loss_and_gradient_are_finite_at_the_ends_of_the_range(many, p_mean):
    def of(w):
        loss = DenoisingLoss(EdmCoefficients(), p_mean=p_mean)
        return loss(lambda x, label, **conditions: w * x, many, gaussian(0.5))[0]

    loss, slope = jax.jit(jax.value_and_grad(of))(0.1)
    assert np.isfinite(loss) and np.isfinite(slope) and slope != 0


def test_noise_of_a_row_does_not_depend_on_its_batch(many):
    def seen(n):
        noised = []
        part = {name: array[:n] for name, array in gaussian(0.5).items()}
        DenoisingLoss(EdmCoefficients())(lambda x, label, **_: noised.append(x) or x, many[:n], part)
        return noised[0][:7]

    np.testing.assert_allclose(*(jax.jit(seen, static_argnums=0)(n) for n in (N, 7)), atol=1e-5)


def test_dropout_keys_reach_the_network_and_differ_from_the_others(many):
    seen = {}

    @jax.jit
    def shown(keys):
        DenoisingLoss(EdmCoefficients())(
            lambda x, label, dropout_keys: seen.update(k=dropout_keys) or x, keys, gaussian(1.0)
        )
        return seen["k"]

    seen["k"] = shown(many)
    assert seen["k"].shape == (N,)
    assert not np.array_equal(jax.random.key_data(seen["k"]), jax.random.key_data(many))


def test_cross_entropy_and_accuracy_are_those_done_by_hand(many):
    logits = np.random.RandomState(1).randn(4, 3).astype(np.float32)
    y = np.array([0, 1, 2, int(logits[3].argmax())])
    batch = {"image": jnp.zeros((4, 2, 2, 1)), "label": jnp.asarray(y, jnp.int32)}
    loss, metrics = jax.jit(
        lambda keys: ClassificationLoss()(lambda x, train, dropout_keys: jnp.asarray(logits), keys, batch)
    )(many[:4])
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(loss, -log_p[np.arange(4), y].mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["accuracy"], (logits.argmax(1) == y).mean())


def test_smoothed_labels_of_equal_logits_cost_log_k(many):
    batch = {"image": jnp.zeros((2, 2, 2, 1)), "label": jnp.array([0, 1], jnp.int32)}
    loss = value(ClassificationLoss(label_smoothing=0.3), lambda x, **_: jnp.zeros((2, 5)), many[:2], batch)
    np.testing.assert_allclose(loss, np.log(5), rtol=1e-5)


def test_classifier_noise_has_its_standard_deviation_in_the_unit_range(many):
    seen = {}
    batch = {"image": jnp.full((N, 8, 8, 1), 0.5), "label": jnp.zeros(N, jnp.int32)}

    @jax.jit
    def shown(keys):
        ClassificationLoss(noise=0.25)(lambda x, **_: seen.update(x=x) or jnp.zeros((N, 2)), keys, batch)
        return seen["x"]

    np.testing.assert_allclose(np.std(shown(many)), 0.25, rtol=0.02)


def test_both_losses_obey_the_protocol():
    assert isinstance(ClassificationLoss(), Loss) and isinstance(DenoisingLoss(EdmCoefficients()), Loss)
