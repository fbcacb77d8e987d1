import shutil
from pathlib import Path

import numpy as np
import pytest

from ssni_jax.data import ImageFolder, Source, hashing, take, write_image
from ssni_jax.data.labels import check_labels
from ssni_jax.data.source import stacked


@pytest.fixture
def make(tmp_path):
    def write(*names, shape=(4, 4, 3)):
        for value, name in enumerate(names):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, np.full(shape, value / 255))
        return str(tmp_path)

    return write


def test_numeric_class_folders_are_numbered_by_their_number(make):
    folder = ImageFolder(make("10/b.png", "2/z.png", "10/a.png"))
    assert folder.class_map == {"2": 2, "10": 10} and folder.n_classes == 11 and isinstance(folder, Source)
    assert [(folder.names[i], folder[i]["label"], folder[i]["id"]) for i in range(3)] == [
        ("10/a.png", 10, 0),
        ("10/b.png", 10, 1),
        ("2/z.png", 2, 2),
    ]
    np.testing.assert_allclose(folder[0]["image"], 2 / 255, rtol=1e-6)


@pytest.mark.parametrize(
    ("names", "labels", "n_classes"),
    [
        (("n02123394", "n01440764", "n15075141"), [283, 0, 999], 1000),
        (("001.Albatross", "010.Ovenbird"), [1, 10], 11),
        (("truck", "cat"), [9, 3], 10),
        (("7",), [7], 8),
    ],
)
def test_a_label_follows_from_the_name_of_its_folder_alone(make, names, labels, n_classes):
    folder = ImageFolder(make(*(f"{name}/a.png" for name in names)))
    assert dict(zip(names, labels, strict=True)) == folder.class_map and folder.n_classes == n_classes


def test_names_that_say_no_label_need_the_classes(make):
    path = make("tabby/a.png", "siamese/b.png")
    folder = ImageFolder(path)
    assert folder.n_classes == 0 and folder[0]["label"] == -1
    with pytest.raises(ValueError, match=r"names that say no label: give all class names .*\('siamese', 'tabby'\)"):
        check_labels(folder, [0])
    named = ImageFolder(path, classes=("tabby", "manx", "siamese"))
    assert [named[i]["label"] for i in range(2)] == [2, 0] and named.n_classes == 3
    with pytest.raises(ValueError, match="class folder tabby is not in `classes`"):
        ImageFolder(path, classes=("siamese",))[0]


def test_two_folders_of_one_number_are_refused(make):
    with pytest.raises(ValueError, match="class folders 01 and 1 are both number 1: rename one"):
        len(ImageFolder(make("01/a.png", "1/b.png")).known_labels())


def test_a_number_that_is_no_class_is_refused(make):
    path = make("99999999999999999999/a.png")
    with pytest.raises(ValueError, match=r"class folder 9* is a number of no class"):
        ImageFolder(path).known_labels()
    with pytest.raises(ValueError, match=r"20240131120000123\.png begins with .*, which is no class"):
        ImageFolder(make("flat/20240131120000123.png") + "/flat", labels="name").known_labels()


def test_hidden_files_and_what_systems_leave_are_ignored(make):
    hidden = (".ipynb_checkpoints/x.png", "0/._a.png", "1/.thumbnails/a.png", "__MACOSX/0/a.png", "@eaDir/a.png")
    assert ImageFolder(make("0/a.png", "1/b.png", *hidden)).names == ("0/a.png", "1/b.png")


def test_other_files_are_named_as_skipped(make, tmp_path):
    folder = ImageFolder(make("0/a.png"))
    (tmp_path / "0" / "labels.txt").write_text("none")
    (tmp_path / "0" / "b.heic").write_text("none")
    assert folder.summary == "1 class folders: 0 = 0\n2 files are no images and not read: 0/b.heic, 0/labels.txt"


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (("train/0/a.png", "val/0/a.png"), "holds the parts of a data set, train, val: give one, such as .*/val"),
        (("test/0/a.png",), "holds the parts of a data set, test"),
        (("images/0/a.png", "images/1/a.png"), "holds the one folder images, which holds others: give .*/images"),
    ],
)
def test_a_root_that_is_one_level_too_high_is_recognised(make, names, sentence):
    with pytest.raises(ValueError, match=sentence):
        ImageFolder(make(*names)).class_map  # noqa: B018


def test_a_zip_archive_is_read_as_its_folder(make, tmp_path):
    path = Path(make("in/0/a.png", "in/3/b.png", "in/__MACOSX/0/a.png")) / "in"
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", path)
    packed, folder = ImageFolder(archive), ImageFolder(str(path))
    assert packed.names == folder.names and packed.fingerprint == folder.fingerprint
    np.testing.assert_array_equal(take(packed, [0, 1])["image"], take(folder, [0, 1])["image"])


def test_a_damaged_zip_archive_is_named(make, tmp_path):
    path = Path(make("in/0/a.png"))
    archive = Path(shutil.make_archive(str(path / "packed"), "zip", path / "in"))
    content = bytearray(archive.read_bytes())
    content[content.index(b"0/a.png") + 30] ^= 1
    (path / "flipped.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"0/a\.png cannot be unpacked"):
        ImageFolder(str(path / "flipped.zip"))[0]
    (path / "cut.zip").write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(ValueError, match="neither a folder nor a zip archive"):
        len(ImageFolder(str(path / "cut.zip")))


def test_links_are_followed_and_a_circle_ends(make, tmp_path):
    path = make("in/0/a.png", "elsewhere/b.png")
    (tmp_path / "in" / "1").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "1" / "circle").symlink_to(tmp_path / "in")
    assert ImageFolder(f"{path}/in").names == ("0/a.png", "1/b.png")


def test_every_unreadable_file_is_named_before_work(make, tmp_path):
    folder = ImageFolder(make("0/a.png", "0/b.png", "1/c.png", "1/d.png"))
    for name in ("0/b.png", "1/c.png", "1/d.png"):
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"0/b\.png cannot be read .* 2 other files .*: 1/c\.png, 1/d\.png"):
        folder.fingerprint  # noqa: B018


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
    path = str(Path(make("in/1/a.png", "in/2/b.png")) / "in")
    shutil.copytree(path, tmp_path / "copy")
    first = ImageFolder(path).fingerprint
    assert ImageFolder(str(tmp_path / "copy")).fingerprint == first
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 2
    monkeypatch.setattr(hashing, "decoded", lambda *_: pytest.fail("a file was read again"))
    assert ImageFolder(path).fingerprint == first
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    assert ImageFolder(path).fingerprint == first
    shutil.copytree(path, tmp_path / "other")
    (tmp_path / "other" / "2").rename(tmp_path / "other" / "3")
    assert ImageFolder(str(tmp_path / "other")).fingerprint != first


def test_images_of_several_sizes_need_a_size(make):
    path = make("a.png")
    make("b.png", shape=(5, 4, 3))
    with pytest.raises(ValueError, match=r"image 1 has shape .* give the source a size"):
        stacked([ImageFolder(path)[i] for i in range(2)])
    with pytest.raises(ValueError, match=r"b\.png in .* has 5 x 4 pixels and a\.png has 4 x 4; give the source a size"):
        ImageFolder(path).fingerprint  # noqa: B018


def test_a_folder_without_images_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(FileNotFoundError, match="holds no image file"):
        len(ImageFolder(str(tmp_path)))
    with pytest.raises(FileNotFoundError, match="There is no folder or zip archive"):
        len(ImageFolder(str(tmp_path / "absent")))


def test_loose_images_beside_class_folders_are_refused(make):
    with pytest.raises(ValueError, match=r"both class subfolders and loose images; move b\.png into one"):
        len(ImageFolder(make("cat/a.png", "b.png")).known_labels())


def test_names_without_a_number_are_refused_as_labels(make):
    with pytest.raises(ValueError, match=r"fish\.png does not begin with a number"):
        ImageFolder(make("fish.png"), labels="name")[0]
