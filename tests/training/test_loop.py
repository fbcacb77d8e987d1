import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.data import Digits, training_batches
from ssni_jax.training import (
    Checkpoints,
    ClassificationLoss,
    Save,
    Shift,
    compile_step,
    make_state,
    make_train_step,
    train,
    usual_hooks,
)


@pytest.fixture(scope="module")
def begin(classifier, tx):
    """Starts the same run again, with the step compiled once."""
    graphdef, state = make_state(classifier(norm=False), tx)
    loss = ClassificationLoss(noise=0.1, augment=(Shift(1),))
    step = compile_step(make_train_step(loss, graphdef, tx, 0.9), jax.random.key(0))
    return lambda: (jax.tree.map(jnp.array, state), step, training_batches(Digits(), 500, seed=5))


def same(a, b):
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(begin, tmp_path):
    state, step, batches = begin()  # 6 steps cross the end of an epoch twice
    straight = train(state, step, batches, n_steps=6)
    state, step, batches = begin()
    with Checkpoints(tmp_path) as checkpoints:
        train(state, step, batches, n_steps=3, hooks=[Save(checkpoints, batches, every=3)])
    state, step, batches = begin()
    with Checkpoints(tmp_path) as checkpoints:
        state = checkpoints.resume(state, batches)
    assert int(state.step) == 3
    same(train(state, step, batches, n_steps=6), straight)


def test_a_finished_run_takes_no_further_step(begin):
    state, step, batches = begin()
    state = train(state, step, batches, n_steps=2)
    assert int(train(state, step, batches, n_steps=2).step) == 2


def test_training_learns_the_digits(begin):
    state, step, batches = begin()
    losses = []
    train(state, step, batches, n_steps=60, hooks=[lambda n, state, metrics: losses.append(metrics["loss"])])
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])


def test_every_hook_is_called_after_every_step_and_entered_once(begin):
    class Recorder:
        def __init__(self):
            self.calls = []

        def __enter__(self):
            self.calls.append("in")

        def __exit__(self, *_):
            self.calls.append("out")

        def __call__(self, n, state, metrics):
            self.calls.append((n, int(state.step)))

    recorder = Recorder()
    state, step, batches = begin()
    train(state, step, batches, n_steps=2, hooks=[recorder])
    assert recorder.calls == ["in", (1, 1), (2, 2), "out"]


def test_nothing_waits_for_the_device_between_two_reads(begin, tmp_path):
    """On the CPU a transfer guard sees no transfer, so metrics of other steps than the first and last are deleted."""
    state, step, batches = begin()
    numbers = iter(range(1, 5))

    def watched(state, batch):
        state, metrics = step(state, batch)
        if next(numbers) in (2, 3):
            jax.tree.map(lambda metric: metric.delete(), metrics)
        return state, metrics

    with Checkpoints(tmp_path) as checkpoints:
        hooks = usual_hooks(checkpoints, batches, n_steps=4, every=4, save_every=4)
        train(state, watched, batches, n_steps=4, hooks=hooks)
