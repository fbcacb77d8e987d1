import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import L2, DiffHammer, Linf, Margin, Objective, Pgd, diffhammer_released
from ssni_jax.core.arrays import over
from ssni_jax.core.protocols import Purified
from ssni_jax.core.pytree import pytree
from ssni_jax.core.rng import fold
from ssni_jax.purify import Defense, Vote
from tests.kit import SHAPE, Linear, images, keys, recipes

B, N = 6, 5
X, Y = 0.25 + 0.5 * images(B), jnp.arange(B) % 2
W = jnp.asarray(np.random.default_rng(0).normal(size=SHAPE), jnp.float32)
BRIGHT = 10.0
CLASSIFY = Linear(np.random.default_rng(1).normal(size=(int(np.prod(SHAPE)), 2)).astype(np.float32))


@pytree
class TwoKinds:
    """A purifier that leaves half of its draws as they are and makes the others bright."""

    def run(self, keys, x, save=None):
        return shown(x, x + BRIGHT * over(is_bright(keys), x))


@pytree
class Scaled:
    """A purifier that multiplies the image by a number from the key."""

    def run(self, keys, x, save=None):
        return shown(x, over(scale(keys), x) * x)


@pytree
class Opposed:
    """Two logits: dark images fall along -W, bright ones along W, twice as fast and from too far away."""

    def __call__(self, x):
        reach = 0.05 * jnp.sum(jnp.abs(W))
        bright = jnp.mean(x, axis=(1, 2, 3)) > BRIGHT / 2
        along = jnp.sum(W * (x - over(jnp.where(bright, BRIGHT + 0.5, 0.5), x)), axis=(1, 2, 3))
        return jnp.stack([jnp.where(bright, 20 * reach - 2 * along, reach + along), jnp.zeros(len(x))], axis=1)


@pytree
class Curved:
    """Two logits, curved in the pixels and small, so that the weights of draws are not all or nothing."""

    def __call__(self, x):
        score = 0.03 * jnp.sum(jnp.sin(9 * x) * W, axis=(1, 2, 3))
        return jnp.stack([score, -score], axis=1)


def is_bright(keys):
    return jax.vmap(jax.random.bernoulli)(keys).astype(jnp.float32)


def scale(keys):
    return jax.vmap(lambda key: jax.random.uniform(key, minval=0.5, maxval=1.5))(keys)


def shown(x, image):
    zero = jnp.zeros(len(x))
    return Purified(image, zero, jnp.zeros((0, len(x))), zero, x)


@jax.jit
def states(attack, objective, keys, x, y):
    """The states after every iteration, made in one scan, and the last one's result."""

    def iterate(state, i):
        state = attack.update(keys, i, objective, state, x, y)
        return state, state

    start = attack.init(keys, objective, x, y)
    last, seen = jax.lax.scan(iterate, start, jnp.arange(attack.n_iterations))
    return seen, attack.result(last)


def grafted_by_hand(losses, gradients, scales, eps, n_em):
    """One row, draw by draw: the E-step from the largest loss, the pick, and the graft onto a scaled image."""
    r = gradients[np.argmax(losses)]
    for _ in range(n_em):
        fits = np.asarray([np.sum(np.sign(r) * g) for g in gradients])
        w = 1 / (1 + np.exp(-5 * (losses + fits)))
        r = sum(a * g for a, g in zip(w, gradients, strict=True)) / w.sum()
    elu = lambda v: np.where(v > 0, v, np.exp(v) - 1)  # noqa: E731
    value = [sum(elu(loss + eps * np.sum(np.sign(g) * h)) for loss, h in zip(losses, gradients)) for g in gradients]  # noqa: B905
    return scales[np.argmax(value)] * r


@pytest.mark.parametrize("n_em", [5, 1])
def test_the_gradient_is_the_shared_one_pulled_back_through_the_picked_draw(n_em):
    attack = DiffHammer(Linf(0.1), 0.02, 1, n_em, random_start=False)
    objective = Objective(loss=Margin(), n_draws=N).of(Defense(Scaled(), Curved()))
    seen, _ = states(attack, objective, keys(B), X, Y)
    drawn = [scale(fold(objective.draw_keys(keys(B), 0), j)) for j in range(N)]
    margin = lambda image: (1 - 2 * (Y == 0)) * (Curved()(image) @ jnp.asarray([1.0, -1.0]))  # noqa: E731
    purified = [over(s, X) * X for s in drawn]
    losses = np.stack([margin(image) for image in purified])
    gradients = np.stack([jax.grad(lambda image: jnp.sum(margin(image)))(image) for image in purified])
    scales = np.stack(drawn)
    for row in range(B):
        expected = grafted_by_hand(losses[:, row], gradients[:, row], scales[:, row], 0.1, n_em)
        np.testing.assert_allclose(seen.gradient[0, row], expected, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_draws_that_fall_together_are_found_where_the_mean_gradient_points_away():
    x, y = jnp.full((B, *SHAPE), 0.5), jnp.zeros(B, jnp.int32)
    objective = Objective(loss=Margin(), n_draws=8).of(Defense(TwoKinds(), Opposed()))
    seen, hammered = states(DiffHammer(Linf(0.1), 0.03, 6, random_start=False), objective, keys(B), x, y)
    _, averaged = states(Pgd(Linf(0.1), 0.03, 6), objective, keys(B), x, y)
    assert jnp.all(hammered.broken >= 0.375) and jnp.mean(averaged.broken) < 0.1
    np.testing.assert_allclose(seen.x[-1], 0.5 - 0.1 * jnp.sign(jnp.broadcast_to(W, x.shape)), atol=1e-6)


@pytest.mark.slow
def test_gradients_are_averaged_with_a_share_that_falls_as_the_root_of_the_iteration():
    """One draw of a purifier that does nothing, so that each iterate's own gradient is the classifier's."""
    attack = DiffHammer(L2(0.5), 0.1, 3, random_start=False)
    objective = Objective(loss=Margin()).of(Defense(recipes()["unpurified"], Curved()))
    seen, _ = states(attack, objective, keys(B), X, Y)
    own = jax.jit(
        lambda x: Objective(loss=Margin()).of(Defense(recipes()["unpurified"], Curved())).gradient(keys(B), x, Y)
    )
    average = jnp.zeros_like(X)
    for i, x in enumerate([X, seen.x[0], seen.x[1]]):
        average = (i + 1) ** -0.5 * own(x) + (1 - (i + 1) ** -0.5) * average
        np.testing.assert_allclose(seen.gradient[i], average, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_the_best_iterate_has_the_largest_wrong_share_and_every_draw_is_counted():
    objective = Objective(loss=Margin(), n_draws=3, n_together=2).of(Defense(Scaled(), Curved()))
    seen, result = states(DiffHammer(Linf(0.3), 0.1, 4), objective, keys(B), X, Y)
    assert jnp.all(jnp.diff(seen.best.broken, axis=0) >= 0) and jnp.all(result.broken == seen.best.broken[-1])
    np.testing.assert_array_equal(result.n_queries, 12)
    assert jnp.all(jnp.abs(result.image - X) <= 0.3 + 1e-6) and jnp.all((result.image >= 0) & (result.image <= 1))


@pytest.mark.slow
def test_a_row_is_attacked_alike_alone_and_in_any_batch():
    attack, objective = DiffHammer(Linf(0.1), 0.03, 3), Objective(n_draws=3).of(Defense(Scaled(), Curved()))
    whole, reverse = (
        states(attack, objective, k, x, y)[1] for k, x, y in [(keys(B), X, Y), (keys(B)[::-1], X[::-1], Y[::-1])]
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[::-1], atol=1e-5), whole, reverse)
    alone = states(attack, objective, keys(B)[4:5], X[4:5], Y[4:5])[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[4:5], b, atol=1e-5), whole, alone)


@pytest.mark.slow
def test_a_held_level_is_held_in_the_graft_too():
    """The levels are measured once at x; the picked draw of that predictor is what the gradient goes through."""
    predict = Defense(recipes()["ssni_n diffpure_ddpm"].soft(), CLASSIFY)
    attack, objective = DiffHammer(Linf(0.1), 0.03, 1, random_start=False), Objective(hold=True).of(predict)
    seen, _ = states(attack, objective, keys(B), X, Y)
    own = jax.jit(lambda x: objective.gradient(objective.draw_keys(keys(B), 0), x, Y))(X)
    np.testing.assert_allclose(seen.gradient[0], own, rtol=1e-3, atol=1e-5)


def test_what_diffhammer_cannot_attack_is_refused():
    with pytest.raises(ValueError, match="at least one step, got n_steps=0"):
        DiffHammer(n_steps=0)
    with pytest.raises(ValueError, match="got a vote: attack the predictor that votes"):
        DiffHammer().init(keys(B), Objective().of(Vote(Defense(Scaled(), Curved()), 2)), X, Y)
    assert diffhammer_released().n_em == 1


@pytest.mark.slow
def test_a_nan_is_no_success_and_shows_in_its_own_row():
    x = X.at[2].set(jnp.nan)
    objective = Objective(n_draws=2).of(Defense(Scaled(), Curved()))
    seen, result = states(DiffHammer(Linf(0.1), 0.03, 2, random_start=False), objective, keys(B), x, Y)
    assert result.broken[2] <= 0
    np.testing.assert_array_equal(jnp.any(jnp.isnan(seen.x[-1]), axis=(1, 2, 3)), jnp.arange(B) == 2)
