"""Preprocessing by name: equal to Pillow's own calls, and to torch's tensors within one grey level."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssni_jax.core.describe import describe
from ssni_jax.data import ImageFolder, write_image
from ssni_jax.data.resizing import (
    ADM_256,
    CENTRE_256,
    TIMM_224,
    TORCHVISION_224,
    AdmCrop,
    ResizeCrop,
    StoredSize,
    StraightResize,
    TensorResize,
)

# Written once by torch 2.13.0: F.interpolate(x / 255, size=(n, n), mode=..., align_corners=False, antialias=False) of
# np.random.default_rng(0).integers(0, 256, (13, 10, 3)).
TORCH = np.load(Path(__file__).parent / "torch_interpolate.npz")
PICTURE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (331, 518, 3)).astype(np.uint8))
TALL = PICTURE.transpose(Image.Transpose.ROTATE_90)


@pytest.mark.parametrize(
    ("resizing", "resample", "size", "corner"),
    [
        (TORCHVISION_224, Image.Resampling.BILINEAR, (400, 256), (88, 16)),
        (TIMM_224, Image.Resampling.BICUBIC, (400, 256), (88, 16)),
        (CENTRE_256, Image.Resampling.BILINEAR, (400, 256), (72, 0)),
        (ResizeCrop(31, 30), Image.Resampling.BILINEAR, (48, 31), (9, 0)),
    ],
)
def test_resize_and_crop_are_torchvisions(resizing, resample, size, corner):
    """518 * 256 / 331 = 400.6 is cut down, and half a pixel of the crop is rounded to the even side."""
    crop = resizing.crop
    left, top = corner
    expected = PICTURE.resize(size, resample).crop((left, top, left + crop, top + crop))
    np.testing.assert_array_equal(resizing(PICTURE), np.asarray(expected))
    turned = TALL.resize(size[::-1], resample).crop((top, left, top + crop, left + crop))
    np.testing.assert_array_equal(resizing(TALL), np.asarray(turned))
    assert resizing.side == crop


@pytest.mark.parametrize(
    ("name", "resample"), [("bilinear", Image.Resampling.BILINEAR), ("bicubic", Image.Resampling.BICUBIC)]
)
def test_a_straight_resize_cuts_nothing_off(name, resample):
    expected = np.asarray(PICTURE.resize((64, 64), resample))
    np.testing.assert_array_equal(StraightResize(64, name)(PICTURE), expected)


def test_guided_diffusion_halves_by_averages_first():
    halved = PICTURE.resize((259, 165), Image.Resampling.BOX).resize((129, 82), Image.Resampling.BOX)
    expected = halved.resize((101, 64), Image.Resampling.BICUBIC).crop((18, 0, 82, 64))
    np.testing.assert_array_equal(AdmCrop(64)(PICTURE), np.asarray(expected))
    larger = PICTURE.resize((401, 256), Image.Resampling.BICUBIC).crop((72, 0, 328, 256))
    np.testing.assert_array_equal(ADM_256(PICTURE), np.asarray(larger))


@pytest.mark.parametrize("size", [24, 7])
@pytest.mark.parametrize("name", ["bilinear", "bicubic"])
def test_tensors_are_resized_as_torch_does_it(name, size):
    y = TensorResize(size, name)(Image.fromarray(TORCH["x"]))
    np.testing.assert_allclose(y, np.clip(TORCH[f"{name}_{size}"], 0, 1), atol=1e-5)
    assert y.dtype == np.float32


def test_grey_pictures_keep_their_one_channel():
    grey = PICTURE.convert("L")
    for resizing in (StoredSize(), ResizeCrop(32, 30), StraightResize(30), AdmCrop(30), TensorResize(30)):
        assert resizing(grey).shape[2:] == (1,)


def test_a_source_resizes_as_its_field_says_and_is_described_as_before_without_it(tmp_path):
    write_image(tmp_path / "a.png", np.asarray(PICTURE) / 255)
    folder = ImageFolder(str(tmp_path), resizing=ResizeCrop(64, 50))
    assert folder.image_shape == folder[0]["image"].shape == (50, 50, 3)
    np.testing.assert_array_equal(np.round(folder[0]["image"] * 255), ResizeCrop(64, 50)(PICTURE))
    assert describe(folder)["resizing"] == {"kind": "ResizeCrop", "resize": 64, "crop": 50, "filter": "bilinear"}
    assert set(describe(ImageFolder("x", size=4))) == {"kind", "path", "size", "channels", "labels"}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ResizeCrop(224, 256), "crop = 256 is more than the shorter side after resize = 224"),
        (lambda: ResizeCrop(0, 0), "resize must be at least 1 pixel, got 0"),
        (lambda: ImageFolder("x", size=0), "size must be at least 1, or None"),
        (lambda: ImageFolder("x", size=8, resizing=AdmCrop(8)), r"size = 8 and resizing = .* both say .*: give one"),
    ],
)
def test_impossible_sizes_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
