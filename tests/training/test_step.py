import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from ssni_jax.dist import global_rows, make_mesh, rows, sharded_over_data
from ssni_jax.networks import EdmCoefficients
from ssni_jax.training import ClassificationLoss, DenoisingLoss, compile_step, make_state, make_train_step
from ssni_jax.training.step import moved_average, row_keys, warmed


class Slope(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.array([2.0]))


def squared(model, keys, batch):
    return jnp.mean(jnp.square(model.w[...] * batch["x"] - batch["y"])), {}


def test_one_step_is_the_gradient_step_done_by_hand(keys):
    tx = optax.sgd(0.1)
    graphdef, state = make_state(Slope(), tx)
    x, y = np.array([1.0, 3.0]), np.array([1.0, 0.0])
    step = make_train_step(squared, graphdef, tx, 0.5)
    state, metrics = jax.jit(step)(state, keys[:2], {"x": jnp.array(x), "y": jnp.array(y)})
    slope = np.mean(2 * (2.0 * x - y) * x)
    np.testing.assert_allclose(metrics["loss"], np.mean((2.0 * x - y) ** 2), rtol=1e-6)
    np.testing.assert_allclose(metrics["gradient_norm"], abs(slope), rtol=1e-6)
    np.testing.assert_allclose(state.params["w"][...], [2.0 - 0.1 * slope], rtol=1e-6)
    np.testing.assert_allclose(state.ema["w"][...], [0.1 * 2.0 + 0.9 * (2.0 - 0.1 * slope)], rtol=1e-6)
    assert int(state.step) == 1


def test_four_micro_batches_equal_one_batch(classifier, tx, keys, arrays):
    graphdef, state = make_state(classifier(norm=False), tx)
    one, four = (
        jax.jit(make_train_step(ClassificationLoss(noise=0.1), graphdef, tx, 0.9, n_accumulate=n))(state, keys, arrays)
        for n in (1, 4)
    )
    chex.assert_trees_all_close(jax.device_get(one), jax.device_get(four), atol=2e-6)


def test_a_batch_that_does_not_divide_into_micro_batches_is_refused(classifier, tx, keys, arrays):
    graphdef, state = make_state(classifier(), tx)
    with pytest.raises(ValueError, match="n_accumulate=3 does not divide the 16 rows"):
        make_train_step(ClassificationLoss(), graphdef, tx, 0.9, n_accumulate=3)(state, keys, arrays)


@pytest.mark.parametrize("n_accumulate", [1, 2])
def test_batch_statistics_move_with_the_step(classifier, tx, keys, batch, n_accumulate):
    graphdef, state = make_state(classifier(), tx)
    after, _ = jax.jit(make_train_step(ClassificationLoss(), graphdef, tx, 0.9, n_accumulate=n_accumulate))(
        state, keys, batch
    )
    assert float(jnp.abs(after.rest["norm"]["mean"][...]).max()) > 0
    assert float(jnp.abs(state.rest["norm"]["mean"][...]).max()) == 0


@pytest.mark.parametrize(
    "min_size",
    [pytest.param(16, id="weights in parts"), pytest.param(2**30, id="weights whole", marks=pytest.mark.slow)],
)
def test_a_step_over_eight_devices_equals_a_step_on_one(classifier, batch, min_size):
    mesh, root, tx = make_mesh(), jax.random.key(0), optax.sgd(0.1, momentum=0.9)
    graphdef, alone = make_state(classifier(), tx)
    # A copy first: device_put may share a buffer, and the step gives its state away.
    state = jax.device_put(jax.tree.map(jnp.array, alone), sharded_over_data(mesh, alone, min_size))
    places = [leaf.sharding for leaf in jax.tree.leaves(state)]
    step = make_train_step(ClassificationLoss(noise=0.1), graphdef, tx, 0.9)
    state, metrics = compile_step(step, root, mesh, like=state)(state, batch)
    alone, expected = compile_step(step, root)(alone, batch)
    assert [leaf.sharding for leaf in jax.tree.leaves(state)] == places
    assert any(not place.is_fully_replicated for place in places) == (min_size == 16)
    chex.assert_trees_all_close(jax.device_get((state, metrics)), jax.device_get((alone, expected)), atol=1e-5)


def test_the_average_warms_up_to_its_decay():
    ema, params = {"w": jnp.array([0.0])}, {"w": jnp.array([1.0])}
    for step, rate in [(0, 0.1), (10, 11 / 20), (10**6, 0.99)]:
        moved = moved_average(ema, params, warmed(0.99, jnp.array(step)))
        np.testing.assert_allclose(moved["w"], [1 - rate], rtol=1e-5)


def test_keys_differ_between_steps_and_rows_and_not_with_the_batch_size():
    root = jax.random.key(0)
    bits = [jax.random.key_data(row_keys(root, jnp.array(step), 8)) for step in (0, 1)]
    assert len(np.unique(np.concatenate(bits), axis=0)) == 16
    np.testing.assert_array_equal(jax.random.key_data(row_keys(root, jnp.array(1), 5)), bits[1][:5])


def test_a_run_traces_its_step_once(denoiser, tx, batch):
    graphdef, state = make_state(denoiser(), tx)
    loss = jax.tree_util.Partial(chex.assert_max_traces(DenoisingLoss(EdmCoefficients()).__call__, n=1))
    run = compile_step(make_train_step(loss, graphdef, tx, 0.9), jax.random.key(0))
    for _ in range(3):
        state, _ = run(state, batch)
    assert int(state.step) == 3


def test_the_step_gives_its_old_state_away(denoiser, tx, batch):
    graphdef, state = make_state(denoiser(), tx)
    kernel = state.params["conv"]["kernel"][...]
    compile_step(make_train_step(DenoisingLoss(EdmCoefficients()), graphdef, tx, 0.9), jax.random.key(0))(state, batch)
    assert kernel.is_deleted()


def test_global_rows_lie_over_the_data_axis(batch):
    mesh = make_mesh()
    assert global_rows(mesh, batch)["image"].sharding == rows(mesh)
