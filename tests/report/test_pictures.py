"""Pictures keep their pixels."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from ssni_jax.journal.evaluation import load_evaluated
from ssni_jax.journal.pictures import load_pictures, picture_ids, save_pictures
from ssni_jax.journal.status import load_runs
from ssni_jax.report.figures import grid
from ssni_jax.report.figures.grid import LINF, grids, png
from tests.workdirs import attacked_record, clean_record


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


def test_the_grid_has_one_row_per_defence_with_its_answers(workdir):
    parent = workdir("diffpure", n=4).parent
    workdir("ssni-n", n=4)
    runs = load_runs(parent).evaluations
    shown = grids(runs)
    assert [image["id"] for image in shown] == [0, 1]
    assert [row["defense"] for row in shown[0]["rows"]] == ["diffpure", "ssni-n"]
    record = runs[1].records[0]
    clean, purified_clean, adversarial, noised, purified = shown[0]["rows"][1]["cells"]
    assert clean.lines == [f"label {record['label']}"]
    assert purified_clean.lines[0] == f"defence: {record['clean_label']}"
    assert purified_clean.is_right == (record["clean_label"] == record["label"])
    assert adversarial.lines == [f"bare classifier: {record['undefended_label']}", f"{LINF} 8.0/255"]
    assert noised.lines == [f"t {record['adversarial_t'][0]:.3f}", f"norm {record['adversarial_norm']:.0f}"]
    n_right = record["draws"].count(record["label"])
    assert purified.lines == [f"defence: {record['answers'][0]}", f"{n_right} of 4 draws right"]


@pytest.fixture
def cells(workdir):
    """The cells of one image with this record."""
    run = load_evaluated(workdir("ssni-n", n=1))
    return lambda record: grids([run._replace(records=[record])])[0]["rows"][0]["cells"]


def test_a_wrong_or_invalid_answer_is_never_marked_right(cells):
    def marks(**changes):
        return [cell.is_right for cell in cells(attacked_record(0, **changes))]

    assert marks() == [None, True, False, None, True]
    assert marks(clean_label=8, undefended_label=3) == [None, False, True, None, True]
    assert marks(answers=[8], draws=[8]) == [None, True, False, None, False]
    assert marks(clean_label=-1, undefended_label=-1, answers=[-1], draws=[-1]) == [None, False, False, None, False]
    assert cells(attacked_record(0, clean_label=-1))[1].lines[0] == "defence: NaN"


def test_what_was_not_evaluated_has_no_caption(cells):
    assert [cell.lines for cell in cells(clean_record(0))[2:]] == [[], [], []]
    bare = {name: value for name, value in attacked_record(0).items() if name != "undefended_label"}
    assert (cells(bare)[2].lines, cells(bare)[2].is_right) == ([f"{LINF} 8.0/255"], None)


def test_images_with_pictures_in_most_defences_come_first(workdir):
    workdir("diffpure", n=4)
    path = workdir("ssni-n", n=4)
    (path / "pictures" / "0.npz").unlink()
    assert [image["id"] for image in grids(load_runs(path.parent).evaluations)] == [1, 0]


def test_large_pictures_are_fewer(workdir, monkeypatch):
    runs = [load_evaluated(workdir("ssni-n", n=4))]
    one_image = 5 * 8 * 8
    monkeypatch.setattr(grid, "MAX_VALUES", 2 * one_image)
    assert [image["id"] for image in grids(runs)] == [0, 1]
    monkeypatch.setattr(grid, "MAX_VALUES", 2 * one_image - 1)
    assert [image["id"] for image in grids(runs)] == [0]
