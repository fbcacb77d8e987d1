import dataclasses
import json

import numpy as np
import pytest

from ssni_jax.data import Digits, InMemory, Source, take

SHA256 = {
    "train": "311cdc0994c3c1db335f136627749443f11a327ae502b931d98b257256e55d2e",
    "calibration": "6b1094d71c670e6eadb7c6d7764255282547af478a113f5dca5eaa02dbc9fd5c",
    "test": "d9e00d3bc50f8d408edc42d6c1f019248fc4b2f6eaac30b215536eba942afc2c",
}


@pytest.mark.parametrize("part", SHA256)
def test_each_part_is_fixed_for_ever(part):
    assert Digits(part).fingerprint == SHA256[part]


def test_the_parts_share_no_image_and_are_all_of_them():
    parts = [Digits(part).images.reshape(-1, 64) for part in SHA256]
    assert [len(part) for part in parts] == [1197, 200, 400]
    every = {row.tobytes() for part in parts for row in part}
    assert len(every) == 1797


def test_pixels_are_in_the_unit_range_and_use_all_of_it():
    images = Digits().images
    assert images.dtype == np.float32 and images.min() == 0 and images.max() == 1


def test_every_part_has_every_digit():
    for part in SHA256:
        assert set(Digits(part).labels.tolist()) == set(range(10))


def test_a_larger_size_is_the_bilinear_resize_with_half_pixel_centres():
    small, large = Digits("test"), Digits("test", size=16)
    assert large.image_shape == (16, 16, 1) and large[3]["image"].shape == (16, 16, 1)
    centres = (np.arange(16) + 0.5) / 2 - 0.5
    wide = np.stack([np.interp(centres, np.arange(8), row) for row in small.images[3, ..., 0]])
    expected = np.stack([np.interp(centres, np.arange(8), column) for column in wide.T]).T
    np.testing.assert_allclose(large.images[3, ..., 0], expected, atol=1e-6)
    assert small.fingerprint != large.fingerprint


def test_rows_taken_together_are_the_rows_one_by_one():
    digits = Digits("test")
    batch = take(digits, [7, 3])
    for row, i in enumerate([7, 3]):
        assert digits[i]["id"] == i == batch["id"][row] and digits[i]["label"] == batch["label"][row]
        np.testing.assert_array_equal(digits[i]["image"], batch["image"][row])


def test_the_data_cannot_be_written_over():
    with pytest.raises(ValueError, match="read-only"):
        Digits().images[0] = 0


def test_digits_are_a_source_in_memory_and_a_value_that_survives_json():
    digits = Digits("calibration", 16)
    assert isinstance(digits, Source) and isinstance(digits, InMemory)
    assert Digits(**json.loads(json.dumps(dataclasses.asdict(digits)))) == digits


def test_impossible_digits_are_refused():
    with pytest.raises(ValueError, match="size 0"):
        Digits(size=0)
