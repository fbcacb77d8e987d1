"""Images of 8 bits around images of 8 bits stay in the ball, and a disk without room is refused before work starts."""

import dataclasses
from collections import namedtuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import L1, L2, Linf
from ssni_jax.data.source import as_float
from ssni_jax.jobs.kept_images import as_stored, in_eight_bits, room_for
from tests.configs.toy import evaluation
from tests.kit import images, keys

CLEAN = jnp.asarray(as_float(as_stored(np.asarray(images(8)), "uint8")))


@pytest.mark.parametrize("threat", [Linf(8 / 255), Linf(0.0141), L2(0.2), L1(0.5)], ids=repr)
def test_rounding_towards_the_clean_image_stays_in_every_ball(threat):
    attacked = jax.jit(threat.spread)(keys(8), CLEAN)
    rounded = in_eight_bits(attacked, CLEAN)
    np.testing.assert_array_equal(rounded, as_float(as_stored(np.asarray(rounded), "uint8")))
    assert np.all(threat.norm(rounded - CLEAN) <= threat.eps * (1 + 1e-5))
    assert np.all(np.abs(rounded - attacked) < 1 / 255 + 1e-6) and np.any(rounded != CLEAN)


def test_whole_levels_are_kept():
    moved = jnp.clip(CLEAN + 8 / 255 * jnp.sign(images(8, seed=1) - 0.5), 0, 1)
    np.testing.assert_allclose(in_eight_bits(moved, CLEAN), moved, atol=1e-6)


def test_a_disk_without_room_is_refused_in_a_sentence(tmp_path, monkeypatch):
    experiment = dataclasses.replace(evaluation, keep_images="float32")
    monkeypatch.setattr("shutil.disk_usage", lambda path: namedtuple("Usage", "free")(1_000_000))
    n_bytes = 4 * np.prod(experiment.images.image_shape)
    n = 500_000 // int(n_bytes)
    assert room_for(experiment, n, 1, tmp_path).endswith("as float32; 1 MB are free")
    with pytest.raises(ValueError, match=r"take up to 1\.5 MB as float32, and .* has 1 MB free: choose a --workdir"):
        room_for(experiment, n, 3, tmp_path)
    assert "take up to 375 kB as uint8" in room_for(
        dataclasses.replace(experiment, keep_images="uint8"), n, 3, tmp_path
    )


def test_another_type_is_refused_and_not_taken_for_float32():
    other = dataclasses.replace(evaluation)
    object.__setattr__(other, "keep_images", "float16")  # the suite checks annotations, a user's config does not
    with pytest.raises(ValueError, match='keep_images must be "float32" or "uint8", got \'float16\''):
        other.__post_init__()
