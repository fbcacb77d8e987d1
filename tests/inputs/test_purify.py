"""`ssni purify`: where results go, what is skipped, and what is refused before anything is written."""

import itertools
import os
import zipfile

import numpy as np
import pytest

from ssni_jax.api import Opened, batches
from ssni_jax.commands import purify
from ssni_jax.commands.purified import noise_id, targets
from ssni_jax.data import write_image
from ssni_jax.data.images import read_image


@pytest.fixture
def run(monkeypatch):
    """The command with a purifier that darkens; gives the noise ids of each of its calls."""
    calls = []

    def darken(defense, images, seed, ids):
        calls.append(list(ids))
        return opened(images / 2)

    monkeypatch.setattr(purify, "purify_with", darken)
    monkeypatch.setattr(purify.PurifyImages, "digest", lambda self, defense: f"{self.preset} {self.seed}")

    def start(source, output, **options):
        calls.clear()
        purify.PurifyImages(source, output, **options).run([])
        return sorted(id for ids in calls for id in ids)

    return start


@pytest.fixture
def folder(tmp_path):
    for name, value in (("a.png", 0.2), ("b.png", 0.4), ("in/c.png", 0.6)):
        (tmp_path / "x" / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / "x" / name, np.full((8, 8, 1), value))
    return tmp_path / "x"


def opened(images):
    zero = np.zeros(len(images))
    return Opened(images, zero + 9, np.full((len(images), 1), 0.05), zero, zero.astype(int))


def ids(*names):
    return sorted(map(noise_id, names))


def test_a_rerun_skips_what_is_done(run, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(folder, out) == ids("a.png", "b.png", "in/c.png")
    assert run(folder, out) == [] and "3 of 3 images are purified already" in capsys.readouterr().out
    write_image(folder / "b.png", np.full((8, 8, 1), 0.8))
    (out / "a.png").unlink()
    assert run(folder, out) == ids("a.png", "b.png")
    assert run(folder, out, seed=1) == ids("a.png", "b.png", "in/c.png")
    np.testing.assert_allclose(read_image(out / "b.png", 1), 102 / 255, rtol=1e-6)
    with (out / "purified.jsonl").open("a") as file:
        file.write('\n{"image": "a.p')
    assert run(folder, out, seed=1) == []


def test_two_inputs_never_share_a_result(run, folder, tmp_path):
    out = tmp_path / "out"
    (folder / "in" / "c.png").rename(folder / "a.jpg")
    run(folder, out)
    assert sorted(path.name for path in out.iterdir()) == ["a.jpg.png", "a.png", "b.png", "purified.jsonl"]
    assert targets(["a.jpg", "a.bmp", "c.tif"]) == {"a.jpg": "a.jpg.png", "a.bmp": "a.bmp.png", "c.tif": "c.png"}
    assert targets(["A.jpg", "a.png"]) == {"A.jpg": "A.jpg.png", "a.png": "a.png"}
    with pytest.raises(ValueError, match=r"a\.png and A\.png would both be written to"):
        targets(["a.png", "A.png"])


def test_a_file_that_was_written_for_another_input_is_not_taken_for_done(run, folder, tmp_path):
    (folder / "a.png").rename(folder / "a.jpg")
    run(folder, tmp_path / "out")
    write_image(folder / "a.png", np.full((8, 8, 1), 1.0))
    assert run(folder, tmp_path / "out") == ids("a.jpg", "a.png")


def test_a_zip_archive_gives_what_its_folder_gives(run, folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name in ("a.png", "b.png", "in/c.png"):
            archive.write(folder / name, name)
    assert run(tmp_path / "x.zip", tmp_path / "out") == ids("a.png", "b.png", "in/c.png")
    assert (tmp_path / "out" / "in" / "c.png").is_file()


@pytest.mark.parametrize("output", ["x", "x/out", "x/in"])
def test_an_output_in_the_input_is_refused(run, folder, tmp_path, output):
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}
    with pytest.raises(ValueError, match="lies in the input folder"):
        run(folder, tmp_path / output)
    assert {path: path.read_bytes() for path in folder.rglob("*.png")} == before


@pytest.mark.parametrize("disguise", [lambda a, b: os.link(a, b), lambda a, b: os.symlink(a, b), lambda a, b: None])
def test_an_input_is_never_overwritten(run, folder, disguise):
    place = folder / "other.png"
    disguise(folder / "a.png", place)
    place = place if place.exists() else folder / "in" / ".." / "a.png"
    with pytest.raises(ValueError, match="would overwrite an input image: give another output"):
        run(folder / "a.png", place)
    np.testing.assert_allclose(read_image(folder / "a.png", 1), 0.2, atol=0.002)


def test_a_result_that_is_no_png_file_is_refused(run, folder, tmp_path):
    with pytest.raises(ValueError, match=r"b\.jpg would hold a PNG file: give a name that ends in \.png"):
        run(folder / "b.png", tmp_path / "b.jpg")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"is a file, and the results of .* need a folder"):
        run(folder, tmp_path / "file")


def test_one_unreadable_image_is_named_before_anything_is_written(run, folder, tmp_path):
    (folder / "in" / "c.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"in/c\.png cannot be read"):
        run(folder, tmp_path / "out")
    write_image(folder / "in" / "c.png", np.zeros((9, 8, 1)))
    with pytest.raises(ValueError, match=r"in/c\.png is 9 x 8, and the network purifies 8 x 8: pass --resize"):
        run(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert len(run(folder, tmp_path / "out", resize=True)) == 3


def test_results_appear_as_they_are_made(run, folder, tmp_path, monkeypatch):
    written = []
    whole = purify.write_purified
    monkeypatch.setattr(purify, "write_purified", lambda path, image: (written.append(path.name), whole(path, image)))
    monkeypatch.setattr(purify, "batches", lambda n, devices: [(i, i + 1, 8) for i in range(n)])
    stop = iter([False, True])

    def stopped(defense, images, seed, ids):
        if next(stop):
            raise OSError("the disk is full")
        return opened(images)

    monkeypatch.setattr(purify, "purify_with", stopped)
    with pytest.raises(OSError, match="full"):
        run(folder, tmp_path / "out")
    assert written == ["a.png"] and (tmp_path / "out" / "a.png").is_file()


def test_few_images_share_one_program():
    def rows(n, n_devices=1):
        return [n_rows for _, _, n_rows in batches(n, n_devices)]

    assert rows(4) == rows(5) == rows(6) == [8] and rows(1) == [1]
    assert rows(100) == [64] + [8] * 5 and rows(4, n_devices=2) == [8] and rows(1, n_devices=2) == [2]
    for n in (1, 7, 64, 65, 200):
        spans = [(start, stop) for start, stop, _ in batches(n, 3)]
        assert spans[0][0] == 0 and spans[-1][1] == n
        assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
