"""Predictions over a mesh are the defence's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import Linf, Pgd
from ssni_jax.core.pytree import pytree
from ssni_jax.dist import make_mesh, rows
from ssni_jax.evals.calibrate import reference_norms
from ssni_jax.evals.prediction import make_predict
from ssni_jax.evals.robust import make_attack
from ssni_jax.purify import Defense
from tests.kit import SHAPE, images, keys, recipes


@pytree
class Linear:
    weight: np.ndarray

    def __call__(self, x):
        return x.reshape(x.shape[0], -1) @ self.weight


CLASSIFY = Linear(np.random.default_rng(0).normal(size=(int(np.prod(SHAPE)), 5)).astype(np.float32))


@pytest.mark.parametrize("name", ["ssni_n diffpure_ddpm", "ssni_n rounds", "unpurified"])
@pytest.mark.parametrize("n_devices", [1, 8])
def test_a_sharded_ragged_prediction_is_the_defences_own(name, n_devices):
    defense = Defense(recipes()[name], CLASSIFY)
    found = make_predict(make_mesh(devices=jax.devices()[:n_devices]), n_slots=3)(defense, keys(16), images(16))
    expected = jax.jit(lambda defense: defense.purify.run(keys(16), images(16)))(defense)
    np.testing.assert_allclose(found.image, expected.image, atol=2e-6)
    np.testing.assert_allclose(found.logits, CLASSIFY(expected.image), atol=2e-5)
    np.testing.assert_array_equal(found.t, expected.t.T)
    np.testing.assert_array_equal(found.n_calls, expected.n_calls)


def test_reference_norms_leave_out_padding_and_do_not_depend_on_the_batch():
    deviation = recipes()["ssni_n diffpure_ddpm"].deviation
    batch = {"image": np.asarray(images(16)), "id": np.arange(16, dtype=np.int32), "mask": np.arange(16) < 13}
    whole = reference_norms(make_mesh(), deviation, [batch], seed=0)
    halves = [{name: value[part] for name, value in batch.items()} for part in (slice(0, 8), slice(8, 16))]
    assert len(whole) == 13
    np.testing.assert_allclose(reference_norms(make_mesh(), deviation, halves, seed=0), whole, rtol=1e-5)


def test_an_attack_takes_the_buffer_of_its_images_over():
    mesh = make_mesh(devices=jax.devices()[:1])
    x, y = jax.device_put((images(8), jnp.arange(8) % 5), rows(mesh))
    defense = Defense(recipes()["diffpure_ddpm"], CLASSIFY)
    attack = make_attack(mesh)(Pgd(Linf(0.1), n_steps=1), defense, keys(8), x, y)
    assert x.is_deleted() and not y.is_deleted()
    assert jnp.max(jnp.abs(attack - images(8))) > 0
