import jax
import numpy as np
import pytest

from ssni_jax.dist import global_rows, make_mesh, on_every_host, rows
from ssni_jax.dist.arrays import local_rows

BATCH = {"image": np.arange(48.0, dtype=np.float32).reshape(16, 3), "label": np.arange(16, dtype=np.int32)}


@pytest.mark.parametrize("n_model", [1, 2])
def test_a_batch_goes_onto_the_mesh_and_comes_back(n_model):
    mesh = make_mesh(n_model)
    batch = global_rows(mesh, BATCH)
    assert all(value.sharding == rows(mesh) for value in batch.values())
    for name, value in BATCH.items():
        np.testing.assert_array_equal(local_rows(batch[name]), value)
        np.testing.assert_array_equal(on_every_host(batch)[name], value)


def test_rows_that_do_not_divide_over_the_devices_are_refused():
    with pytest.raises(ValueError, match="7 rows per process do not divide over 8 devices"):
        global_rows(make_mesh(), {"id": np.arange(7)})


def test_values_are_neither_copied_between_rows_nor_reordered():
    batch = global_rows(make_mesh(), BATCH)
    for shard in batch["label"].addressable_shards:
        np.testing.assert_array_equal(shard.data, BATCH["label"][shard.index])
    assert jax.process_count() == 1
