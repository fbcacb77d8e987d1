import dataclasses

import jax.numpy as jnp
import numpy as np

from ssni_jax.core.fingerprint import fingerprint
from ssni_jax.networks import EdmCoefficients, Preconditioned
from tests.kit import two_modes

WEIGHTS = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(3)}


def test_names_order_and_wrapping_do_not_matter():
    renamed = {"x": WEIGHTS["b"], "y": np.asarray(WEIGHTS["a"])}
    assert fingerprint(WEIGHTS) == fingerprint(renamed)
    assert fingerprint(Preconditioned(WEIGHTS, EdmCoefficients())) == fingerprint(WEIGHTS)


def test_one_changed_weight_matters():
    assert fingerprint(WEIGHTS) != fingerprint({**WEIGHTS, "b": jnp.ones(3).at[1].set(1 + 1e-6)})
    assert fingerprint(two_modes()) != fingerprint(dataclasses.replace(two_modes(), mode=-two_modes().mode))


def test_a_shape_matters():
    assert fingerprint(WEIGHTS) != fingerprint({**WEIGHTS, "a": WEIGHTS["a"].T.reshape(3, 2)})
    assert fingerprint({"a": jnp.ones((2, 3))}) != fingerprint({"a": jnp.ones((3, 2))})


def test_the_number_of_equal_arrays_matters():
    assert fingerprint([jnp.ones(3)]) != fingerprint([jnp.ones(3), jnp.ones(3)])


def test_a_network_that_knows_its_fingerprint_is_believed():
    class Stored:
        fingerprint = "abc"

    assert fingerprint(Stored()) == "abc"
