import os
import signal
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ssni_jax.data import Digits, training_batches
from ssni_jax.dist import make_mesh, sharded_over_data
from ssni_jax.training import Checkpoints, make_state
from ssni_jax.training.checkpoint import named_leaves


@pytest.fixture
def saved(classifier, tx, tmp_path):
    _, state = make_state(classifier(), tx)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
    return state


def test_what_is_restored_is_what_was_saved(saved, tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(jax.tree.map(jnp.zeros_like, saved))
    assert jax.tree.structure(restored) == jax.tree.structure(saved)
    for one, other in zip(jax.tree.leaves(restored), jax.tree.leaves(saved), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_checkpoint_restores_onto_another_number_of_devices(saved, tmp_path):
    mesh = make_mesh(devices=jax.devices()[:4])
    like = jax.device_put(saved, sharded_over_data(mesh, saved, min_size=16))
    with Checkpoints(tmp_path) as checkpoints:
        restored = checkpoints.restore(like)
    assert restored.params["conv"]["kernel"][...].sharding == like.params["conv"]["kernel"][...].sharding
    np.testing.assert_array_equal(restored.params["conv"]["kernel"][...], saved.params["conv"]["kernel"][...])


def test_a_wider_network_is_refused_in_one_sentence(classifier, tx, saved, tmp_path):
    _, wider = make_state(classifier(n_features=9), tx)
    with (
        Checkpoints(tmp_path) as checkpoints,
        pytest.raises(ValueError, match=r"with shape \(8,\), not \(9,\)") as error,
    ):
        checkpoints.restore(wider)
    assert "\n" not in str(error.value)


def test_another_optimiser_or_network_is_refused_in_one_sentence(classifier, saved, tmp_path):
    for options, tx in [({}, optax.sgd(0.1)), ({"norm": False}, optax.adam(1e-2))]:
        with Checkpoints(tmp_path) as checkpoints, pytest.raises(ValueError, match="of another network or optimiser"):
            checkpoints.restore(make_state(classifier(**options), tx)[1])


def test_an_empty_directory_has_nothing_to_restore(classifier, tx, tmp_path):
    _, state = make_state(classifier(), tx)
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest is None
        assert checkpoints.resume(state) is state
        with pytest.raises(FileNotFoundError, match="no complete checkpoint"):
            checkpoints.restore(state)


def test_a_save_in_the_background_keeps_the_values_of_its_moment(tmp_path):
    state = {"w": jnp.zeros((1024, 1024))}
    change = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf + 1, tree), donate_argnums=0)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state)
        for _ in range(5):
            state = change(state)
        checkpoints.wait()
        assert float(jnp.abs(checkpoints.restore(state)["w"]).max()) == 0


def test_only_the_last_checkpoints_are_kept(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, {"w": jnp.full(3, step)})
        checkpoints.wait()
        assert checkpoints.latest == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


def test_batches_go_back_to_where_they_stood(tmp_path):
    batches = training_batches(Digits(), 10)
    with Checkpoints(tmp_path) as checkpoints:
        next(batches)
        checkpoints.save(1, {"w": jnp.ones(2)}, batches)
        expected = next(batches)["id"]
        again = training_batches(Digits(), 10)
        checkpoints.restore({"w": jnp.zeros(2)}, again)
    np.testing.assert_array_equal(next(again)["id"], expected)


def test_names_are_paths(classifier, tx):
    names = named_leaves(make_state(classifier(), tx)[1])
    assert "params/conv/kernel/value" in names
    assert "step" in names


@pytest.mark.slow
def test_a_process_killed_while_saving_leaves_the_step_before(tmp_path):
    script = """
        import sys
        import jax.numpy as jnp
        from ssni_jax.training.checkpoint import Checkpoints
        checkpoints = Checkpoints(sys.argv[1])
        state = {f"w{i}": jnp.full((512, 512), 1.0) for i in range(40)}
        checkpoints.save(1, state)
        checkpoints.wait()
        checkpoints.save(2, state)
        print("saving", flush=True)
        checkpoints.wait()
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "JAX_PLATFORMS": "cpu"})
    assert process.stdout is not None and process.stdout.readline() == b"saving\n"
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    like = {f"w{i}": jnp.zeros((512, 512)) for i in range(40)}
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest == 1
        assert float(checkpoints.restore(like)["w39"].min()) == 1.0
        checkpoints.save(2, like)
        checkpoints.wait()
        assert checkpoints.latest == 2
