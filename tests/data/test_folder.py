import shutil
from pathlib import Path

import numpy as np
import pytest

from ssni_jax.data import ImageFolder, Source, hashing, take, write_image


@pytest.fixture
def make(tmp_path):
    def write(*names, shape=(4, 4, 3)):
        for value, name in enumerate(names):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, np.full(shape, value / 255))
        return str(tmp_path)

    return write


def test_class_subfolders_are_labels_in_sorted_order(make):
    folder = ImageFolder(make("dog/b.png", "cat/z.png", "dog/a.png"))
    assert folder.classes == ("cat", "dog") and folder.n_classes == 2 and isinstance(folder, Source)
    assert [(folder.files[i].name, folder[i]["label"], folder[i]["id"]) for i in range(3)] == [
        ("z.png", 0, 0),
        ("a.png", 1, 1),
        ("b.png", 1, 2),
    ]
    np.testing.assert_allclose(folder[1]["image"], 2 / 255, rtol=1e-6)


def test_a_flat_folder_has_no_labels(make):
    folder = ImageFolder(make("b.png", "a.png"))
    assert [folder[i]["label"] for i in range(len(folder))] == [-1, -1] and folder.n_classes == 0


def test_labels_can_lead_the_names(make):
    folder = ImageFolder(make("0012_fish.png", "7-bird.png"), labels="name")
    assert [folder[i]["label"] for i in range(2)] == [12, 7] and folder.n_classes == 13


def test_a_size_makes_one_shape_of_all(make):
    path = make("a.png", shape=(4, 7, 3))
    make("b.png", shape=(9, 5, 3))
    assert take(ImageFolder(path, size=4), [0, 1])["image"].shape == (2, 4, 4, 3)
    assert ImageFolder(path, size=4).image_shape == (4, 4, 3)


def test_the_fingerprint_follows_the_files(make):
    path = make("a.png")
    before = ImageFolder(path).fingerprint
    assert ImageFolder(path, size=4).fingerprint == before
    (Path(path) / "a.png").touch()
    assert ImageFolder(path).fingerprint == before
    make("a.png", shape=(5, 5, 3))
    assert ImageFolder(path).fingerprint != before


def test_the_fingerprint_is_that_of_the_content_wherever_it_lies(make, tmp_path, monkeypatch):
    """Names, labels and bytes; a file is read once, and a cache that cannot be written is no error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = str(Path(make("in/cat/a.png", "in/dog/b.png")) / "in")
    shutil.copytree(path, tmp_path / "copy")
    first = ImageFolder(path).fingerprint
    assert ImageFolder(str(tmp_path / "copy")).fingerprint == first
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 2
    monkeypatch.setattr(hashing, "_sha256", lambda file: pytest.fail(f"{file} was read again"))
    assert ImageFolder(path).fingerprint == first
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert ImageFolder(path).fingerprint == first
    shutil.copytree(path, tmp_path / "other")
    (tmp_path / "other" / "dog").rename(tmp_path / "other" / "ant")
    assert ImageFolder(str(tmp_path / "other")).fingerprint != first


def test_images_of_several_sizes_need_a_size(make):
    path = make("a.png")
    make("b.png", shape=(5, 4, 3))
    with pytest.raises(ValueError, match=r"image 1 has shape .* give the source a size"):
        take(ImageFolder(path), [0, 1])


def test_a_folder_without_images_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(FileNotFoundError, match="holds no PNG or JPEG file"):
        len(ImageFolder(str(tmp_path)))
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        len(ImageFolder(str(tmp_path / "absent")))


def test_loose_images_beside_class_folders_are_refused(make):
    with pytest.raises(ValueError, match=r"both class subfolders and loose images; move b\.png into one"):
        len(ImageFolder(make("cat/a.png", "b.png")))


def test_names_without_a_number_are_refused_as_labels(make):
    with pytest.raises(ValueError, match=r"fish\.png does not begin with a number"):
        ImageFolder(make("fish.png"), labels="name")[0]
