"""Laws of preprocessing: Pillow's resizing, normalisation by channel, and refusals in a sentence."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ssni_jax.core import protocols
from ssni_jax.core.describe import describe, rebuild
from ssni_jax.core.pytree import pytree
from ssni_jax.networks import PreprocessedClassifier, Preprocessing

X = jnp.asarray(np.random.default_rng(0).random((2, 24, 24, 3)), jnp.float32)
PILLOW = {"linear": Image.Resampling.BILINEAR, "cubic": Image.Resampling.BICUBIC, "lanczos3": Image.Resampling.LANCZOS}


@pytree
class Sums:
    """A stand-in network: its logits are the sum of each channel, times a weight."""

    weight: jax.Array

    def __call__(self, x):
        return self.weight * jnp.sum(x, (1, 2))


def pillow(channel: np.ndarray, size: int, interpolation: str) -> np.ndarray:
    return np.asarray(Image.fromarray(channel).resize((size, size), PILLOW[interpolation]))


def test_every_channel_has_its_own_mean_and_std():
    mean, std = (0.1, 0.2, 0.3), (1.0, 2.0, 4.0)
    y = np.asarray(Preprocessing(mean, std)(X))
    for i in range(3):
        np.testing.assert_allclose(y[..., i], (X[..., i] - mean[i]) / std[i], atol=1e-6)


def test_one_value_serves_all_channels():
    one, three = Preprocessing((0.5,), (0.2,)), Preprocessing((0.5,) * 3, (0.2,) * 3)
    np.testing.assert_array_equal(one(X), three(X))
    np.testing.assert_array_equal(Preprocessing((0.5,) * 3, (0.2,))(X), three(X))


def test_images_of_the_right_size_are_left_alone():
    np.testing.assert_array_equal(Preprocessing(size=24)(X), X)
    np.testing.assert_array_equal(Preprocessing(size=None)(X), X)
    assert Preprocessing(size=24)(X[:, :20]).shape == Preprocessing(size=24)(X[:, :, :20]).shape == X.shape


@pytest.mark.parametrize("size", [7, 23, 60])
@pytest.mark.parametrize("interpolation", PILLOW)
def test_resizing_is_pillows_on_unrounded_pixels(interpolation, size):
    y = Preprocessing(size=size, interpolation=interpolation)(X)
    for i in range(3):
        expected = pillow(np.asarray(X[0, ..., i]), size, interpolation)
        np.testing.assert_allclose(y[0, ..., i], expected, atol=1e-5)


@pytest.mark.parametrize("size", [7, 60])
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_resizing_8_bit_images_is_pillows_to_one_grey_level(interpolation, size):
    """Where the cubic overshoots 0 or 255 Pillow clips between its two passes, and we never do."""
    grey = np.random.default_rng(1).integers(64, 192, (24, 24), np.uint8)
    y = Preprocessing(size=size, interpolation=interpolation)(jnp.asarray(grey)[None, ..., None] / 255)
    assert np.max(np.abs(np.asarray(y[0, ..., 0]) - pillow(grey, size, interpolation) / 255.0)) < 1.01 / 255


def test_without_antialiasing_a_pixel_lies_between_its_two_neighbours():
    """Halving 3:2 reads input pixels 0.25, 1.75, 3.25, ...; antialiasing would average a wider window."""
    row = jnp.broadcast_to(jnp.asarray([0.0, 1.0, 0.0, 5.0, 0.0, 3.0])[:, None], (6, 6))[None, ..., None]
    plain, wide = (Preprocessing(size=4, antialias=antialias)(row)[0, :, 0, 0] for antialias in (False, True))
    np.testing.assert_allclose(plain, [0.25, 0.25, 3.75, 2.25], atol=1e-6)
    assert float(jnp.max(jnp.abs(plain - wide))) > 0.1


@pytest.mark.parametrize("size", [24, 7])
@pytest.mark.parametrize(("interpolation", "mode"), [("linear", "bilinear"), ("torch_cubic", "bicubic")])
def test_without_antialiasing_it_is_torchs_interpolation(interpolation, mode, size):
    """What DiffPure does before the classifier; the numbers are torch's own, see tests/data/test_resizing.py."""
    torch = np.load(Path(__file__).parent.parent / "data" / "torch_interpolate.npz")
    y = Preprocessing(size=size, interpolation=interpolation, antialias=False)(jnp.asarray(torch["x"])[None] / 255)
    np.testing.assert_allclose(y[0], torch[f"{mode}_{size}"], atol=1e-5)


def test_interpolation_reaches_the_result():
    linear, cubic = (Preprocessing(size=40, interpolation=name)(X) for name in ("linear", "cubic"))
    assert float(jnp.max(jnp.abs(linear - cubic))) > 0.01


def test_a_classifier_is_an_argument_of_jit_and_new_weights_do_not_retrace():
    traces = []

    @jax.jit
    def run(classifier, x):
        traces.append(1)
        return classifier(x)

    classifier = PreprocessedClassifier(Sums(jnp.ones(3)), Preprocessing((0.5,), (0.25,), 8))
    changed = dataclasses.replace(classifier, network=Sums(jnp.asarray([1.0, 2.0, 3.0])))
    renormed = dataclasses.replace(classifier, preprocessing=Preprocessing((0.0,), (0.25,), 8))
    first = run(classifier, X)
    np.testing.assert_allclose(run(changed, X), first * jnp.asarray([1.0, 2.0, 3.0]), rtol=1e-5)
    np.testing.assert_allclose(run(renormed, X), first + 64 * 0.5 / 0.25, rtol=1e-5)
    assert len(traces) == 1 and isinstance(classifier, protocols.Classifier)


def test_the_gradient_passes_through_preprocessing():
    slope = jax.grad(
        lambda x: jnp.sum(PreprocessedClassifier(Sums(jnp.ones(3)), Preprocessing(std=(0.5,), size=12))(x))
    )(X)
    # Resizing keeps the mean, so 144 outputs divide their weight over 576 inputs.
    np.testing.assert_allclose(jnp.sum(slope, (1, 2)), 144 / 0.5, rtol=1e-4)


@pytest.mark.parametrize(("crop", "top"), [(24, 0), (15, 4), (21, 2), (17, 4)])
def test_a_crop_keeps_the_middle_as_torchvisions(crop, top):
    """Its CenterCrop rounds half the rest to even: 3 / 2 to 2, 7 / 2 and 9 / 2 to 4."""
    np.testing.assert_array_equal(Preprocessing(crop=crop)(X), X[:, top : top + crop, top : top + crop])


def test_a_crop_comes_after_resizing_and_before_normalisation():
    y = Preprocessing((0.5,), (0.25,), 32, crop=20)(X)
    resized = Preprocessing(size=32)(X)
    np.testing.assert_allclose(y, (resized[:, 6:26, 6:26] - 0.5) / 0.25, atol=1e-6)


def test_images_smaller_than_the_crop_are_refused():
    with pytest.raises(ValueError, match="images of 24 x 20 pixels have no middle of 22: give a smaller crop"):
        Preprocessing(crop=22)(X[:, :, :20])


def test_preprocessing_without_a_crop_is_described_as_before_there_were_crops():
    """So that the identity of a stored experiment and the JSON of a stored network stay what they are."""
    fields = {"mean": [0.5], "std": [1.0], "size": 24, "interpolation": "linear", "antialias": True}
    assert describe(Preprocessing((0.5,), size=24)) == {"kind": "Preprocessing", **fields}
    cropped = {"kind": "Preprocessing", **fields, "crop": 20}
    assert describe(Preprocessing((0.5,), size=24, crop=20)) == cropped
    for described in (cropped, {"kind": "Preprocessing", **fields}):
        assert describe(rebuild(described, {"Preprocessing": Preprocessing})) == described


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"std": (1.0, 0.0, 1.0)}, r"std \(1.0, 0.0, 1.0\) must be positive in every channel"),
        ({"std": (-0.5,)}, "must be positive"),
        ({"std": (float("nan"),)}, "must be positive"),
        ({"mean": (0.5, 0.5), "std": (1.0, 1.0, 1.0)}, "one value each, or one a channel"),
        ({"mean": ()}, "one value each, or one a channel"),
        ({"size": 0}, "cannot be resized to 0 pixels: give a positive size"),
        ({"crop": 0}, "the middle 0 pixels of images cannot be kept: give a crop from 1 to the size"),
        ({"size": 24, "crop": 25}, "the middle 25 pixels of images of 24 pixels cannot be kept"),
        ({"interpolation": "torch_cubic"}, "has no antialiasing: set antialias=False"),
        ({"interpolation": "bilinear"}, "is 'bilinear', but it must be one of nearest, linear, cubic"),
    ],
)
def test_impossible_preprocessing_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Preprocessing(**fields)


def test_another_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="mean and std are for 3 channels, and the images have 1: give one a channel"):
        Preprocessing((0.5,) * 3)(X[..., :1])
