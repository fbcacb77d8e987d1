import ast
import dataclasses
import inspect

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ssni_jax.data import Corrupted, Npz, Source, take
from ssni_jax.data.corruptions import LARGE, SMALL, constants, corrupted
from ssni_jax.data.distortions import DISTORTIONS, Flakes, affine, brightness, glass_blur, pixelate, snow
from ssni_jax.data.textures import crystals, disk, magnified, moved, plasma

ALL = pytest.mark.parametrize("name", DISTORTIONS)


def scenes(n, side, channels=3):
    """Smooth colours with edges, as photographs have, in 8 bits."""
    noise = np.random.RandomState(0).standard_normal((n, side, side, channels))
    smooth = gaussian_filter(noise, (0, side / 12, side / 12, 0))
    smooth = 0.5 + 0.18 * smooth / smooth.std()
    edges = 0.12 * np.sign(gaussian_filter(noise, (0, side / 8, side / 8, 0)).mean(-1, keepdims=True))
    return np.round(255 * np.clip(smooth + edges, 0, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "small.npz"
    np.savez(path, images=scenes(8, 32), labels=np.arange(8) % 3)
    return Npz(str(path))


def change(source, name, severity):
    """Mean squared change of the images."""
    ids = np.arange(len(source))
    seen = take(Corrupted(source, name, severity), ids)["image"]
    return float(np.mean((seen - take(source, ids)["image"]) ** 2))


@ALL
def test_images_stay_images_and_labels_stay_labels(source, name):
    seen = Corrupted(source, name, 5)
    assert isinstance(seen, Source) and len(seen) == 8 and seen.n_classes == 3 and seen.image_shape == (32, 32, 3)
    for i in (0, 7):
        assert seen[i]["image"].shape == (32, 32, 3) and seen[i]["image"].dtype == np.float32
        assert seen[i]["label"] == source[i]["label"] and seen[i]["id"] == i
        assert seen[i]["image"].min() >= 0 and seen[i]["image"].max() <= 1


@ALL
def test_the_noise_of_an_image_follows_from_its_number(source, name):
    np.testing.assert_array_equal(Corrupted(source, name)[3]["image"], Corrupted(source, name)[3]["image"])
    image = source[3]["image"]
    same = np.array_equal(corrupted(image, name, 3, id=3), corrupted(image, name, 3, id=4))
    assert same == (name in ("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"))


@pytest.mark.parametrize("name", [name for name in DISTORTIONS if name != "elastic_transform"])
def test_a_higher_severity_changes_more(source, name):
    """The elastic transform's affine part shrinks with severity; frost, glass and snow exchange kinds of change."""
    changes = [change(source, name, severity) for severity in (1, 2, 3, 4, 5)]
    assert changes[4] > 1.2 * changes[0] > 0
    if name not in ("frost", "glass_blur", "snow"):
        assert np.all(np.diff(changes) > -0.02 * max(changes))


def test_the_elastic_transform_moves_colours_and_bends_more_with_severity(source):
    """Bending is read off a ramp, which an affine map leaves straight."""
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], (64, 1, 1))
    bent = [np.diff(corrupted(ramp, "elastic_transform", s, 0)[16:-16, 16:-16], n=2, axis=1).std() for s in (1, 3, 5)]
    assert bent[0] < 0.2 * bent[1] < 0.2 * bent[2]
    assert all(change(source, "elastic_transform", severity) > 1e-3 for severity in (1, 2, 3, 4, 5))


@ALL
@pytest.mark.parametrize("shape", [(8, 8, 1), (66, 80, 3)], ids=str)
def test_grey_images_and_other_sizes_can_be_corrupted(name, shape):
    x = scenes(1, max(shape), shape[-1])[0, : shape[0], : shape[1]].astype(np.float32) / np.float32(255)
    seen = corrupted(x, name, 4, id=0)
    assert seen.shape == shape and np.all(np.isfinite(seen)) and 0 < np.mean((seen - x) ** 2) < 0.25


def test_the_fingerprint_is_of_source_corruption_and_severity(source):
    other = dataclasses.replace(source, stop=7)
    seen = [Corrupted(source, "fog", 1), Corrupted(source, "fog", 2), Corrupted(source, "snow", 1)]
    assert len({value.fingerprint for value in [*seen, Corrupted(other, "fog", 1)]}) == 4
    assert Corrupted(source, "fog", 1).fingerprint == seen[0].fingerprint


def test_images_of_up_to_64_pixels_have_the_constants_of_cifar():
    assert constants("gaussian_noise", 5, (64, 64)) == (0.10,) and constants("gaussian_noise", 5, (64, 65)) == (0.38,)
    np.testing.assert_allclose(constants("elastic_transform", 5, (32, 32)), (3.2, 0.96, 0.96))
    np.testing.assert_allclose(constants("elastic_transform", 3, (224, 224)), (12.2, 2.44, 4.88))
    assert set(SMALL) == set(LARGE) == set(DISTORTIONS)
    assert all(len(table[name]) == 5 for table in (SMALL, LARGE) for name in table)


def test_noise_has_its_published_size():
    grey = np.full((64, 64, 3), 0.5, np.float32)
    assert abs(np.std(corrupted(grey, "gaussian_noise", 1, 0)) - 0.04) < 1e-3
    assert abs(np.std(corrupted(grey, "shot_noise", 5, 0)) - np.sqrt(0.5 / 50)) < 2e-3
    struck = corrupted(grey, "impulse_noise", 5, 0)
    assert abs(np.mean(struck != 0.5) - 0.07) < 0.01 and abs(np.mean(struck == 1) - 0.035) < 0.01
    np.testing.assert_allclose(corrupted(grey, "brightness", 2, 0), 0.6, rtol=1e-6)


def test_kernels_keep_a_constant_image_and_have_unit_sum():
    assert (
        abs(disk(3.0, 0.1).sum() - 1) < 1e-6 and disk(3.0, 0.1).shape == (17, 17) and disk(10.0, 0.5).shape == (21, 21)
    )
    assert np.count_nonzero(disk(3.0, 0.1) > 1e-6) == 29
    flat = np.full((20, 16, 3), 0.3)
    for name in ("defocus_blur", "motion_blur", "zoom_blur", "glass_blur", "elastic_transform", "contrast"):
        np.testing.assert_allclose(corrupted(flat, name, 3, 0), 0.3, atol=1e-6)


def test_motion_takes_colours_from_one_side_only():
    point = np.zeros((15, 15, 1))
    point[7, 7] = 1
    rows, columns = np.nonzero(moved(point, 3, 2.0, degrees=0.0)[..., 0])
    np.testing.assert_array_equal(rows, 7)
    np.testing.assert_array_equal(columns, np.arange(1, 8))
    assert abs(moved(point, 3, 2.0, 30.0).sum() - 1) < 1e-9


def test_a_magnified_ramp_is_flatter_around_the_same_centre():
    ramp = np.linspace(0, 1, 33)[None, :, None] * np.ones((33, 1, 1))
    large = magnified(ramp, 1.5)
    assert large.shape == ramp.shape and abs(large[16, 16, 0] - 0.5) < 0.03
    assert abs((large[0, -1] - large[0, 0])[0] - 1 / 1.5) < 0.05


def test_a_plasma_fills_the_unit_range_and_is_rougher_with_a_smaller_decay():
    smooth, rough = (plasma(np.random.RandomState(0), (40, 50), decay) for decay in (3.0, 1.2))
    assert smooth.shape == (40, 50, 1) and smooth.min() >= 0 and smooth.max() <= 1
    assert np.abs(np.diff(rough, axis=0)).mean() > 3 * np.abs(np.diff(smooth, axis=0)).mean()


def test_frost_is_bluish_and_as_bright_as_photographs_of_it():
    texture = crystals(np.random.RandomState(0), (64, 64))
    np.testing.assert_allclose(texture.mean(axis=(0, 1)), [0.57, 0.65, 0.70], atol=0.02)
    assert texture.std(axis=(0, 1)).min() > 0.08 and texture.min() >= 0 and texture.max() <= 1


def test_brightness_keeps_hue_and_saturation():
    x = np.asarray([[[0.2, 0.4, 0.1], [0.0, 0.0, 0.0], [0.9, 0.8, 0.85]]])
    np.testing.assert_allclose(
        brightness(np.random.RandomState(0), x, 0.2)[0], [[0.3, 0.6, 0.15], [0.2] * 3, [1.0, 0.8 / 0.9, 0.85 / 0.9]]
    )


def test_glass_moves_pixels_to_neighbours_without_mixing_them():
    x = np.random.RandomState(0).random_sample((12, 12, 1))
    seen = glass_blur(np.random.RandomState(1), x, 1e-3, 1, 1)
    assert set(seen.ravel()) <= set(x.ravel()) and 0.3 < np.mean(seen != x) < 0.9


def test_glass_moves_pixels_in_both_directions():
    places = np.moveaxis(np.mgrid[:16, :16], 0, -1) / 16
    moves = 16 * (glass_blur(np.random.RandomState(1), places, 1e-3, 1, 1) - places)
    assert np.all(np.any(moves != 0, axis=(0, 1))) and np.median(np.abs(moves)) <= 1


def test_pixelating_leaves_as_many_colours_as_boxes():
    places = np.moveaxis(np.mgrid[:32, :32], 0, -1)[..., [0, 1, 1]] / 32
    seen = pixelate(np.random.RandomState(0), places, 0.25)
    assert len(np.unique(seen[..., 0])) == 8 == len(np.unique(seen[..., 1]))


def test_snow_falls_from_both_sides_on_a_whitened_image():
    seen = snow(np.random.RandomState(0), np.zeros((32, 32, 3)), Flakes(0.1, 0.3, 1.5, 0.5, 6, 3.0), 0.8)
    np.testing.assert_allclose(seen, seen[::-1, ::-1])
    assert seen.min() > 0.0999 and 0 < np.mean(seen > 0.101) < 1


def test_the_affine_part_moves_three_corners_of_a_square_by_at_most_its_reach():
    corners = np.array([[26, 30], [6, 30], [6, 10]])
    for seed in range(5):
        back = np.vstack([affine(np.random.RandomState(seed), (32, 40), 2.0), [0, 0, 1]])
        moves = np.linalg.solve(back, np.c_[corners, np.ones(3)].T)[:2].T - corners
        assert np.abs(moves).max() <= 2 + 1e-9 and np.abs(moves).min() > 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"corruption": "rain"}, "no corruption 'rain'; choose one of gaussian_noise, shot_noise, .*jpeg_compression"),
        ({"severity": 0}, "from 1 to 5, got 0"),
        ({"severity": 6}, "from 1 to 5, got 6"),
    ],
)
def test_unknown_corruptions_and_severities_are_refused(source, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Corrupted(source, **options)


def published(function):
    """The constants in a function of the package: the list that its severity chooses from."""
    for node in ast.walk(ast.parse(inspect.getsource(function))):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "c":
            return node.value.value.elts
    raise ValueError(f"{function} has no list of constants: read the package's source.")


@ALL
def test_the_constants_are_those_of_the_package(name):
    """Its elastic transform has constants of its own."""
    package = pytest.importorskip("imagecorruptions").corruptions
    if name == "elastic_transform":
        pytest.skip("the package replaced this corruption")
    values = [ast.unparse(element) for element in published(getattr(package, name))]
    if name == "zoom_blur":
        values = [value.removeprefix("np.arange(1, ").removesuffix(")") for value in values]
    ours = [np.hstack(row) for row in LARGE[name]]
    np.testing.assert_allclose([np.atleast_1d(ast.literal_eval(value)) for value in values], ours)
