import json

import numpy as np
import pytest

from ssni_jax.data import Digits, ImageFolder, evaluation_batches, padded, training_batches, write_image
from ssni_jax.data.loader import AHEAD_BYTES, Shuffled, batches_ahead

SOURCE = Digits("calibration")


def ids_of(batches, n):
    return [next(batches)["id"] for _ in range(n)]


def test_every_epoch_covers_every_row_once_in_an_order_of_its_own():
    seen = np.concatenate(ids_of(training_batches(SOURCE, 50), 8))
    first, second = seen[:200], seen[200:]
    assert sorted(first) == sorted(second) == list(range(200))
    assert not np.array_equal(first, second) and not np.array_equal(first, np.arange(200))


def test_a_batch_may_cross_epochs_and_no_row_is_lost():
    seen = np.concatenate(ids_of(training_batches(SOURCE, 150), 4))
    assert sorted(seen[:200]) == sorted(seen[200:400]) == sorted(seen[400:]) == list(range(200))


@pytest.mark.parametrize("process_count", [2, 4])
def test_processes_share_each_global_batch_without_overlap(process_count):
    alone = training_batches(SOURCE, 40, seed=3)
    shares = [training_batches(SOURCE, 40, 3, process, process_count) for process in range(process_count)]
    for expected in ids_of(alone, 6):
        np.testing.assert_array_equal(np.concatenate([next(share)["id"] for share in shares]), expected)


def test_a_restored_position_continues_exactly_and_is_plain_json():
    batches = training_batches(SOURCE, 30, seed=1)
    ids_of(batches, 9)
    position = json.loads(json.dumps(batches.get_state()))
    expected = ids_of(batches, 5)
    again = training_batches(SOURCE, 30, seed=1)
    again.set_state(position)
    np.testing.assert_array_equal(ids_of(again, 5), expected)


def test_the_seed_alone_decides_the_order():
    one, same, other = (np.stack(ids_of(training_batches(SOURCE, 20, seed), 3)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_the_order_is_fixed_for_ever():
    assert Shuffled(SOURCE, 5, seed=0).ids(0).tolist() == [62, 179, 130, 189, 145]


def test_batches_hold_the_rows_they_name():
    batch = next(training_batches(SOURCE, 8))
    assert {name: (value.dtype.name, value.shape) for name, value in batch.items()} == {
        "image": ("float32", (8, 8, 8, 1)),
        "label": ("int32", (8,)),
        "id": ("int32", (8,)),
    }
    for row, i in enumerate(batch["id"]):
        np.testing.assert_array_equal(batch["image"][row], SOURCE[int(i)]["image"])
        assert batch["label"][row] == SOURCE[int(i)]["label"]


def test_files_are_loaded_like_arrays(tmp_path):
    for value in range(6):
        write_image(tmp_path / f"{value}.png", np.full((4, 4, 3), value / 255))
    batches = training_batches(ImageFolder(str(tmp_path), labels="name"), 4)
    for _ in range(3):
        batch = next(batches)
        np.testing.assert_allclose(batch["image"][:, 0, 0, 0] * 255, batch["id"], rtol=1e-5)
        np.testing.assert_array_equal(batch["label"], batch["id"])


@pytest.mark.parametrize("process_count", [1, 2])
def test_evaluation_sees_every_row_exactly_once_in_batches_of_one_shape(process_count):
    seen = []
    for process in range(process_count):
        for batch in evaluation_batches(SOURCE, 64, None, process, process_count):
            assert batch["image"].shape == (64 // process_count, 8, 8, 1)
            seen.extend(batch["id"][batch["mask"]])
    assert sorted(seen) == list(range(200))


def test_evaluation_can_be_given_the_rows_that_are_left():
    batches = list(evaluation_batches(SOURCE, 4, ids=[9, 2, 5, 7, 1]))
    assert [batch["id"].tolist() for batch in batches] == [[9, 2, 5, 7], [1, 1, 1, 1]]
    assert [batch["mask"].tolist() for batch in batches] == [[True] * 4, [True, False, False, False]]
    assert list(evaluation_batches(SOURCE, 4, ids=[])) == []


def test_padding_repeats_the_last_row_and_masks_it():
    batch = padded({"image": np.arange(3.0), "id": np.arange(3)}, 5)
    assert batch["id"].tolist() == [0, 1, 2, 2, 2] and batch["mask"].tolist() == [True] * 3 + [False] * 2


@pytest.mark.parametrize("n", [0, 4])
def test_a_batch_that_cannot_be_padded_is_refused(n):
    with pytest.raises(ValueError, match=f"a batch of {n} rows"):
        padded({"id": np.zeros(n)}, 3)


@pytest.mark.parametrize("size", [0, 7])
def test_a_batch_must_divide_over_the_processes(size):
    with pytest.raises(ValueError, match="choose a multiple"):
        training_batches(SOURCE, size, process_count=2)


@pytest.mark.parametrize("ids", [[200], [-1]])
def test_rows_outside_the_source_are_refused(ids):
    with pytest.raises(ValueError, match="has rows 0 to 199"):
        list(evaluation_batches(SOURCE, 2, ids))


def test_reading_ahead_is_bounded_in_bytes():
    """32 batches of 64 ImageNet crops would be 1.2 GB."""
    assert batches_ahead((224, 224, 3), 64, 16) * 64 * 224 * 224 * 3 * 4 <= AHEAD_BYTES
    assert batches_ahead((8, 8, 1), 64, 16) == 32
    assert batches_ahead((512, 512, 3), 1024, 16) == 2
