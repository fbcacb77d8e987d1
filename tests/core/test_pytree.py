import dataclasses

import jax
import jax.numpy as jnp
import pytest

from ssni_jax.core.pytree import pytree, static


@pytree
class Ramp:
    slope: float
    n: int = static(default=2)
    offset: float = 0.5

    def __post_init__(self):
        if self.slope < 0:
            raise ValueError("A slope is not negative.")

    def __call__(self, x):
        return self.slope * x + self.offset * self.n


def test_numbers_are_leaves_and_static_fields_are_structure():
    assert jax.tree.leaves(Ramp(3.0)) == [3.0, 0.5]
    assert jax.tree.structure(Ramp(3.0)) == jax.tree.structure(Ramp(9.0, offset=1.0))
    assert jax.tree.structure(Ramp(3.0)) != jax.tree.structure(Ramp(3.0, n=3))


def test_leaves_go_by_their_field_names():
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(Ramp(3.0))[0]]
    assert paths == [".slope", ".offset"]


def test_a_round_trip_keeps_every_field():
    there_and_back = jax.tree.unflatten(*reversed(jax.tree.flatten(Ramp(3.0, n=4, offset=1.5))))
    assert dataclasses.astuple(there_and_back) == (3.0, 4, 1.5)


def test_construction_is_checked_and_rebuilding_is_not():
    with pytest.raises(ValueError, match="slope"):
        Ramp(-1.0)
    assert jax.tree.map(lambda leaf: None, Ramp(1.0)).slope is None
    assert jax.tree.map(lambda leaf: -leaf, Ramp(1.0)).slope == -1.0


def test_a_value_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Ramp(1.0).slope = 2.0  # pyright: ignore[reportAttributeAccessIssue]


def test_a_value_goes_through_jit_vmap_and_grad():
    assert jax.jit(lambda ramp: ramp)(Ramp(2.0))(1.0) == 3.0
    assert jax.grad(lambda ramp: ramp(5.0))(Ramp(2.0)).slope == 5.0
    many = jax.tree.map(lambda leaf: leaf * jnp.arange(3.0), Ramp(2.0))
    assert jax.vmap(lambda ramp: ramp(5.0))(many).tolist() == [0, 11, 22]
