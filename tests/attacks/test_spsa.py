import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import L2, CrossEntropy, Gaussian, Linf, Objective, Rademacher, Spsa
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import normal_like
from ssni_jax.purify import predictor
from ssni_jax.purify.predictors import Predictor
from tests.attacks.kit import NanInTheDark, driven
from tests.kit import images, keys, with_leaves

B = 8
X = 0.25 + 0.5 * images(B)
Y = jnp.arange(B) % 2
BOTH = pytest.mark.parametrize("directions", [Rademacher(), Gaussian()], ids=repr)


@jax.custom_jvp
def opaque(logits):
    """The identity, with a gradient of NaN."""
    return logits


opaque.defjvp(lambda primals, tangents: (primals[0], jnp.nan * tangents[0]))


@pytree
class BlackBox(Predictor):
    """Logits linear in the image, whose gradient is NaN; `noise` is what each draw adds to the image."""

    weights: jax.Array
    noise: float = 0.0

    def trace(self, keys, x, save=None):
        logits = opaque(jnp.einsum("bhwc,hwck->bk", x + self.noise * normal_like(keys, x), self.weights))
        return predictor(lambda x: logits).trace(keys, x)


TWO = BlackBox(jnp.asarray(np.random.default_rng(3).normal(size=(4, 3, 1, 2)), jnp.float32))
NOISY = dataclasses.replace(TWO, noise=0.1)
FEW = Spsa(Linf(0.1), 0.03, 6, n_directions=16, sigma=0.01, n_together=4)


@jax.jit
def attack(spsa, predict, keys, x, y, objective=Objective()):
    return driven(spsa, objective.of(predict), keys, x, y)


def loss_of(predict, x, y):
    return CrossEntropy()(predict.trace(keys(len(x)), x), y)


def ascent(y):
    """The direction that lowers the true of two logits."""
    difference = TWO.weights[..., 1] - TWO.weights[..., 0]
    return jnp.where((y == 0)[:, None, None, None], difference, -difference)


@pytest.mark.parametrize("threat", [Linf(0.1), pytest.param(L2(0.4), marks=pytest.mark.slow)], ids=repr)
def test_spsa_stays_in_the_ball_and_raises_the_loss_without_a_gradient(threat):
    result = attack(dataclasses.replace(FEW, threat=threat), TWO, keys(B), X, Y)
    change = np.asarray(result.image - X).reshape(B, -1)
    norm = np.abs(change).max(axis=1) if isinstance(threat, Linf) else np.linalg.norm(change, axis=1)
    assert np.all(norm <= threat.eps + 1e-6) and jnp.all((result.image >= 0) & (result.image <= 1))
    assert jnp.all(result.loss > loss_of(TWO, X, Y))


@pytest.mark.slow
def test_on_a_linear_classifier_many_directions_find_the_sign_solution():
    spsa = Spsa(Linf(0.1), 0.05, 4, n_directions=1024, sigma=0.01, n_together=None)
    result = attack(spsa, TWO, keys(B), X, Y)
    clear = jnp.abs(ascent(Y)) > 0.2 * jnp.max(jnp.abs(ascent(Y)))
    np.testing.assert_allclose(result.image[clear], (X + 0.1 * jnp.sign(ascent(Y)))[clear], atol=1e-6)


@pytest.mark.slow
@BOTH
def test_the_estimate_of_a_linear_loss_is_its_gradient(directions):
    """The margin is linear, so only the randomness of the directions is left: 1 / sqrt(n) of the gradient's norm."""
    spsa = Spsa(n_directions=4096, sigma=0.1, directions=directions, n_together=512)
    objective = Objective(predict=TWO, loss=lambda trace, y: trace.logits[:, 1] - trace.logits[:, 0])
    estimate = jax.jit(lambda: spsa._estimate(keys(B), keys(B), objective, X, Y))()
    error = jnp.linalg.norm((estimate - ascent(jnp.zeros(B))).reshape(B, -1), axis=1)
    assert jnp.all(error < 0.12 * jnp.linalg.norm(ascent(jnp.zeros(B))[0]))


@BOTH
def test_directions_have_mean_zero_and_variance_one_and_follow_from_their_own_keys(directions):
    large = jnp.zeros((3, 64, 64, 1))
    drawn = directions(keys(3), large)
    np.testing.assert_allclose(jnp.mean(drawn, axis=(1, 2, 3)), 0, atol=0.06)
    np.testing.assert_allclose(jnp.mean(drawn**2, axis=(1, 2, 3)), 1, atol=0.06)
    np.testing.assert_array_equal(directions(keys(3)[1:2], large[:1])[0], drawn[1])


@pytest.mark.slow
def test_the_memory_that_directions_share_does_not_change_the_result():
    apart, together = (
        attack(dataclasses.replace(FEW, n_together=n, n_directions=5), NOISY, keys(B), X, Y) for n in (2, None)
    )
    np.testing.assert_allclose(apart.image, together.image, atol=1e-6)


@pytest.mark.slow
def test_a_row_is_attacked_alike_in_any_batch():
    eot = Objective(n_draws=2)
    whole = attack(FEW, NOISY, keys(B), X, Y, eot)
    reverse = attack(FEW, NOISY, keys(B)[::-1], X[::-1], Y[::-1], eot)
    np.testing.assert_allclose(reverse.image[::-1], whole.image, atol=1e-5)
    np.testing.assert_allclose(
        attack(FEW, NOISY, keys(B)[4:5], X[4:5], Y[4:5], eot).image[0], whole.image[4], atol=1e-5
    )


@pytest.mark.slow
def test_nan_is_loud_and_stays_in_its_own_row():
    few = dataclasses.replace(FEW, n_steps=2, keep="last")
    last = attack(few, NanInTheDark(TWO), keys(B), X.at[5].set(0.1), Y)
    np.testing.assert_array_equal(jnp.any(jnp.isnan(last.image), axis=(1, 2, 3)), jnp.arange(B) == 5)
    assert last.broken[5] == 0


@pytest.mark.slow
def test_the_best_iterate_is_kept_with_its_loss_and_answers():
    """A step far too long overshoots the boundary of the image, so that the last iterate need not be the best."""
    best = attack(dataclasses.replace(FEW, step_size=0.15), TWO, keys(B), X, Y)
    last = attack(dataclasses.replace(FEW, step_size=0.15, keep="last"), TWO, keys(B), X, Y)
    np.testing.assert_allclose(best.loss, loss_of(TWO, best.image, Y), rtol=1e-4)
    np.testing.assert_array_equal(best.broken, jnp.argmax(TWO(keys(B), best.image), axis=1) != Y)
    assert jnp.all(best.loss >= last.loss) and jnp.any(best.loss > loss_of(TWO, last.image, Y))


@pytest.mark.slow
def test_queries_count_every_draw_of_every_probe_and_of_the_iterate():
    result = attack(FEW, NOISY, keys(B), X, Y, Objective(n_draws=2))
    np.testing.assert_array_equal(result.n_queries, 6 * (1 + 2 * 16) * 2)


@pytest.mark.slow
def test_three_radii_step_sizes_and_sigmas_are_one_trace():
    traces = []

    @jax.jit
    def traced(spsa, x):
        traces.append(1)
        return driven(spsa, Objective().of(TWO), keys(B), x, Y).image

    results = [
        traced(with_leaves(FEW, **{name: lambda v, k=k: k * v for name in ("eps", "step_size", "sigma")}), X)
        for k in (0.5, 1, 2)
    ]
    sizes = [float(jnp.max(jnp.abs(image - X))) for image in results]
    np.testing.assert_allclose(sizes, [0.05, 0.1, 0.2], rtol=1e-4)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("n_steps", 0, "n_steps must be at least 1, got 0"),
        ("n_directions", 0, "n_directions must be at least 1, got 0"),
        ("n_together", 0, "n_together must be at least 1, got 0"),
        ("sigma", 0.0, "must be above 0, got 0.0: use 0.001"),
    ],
)
def test_an_attack_without_steps_or_probes_is_refused(field, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(Spsa(), **{field: value})
