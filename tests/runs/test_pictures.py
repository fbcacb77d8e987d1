"""Pictures keep their pixels."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ssni_jax.journal.pictures import LINF, grids, load_pictures, picture_ids, png, save_pictures
from ssni_jax.journal.workdir import load_all


def pixels(source):
    head, content = source.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_small_image_is_enlarged_so_that_each_pixel_is_a_square(channels):
    x = np.random.default_rng(0).random((8, 8, channels))
    shown = pixels(png(x))
    assert shown.shape[:2] == (128, 128)
    squares = shown.reshape(8, 16, 8, 16, channels)
    np.testing.assert_array_equal(squares, np.broadcast_to(np.round(255 * x)[:, None, :, None], squares.shape))


def test_a_large_image_keeps_its_size_and_out_of_range_values_are_clipped():
    x = np.linspace(-1, 2, 150 * 140 * 3).reshape(150, 140, 3)
    shown = pixels(png(x))
    assert shown.shape == (150, 140, 3)
    np.testing.assert_array_equal(shown[:50], 0)
    np.testing.assert_array_equal(shown[100:], 255)


def test_pictures_come_back_at_half_precision(tmp_path):
    x = np.random.default_rng(0).random((4, 4, 3)).astype(np.float32)
    save_pictures(tmp_path, 12, clean=x, purified=1 - x)
    stored = load_pictures(tmp_path, 12)
    assert picture_ids(tmp_path) == [12]
    assert set(stored) == {"clean", "purified"}
    np.testing.assert_allclose(stored["clean"], x, atol=1e-3)
    assert load_pictures(tmp_path, 13) == {}


def test_the_grid_has_a_row_a_defence_and_says_what_each_said(workdir):
    parent = workdir("diffpure", n=4).parent
    workdir("ssni-n", n=4)
    shown = grids(load_all(parent))
    assert [grid["id"] for grid in shown] == [0, 1]
    assert [row["defense"] for row in shown[0]["rows"]] == ["diffpure", "ssni-n"]
    record = load_all(parent)[1].records[0]
    clean, purified_clean, adversarial, noised, purified = shown[0]["rows"][1]["cells"]
    assert clean.lines == [f"label {record['label']}"]
    assert purified_clean.lines[0] == f"defence: {record['clean_prediction']}"
    assert purified_clean.correct == (record["clean_prediction"] == record["label"])
    assert adversarial.lines == [f"bare classifier: {record['undefended_prediction']}", f"{LINF} 8.0/255"]
    assert noised.lines == [f"t {record['adversarial_t'][0]:.3f}", f"norm {record['adversarial_norm']:.0f}"]
    assert purified.lines[0] == f"defence: {record['adversarial_prediction']}"


def test_a_wrong_or_invalid_answer_is_never_marked_right(workdir, record):
    results = load_all(workdir("ssni-n", n=1))[0]

    def marks(**changes):
        cells = grids([results._replace(records=[record(0, **changes)])])[0]["rows"][0]["cells"]
        return [cell.correct for cell in cells]

    assert marks() == [None, True, False, None, True]
    assert marks(clean_prediction=8, undefended_prediction=3) == [None, False, True, None, True]
    assert marks(adversarial_prediction=8) == [None, True, False, None, False]
    assert marks(valid=False, undefended_prediction=3) == [None, False, False, None, False]


def test_images_with_pictures_in_most_defences_come_first(workdir):
    workdir("diffpure", n=4)
    path = workdir("ssni-n", n=4)
    (path / "pictures" / "0.npz").unlink()
    assert [grid["id"] for grid in grids(load_all(path.parent))] == [1, 0]


def test_large_pictures_are_fewer(workdir, monkeypatch):
    results = load_all(workdir("ssni-n", n=4))
    one_image = 5 * 8 * 8
    monkeypatch.setattr("ssni_jax.journal.pictures.MAX_VALUES", 2 * one_image)
    assert [grid["id"] for grid in grids(results)] == [0, 1]
    monkeypatch.setattr("ssni_jax.journal.pictures.MAX_VALUES", 2 * one_image - 1)
    assert [grid["id"] for grid in grids(results)] == [0]
