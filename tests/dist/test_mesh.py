import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec

from ssni_jax.dist import make_mesh, rows, sharded_over_data, whole


@pytest.mark.parametrize(("n_model", "shape"), [(1, (8, 1)), (2, (4, 2)), (8, (1, 8))])
def test_the_mesh_holds_every_device_on_two_named_axes(n_model, shape):
    mesh = make_mesh(n_model)
    assert mesh.devices.shape == shape and mesh.axis_names == ("data", "model")
    assert mesh.axis_types == (AxisType.Auto,) * 2


def test_devices_can_be_chosen():
    assert make_mesh(devices=jax.devices()[:3]).devices.size == 3


@pytest.mark.parametrize("n_model", [0, 3, 16])
def test_a_model_axis_that_does_not_divide_the_devices_is_refused(n_model):
    with pytest.raises(ValueError, match=f"n_model={n_model} does not divide the 8 devices"):
        make_mesh(n_model)


def test_rows_are_split_and_weights_are_whole():
    mesh, x = make_mesh(), jnp.arange(16.0)
    assert [shard.data.shape for shard in jax.device_put(x, rows(mesh)).addressable_shards] == [(2,)] * 8
    assert [shard.data.shape for shard in jax.device_put(x, whole(mesh)).addressable_shards] == [(16,)] * 8


def test_rows_can_be_indexed_plainly():
    x = jax.device_put(jnp.arange(16.0), rows(make_mesh()))
    np.testing.assert_array_equal(x[jnp.array([3, 5])], [3.0, 5.0])


def test_the_largest_divisible_axis_of_a_large_array_is_split():
    shapes = {
        "kernel": jax.ShapeDtypeStruct((3, 3, 64, 128), jnp.float32),
        "odd": jax.ShapeDtypeStruct((9, 1001, 16), jnp.float32),
        "indivisible": jax.ShapeDtypeStruct((1001, 7), jnp.float32),
        "bias": jax.ShapeDtypeStruct((128,), jnp.float32),
        "step": jax.ShapeDtypeStruct((), jnp.int32),
    }
    specs = jax.tree.map(lambda place: place.spec, sharded_over_data(make_mesh(), shapes, min_size=1000))
    assert specs == {
        "kernel": PartitionSpec(None, None, None, "data"),
        "odd": PartitionSpec(None, None, "data"),
        "indivisible": PartitionSpec(),
        "bias": PartitionSpec(),
        "step": PartitionSpec(),
    }
