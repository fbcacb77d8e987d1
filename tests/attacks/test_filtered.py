import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import Filtered, Margin, Objective
from ssni_jax.attacks.filtered import clipped, kernel, neighbours, rendered
from ssni_jax.cli import main
from ssni_jax.core.pytree import pytree
from ssni_jax.data import Npz, take
from ssni_jax.networks.distances import Perceptual, SquaredDifference
from ssni_jax.purify import predictor
from ssni_jax.zoo import Pretrained
from tests.attacks.kit import Brightness, NanInTheDark, state_after
from tests.convert.files import shared
from tests.kit import images, keys, with_leaves

B, SIDE = 5, 6
X = 0.1 + 0.8 * images(B, shape=(SIDE, SIDE, 2))
Y = jnp.zeros(B, jnp.int32)
BOUND = 0.002
SQUEEZENET = "squeezenet1_1_imagenet_torchvision"
SHORT = Filtered(SquaredDifference(), BOUND, sizes=(3, 5), n_steps=12, modifier_rate=0.05)


@pytree
class FarFromEverything:
    """A distance that no image but the clean one can keep."""

    def __call__(self, a, b):
        return jnp.where(jnp.all(a == b, axis=(1, 2, 3)), 0.0, 1.0 + 0.0 * jnp.sum(b, axis=(1, 2, 3)))


PLAIN = Brightness(jnp.asarray(np.random.default_rng(3).normal(size=(SIDE, SIDE, 2)), jnp.float32))
NOISY = dataclasses.replace(PLAIN, noise=0.1)


@jax.jit
def attacked(attack, predict, keys, x, y, objective=Objective(loss=Margin())):
    state = state_after(attack, objective.of(predict), keys, x, y)
    return attack.result(state), state.parameters


def distance(image, x=X):
    return SquaredDifference()(2 * x - 1, 2 * image - 1)


def test_neighbours_are_the_pixels_around_with_edges_repeated():
    padded = np.pad(np.asarray(X), ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")
    near = np.asarray(neighbours(X, 5))
    for row, column in [(0, 0), (3, 2), (5, 5)]:
        np.testing.assert_array_equal(near[:, row, column], padded[:, row : row + 5, column : column + 5])


@pytest.mark.slow
def test_a_kernel_is_its_softmax_times_the_colour_kernel_and_sums_to_one():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(B, SIDE, SIDE, 3, 3)), jnp.float32)
    weights = kernel(X, logits, 0.3)
    np.testing.assert_allclose(jnp.sum(weights, axis=(3, 4)), 1, rtol=1e-5)
    centre = np.asarray(X)[1, 2, 3]
    colours = np.sum((np.asarray(X)[1, 1:4, 2:5] - centre) ** 2, axis=-1)
    product = np.exp(logits[1, 2, 3]) * np.exp(-colours / (2 * 0.3**2))
    np.testing.assert_allclose(weights[1, 2, 3], product / product.sum(), rtol=1e-4)


@pytest.mark.slow
def test_sharp_filters_and_no_modifier_render_the_image_and_flat_ones_smooth_it():
    """With a wide colour kernel, a filter of equal weights is the mean of its window."""

    @jax.jit
    def first(focus, width):
        attack = with_leaves(SHORT, focus=lambda _: focus)
        return rendered(X, width, attack.init(keys(B), Objective(), X, Y).parameters)

    np.testing.assert_allclose(first(30.0, 0.05), X, atol=1e-5)
    once = np.asarray(neighbours(X, 3)).mean(axis=(3, 4))
    np.testing.assert_allclose(first(0.0, 1e3), np.asarray(neighbours(jnp.asarray(once), 5)).mean((3, 4)), atol=1e-4)


@pytest.mark.slow
def test_gradients_are_clipped_to_norm_one_over_all_leaves_of_a_row():
    gradient = (jnp.asarray([[3.0, 0.0], [0.3, 0.0], [0.0, 0.0]]), jnp.asarray([[[4.0]], [[0.4]], [[0.0]]]))
    left, right = clipped(gradient)
    np.testing.assert_allclose(left, [[0.6, 0.0], [0.3, 0.0], [0.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(right[:, 0, 0], [0.8, 0.4, 0.0], rtol=1e-6)


def test_it_stays_within_the_distance_and_raises_the_loss():
    result, _ = attacked(SHORT, PLAIN, keys(B), X, Y)
    assert jnp.all(distance(result.image) <= BOUND + 1e-7) and jnp.all((result.image >= 0) & (result.image <= 1))
    clean = Margin()(PLAIN.trace(keys(B), X), Y)
    np.testing.assert_allclose(result.loss, Margin()(PLAIN.trace(keys(B), result.image), Y), atol=1e-4)
    np.testing.assert_array_equal(result.broken, result.loss > 0)
    assert jnp.all(result.loss > clean + 0.2) and jnp.all(result.n_queries == 12)


@pytest.mark.slow
def test_the_modifier_alone_climbs_a_linear_classifier_and_the_filters_alone_too():
    sharp = with_leaves(SHORT, filter_rate=lambda _: 0.0, focus=lambda _: 30.0)
    result, parameters = attacked(sharp, PLAIN, keys(B), X, Y)
    clear = jnp.abs(PLAIN.weights) > 0.1
    assert jnp.all((jnp.sign(result.image - X) == jnp.sign(PLAIN.weights))[:, clear])
    smooth, parameters = attacked(with_leaves(SHORT, modifier_rate=lambda _: 0.0), PLAIN, keys(B), X, Y)
    assert jnp.all(parameters.modifier == 0)
    start = rendered(X, 0.05, SHORT.init(keys(B), Objective(), X, Y).parameters)
    assert jnp.all(smooth.loss > Margin()(PLAIN.trace(keys(B), start), Y) + 1e-3)


@pytest.mark.slow
def test_a_violated_bound_is_left_again():
    """Flat filters begin outside; the penalty brings the image back, and only valid images are returned."""
    outside = with_leaves(SHORT, focus=lambda _: 0.0, colour_width=lambda _: 0.3)
    outside = dataclasses.replace(outside, n_steps=60, filter_rate=0.3)
    start = rendered(X, 0.3, outside.init(keys(B), Objective(), X, Y).parameters)
    result, _ = attacked(outside, PLAIN, keys(B), X, Y)
    assert jnp.all(distance(start) > BOUND) and jnp.all(distance(result.image) <= BOUND + 1e-7)
    assert jnp.all(jnp.isfinite(result.loss)) and jnp.all(distance(result.image) > 0)


@pytest.mark.slow
def test_where_no_iterate_is_valid_the_clean_image_remains():
    result, _ = attacked(dataclasses.replace(SHORT, distance=FarFromEverything(), n_steps=2), PLAIN, keys(B), X, Y)
    np.testing.assert_array_equal(result.image, X)
    assert jnp.all(result.loss == -jnp.inf) and jnp.all(result.broken == 0)


@pytest.mark.slow
def test_black_and_white_pixels_have_finite_gradients_that_are_not_zero():
    sharp = with_leaves(SHORT, filter_rate=lambda _: 0.0, focus=lambda _: 30.0)
    _, parameters = attacked(sharp, PLAIN, keys(B), jnp.round(X), Y)
    assert jnp.all(jnp.isfinite(parameters.modifier))
    assert jnp.all(parameters.modifier[:, jnp.abs(PLAIN.weights) > 0.1] != 0)


@pytest.mark.slow
def test_the_first_gradient_of_a_large_penalty_is_clipped():
    """Adam's first average is a tenth of the gradient, whose norm over filters and modifier is one."""
    outside = with_leaves(SHORT, focus=lambda _: 0.0, colour_width=lambda _: 0.3)
    objective = Objective(loss=Margin()).of(PLAIN)

    @jax.jit
    def first_average():
        state = outside.init(keys(B), objective, X, Y)
        return outside.update(keys(B), 0, objective, state, X, Y).moments.mean

    squares = [jnp.sum(leaf.reshape(B, -1) ** 2, axis=1) for leaf in jax.tree.leaves(first_average())]
    np.testing.assert_allclose(jnp.sqrt(sum(squares)), 0.1, rtol=1e-4)


@pytest.mark.slow
def test_a_row_is_attacked_alike_in_any_batch():
    eot = Objective(loss=Margin(), n_draws=2)
    whole, _ = attacked(SHORT, NOISY, keys(B), X, Y, eot)
    reverse, _ = attacked(SHORT, NOISY, keys(B)[::-1], X[::-1], Y[::-1], eot)
    alone, _ = attacked(SHORT, NOISY, keys(B)[3:4], X[3:4], Y[3:4], eot)
    np.testing.assert_allclose(reverse.image[::-1], whole.image, atol=1e-5)
    np.testing.assert_allclose(alone.image[0], whole.image[3], atol=1e-5)
    assert jnp.all(whole.n_queries == 24)


@pytest.mark.slow
def test_nan_stays_in_its_own_row_and_is_no_success():
    result, parameters = attacked(SHORT, NanInTheDark(PLAIN), keys(B), X.at[2].set(0.1), Y)
    np.testing.assert_array_equal(jnp.any(jnp.isnan(parameters.modifier), axis=(1, 2, 3)), jnp.arange(B) == 2)
    assert result.broken[2] == 0 and result.loss[2] == -jnp.inf


@pytest.mark.slow
def test_three_bounds_are_one_trace_and_a_larger_one_gives_a_larger_loss():
    traces = []

    @jax.jit
    def traced(attack):
        traces.append(1)
        return attack.result(state_after(attack, Objective(loss=Margin()).of(PLAIN), keys(B), X, Y)).loss

    losses = [traced(with_leaves(SHORT, bound=lambda b, k=k: k * b)) for k in (1, 4, 16)]
    assert jnp.all(losses[1] > losses[0]) and jnp.all(losses[2] >= losses[1]) and len(traces) == 1


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("n_steps", 0, "n_steps must be at least 1, got 0"),
        ("sizes", (5, 4), r"odd numbers of pixels, got \(5, 4\): use \(5, 7, 5, 3\)"),
        ("sizes", (), r"odd numbers of pixels, got \(\)"),
        ("bound", -0.1, "must not be negative .* got -0.1 and 0.05"),
        ("colour_width", 0.0, "must be above 0, got 0.05 and 0.0"),
    ],
)
def test_filters_that_cannot_be_are_refused(field, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(Filtered(SquaredDifference()), **{field: value})


@pytest.mark.slow
def test_a_real_classifier_falls_within_a_real_perceptual_distance(tmp_path):
    """A CIFAR-10 ResNet and LPIPS on SqueezeNet, which begin from a first image that is already valid."""
    heads, backbone = (shared(f"data/checkpoints/{name}.pth") for name in ("lpips_v0.1_squeeze", SQUEEZENET))
    main(["convert", str(heads), "--family", "lpips", "--backbone", str(backbone), "--out", str(tmp_path)])
    main(
        [
            "convert",
            str(shared("data/checkpoints/resnet20-12fca82f.th")),
            "--family",
            "cifar-resnet",
            "--out",
            str(tmp_path),
        ]
    )
    lpips, classify = (Pretrained(str(tmp_path / name)).load() for name in ("lpips_v0.1_squeeze", "resnet20-12fca82f"))
    rows = take(Npz(str(shared("data/cifar10_test.npz")), stop=8), range(8))
    x, y = jnp.asarray(rows["image"]), jnp.asarray(rows["label"])
    distance = Perceptual(lpips, size=64)
    attack, objective = Filtered(distance, n_steps=30), Objective(loss=Margin()).of(predictor(classify))
    update, state = jax.jit(attack.update), attack.init(keys(8), objective, x, y)
    for i in range(attack.n_iterations):
        state = update(keys(8), i, objective, state, x, y)
        if i == 0:
            first = attack.result(state)
    result = attack.result(state)
    assert jnp.all(distance(2 * x - 1, 2 * result.image - 1) <= 0.05 + 1e-5)
    assert jnp.all(jnp.isfinite(first.loss)) and jnp.mean(first.broken) <= 0.25 and jnp.mean(result.broken) >= 0.75
