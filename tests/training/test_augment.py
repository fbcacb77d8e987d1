import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.training import Augment, Grey, Jitter, Mirror, ResizedCrop, Shift
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


@pytest.mark.parametrize("augment", [Shift(2), Mirror(), ResizedCrop(), Jitter(), Grey()])
def test_a_row_follows_from_its_key_alone(augment):
    np.testing.assert_array_equal(augment(KEYS, X)[3:5], augment(KEYS[3:5], X[3:5]))
    assert isinstance(augment, Augment)


def test_no_augmentation_leaves_the_images_alone():
    np.testing.assert_array_equal(augmented((), KEYS, X), X)
    np.testing.assert_array_equal(Shift(0)(KEYS, X), X)


def test_a_resized_crop_is_a_magnified_part_of_the_image():
    ramp = jnp.broadcast_to(jnp.arange(16.0)[:, None, None], (32, 16, 16, 1))
    out = np.asarray(ResizedCrop(0.1)(KEYS, ramp))[:, 4:-4]  # away from the edges of the image
    slopes = np.diff(out, axis=1)
    shares = slopes.mean(axis=(1, 2, 3))
    np.testing.assert_allclose(slopes, np.broadcast_to(shares[:, None, None, None], slopes.shape), atol=1e-3)
    assert np.all(shares <= 1 + 1e-4) and shares.min() < 0.6 and np.all(shares > np.sqrt(0.1 * 0.75) - 1e-4)
    np.testing.assert_allclose(np.asarray(ResizedCrop(0.1)(KEYS, jnp.full((32, 16, 16, 1), 0.3))), 0.3, rtol=1e-5)
    with pytest.raises(ValueError, match="smallest"):
        ResizedCrop(0.0)


def test_jitter_and_grey_keep_grey_images_grey_and_change_about_their_share():
    colour = jnp.asarray(np.random.RandomState(1).uniform(size=(32, 6, 5, 3)), jnp.float32)
    for augment, share in ((Jitter(), 0.8), (Grey(0.5), 0.5)):
        changed = np.any(np.asarray(augment(KEYS, colour)) != np.asarray(colour), axis=(1, 2, 3))
        assert abs(changed.mean() - share) < 0.25
        grey = np.asarray(augment(KEYS, jnp.broadcast_to(colour[..., :1], colour.shape)))
        np.testing.assert_allclose(grey, grey.mean(-1, keepdims=True).repeat(3, -1), atol=1e-5)
        assert grey.min() >= 0 and grey.max() <= 1 + 1e-6
