import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.training import Augment, Mirror, Shift
from ssni_jax.training.augment import augmented

X = jnp.asarray(np.random.RandomState(0).uniform(size=(32, 6, 5, 2)), jnp.float32)
KEYS = jax.random.split(jax.random.key(0), 32)


def shifts(image, p):
    padded = np.pad(image, ((p, p), (p, p), (0, 0)), "edge")
    height, width = image.shape[:2]
    return [padded[i : i + height, j : j + width] for i in range(2 * p + 1) for j in range(2 * p + 1)]


def test_a_shift_is_one_of_the_crops_of_the_edge_padded_image_and_all_occur():
    found = set()
    for before, after in zip(np.asarray(X), np.asarray(Shift(1)(KEYS, X)), strict=True):
        matches = [n for n, crop in enumerate(shifts(before, 1)) if np.array_equal(crop, after)]
        assert len(matches) == 1
        found.update(matches)
    assert len(found) == 9


def test_a_mirror_turns_about_half_of_the_images():
    out = np.asarray(Mirror()(KEYS, X))
    turned = [np.array_equal(a[:, ::-1], b) for a, b in zip(np.asarray(X), out, strict=True)]
    kept = [np.array_equal(a, b) for a, b in zip(np.asarray(X), out, strict=True)]
    assert all(t != k for t, k in zip(turned, kept, strict=True)) and 6 < sum(turned) < 26


@pytest.mark.parametrize("augment", [Shift(2), Mirror()])
def test_a_row_follows_from_its_key_alone(augment):
    np.testing.assert_array_equal(augment(KEYS, X)[3:5], augment(KEYS[3:5], X[3:5]))
    assert isinstance(augment, Augment)


def test_no_augmentation_leaves_the_images_alone():
    np.testing.assert_array_equal(augmented((), KEYS, X), X)
    np.testing.assert_array_equal(Shift(0)(KEYS, X), X)
