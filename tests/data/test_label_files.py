"""A flat folder of ImageNet's validation images, with its labels in the forms in which they are passed around."""

import shutil

import numpy as np
import pytest
from scipy.io import savemat

from ssni_jax.core.describe import describe
from ssni_jax.data import ImageFolder, write_image
from ssni_jax.data.classes import synsets
from ssni_jax.data.labels import check_labels

NAMES = [f"ILSVRC2012_val_{i:08}" for i in (1, 2, 3)]
SYNSETS = ("n01751748", "n09193705", "n02105855")
EXPECTED = [synsets().index(name) for name in SYNSETS]
BY_SYNSET = "".join(f"{name}.JPEG {synset}\n" for name, synset in zip(NAMES, SYNSETS, strict=True))


@pytest.fixture
def folder(tmp_path):
    """The folder, and a function that writes a label file beside it."""
    for i, name in enumerate(NAMES):
        write_image(tmp_path / "val" / f"{name}.JPEG", np.full((4, 4, 3), i / 3))

    def labelled(text, name="labels.txt", **fields):
        (tmp_path / name).write_text(text)
        return ImageFolder(str(tmp_path / "val"), label_file=str(tmp_path / name), **fields)

    (tmp_path / "val").mkdir(exist_ok=True)
    return labelled


def labels_of(source):
    return [source[i]["label"] for i in range(len(source))]


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"{name}.JPEG {label}\n" for name, label in zip(NAMES, EXPECTED, strict=True)),
        "".join(f"val/{name}.JPEG\t{label}\n" for name, label in zip(NAMES[::-1], EXPECTED[::-1], strict=True)),
        BY_SYNSET,
        BY_SYNSET.replace(" ", ",").replace(".JPEG", ""),
        "\ufeffimage,synset,x,y\n" + BY_SYNSET.replace(" ", ", "),
        "ImageId,PredictionString\n"
        + "".join(f"{name},{s} 1 2 3 4 {s} 5 6 7 8 \n" for name, s in zip(NAMES, SYNSETS, strict=True)),
    ],
)
def test_lines_of_a_name_and_a_class_are_read(folder, text):
    source = folder(text)
    assert labels_of(source) == EXPECTED == source.known_labels().tolist()
    assert source.n_classes == (1000 if "n0" in text else 1 + max(EXPECTED))
    check_labels(source, range(3), 1000)


def test_numbers_alone_are_ambiguous_and_their_meaning_is_asked_for(folder, tmp_path):
    """ILSVRC2012_IDs are in another order than the published indices: reading one as the other is a silent error."""
    ids = {490: SYNSETS[0], 361: SYNSETS[1], 171: SYNSETS[2], 1001: "n00001740"}
    rows = [(number, name) for number, name in ids.items()]
    table = np.array(rows, dtype=[("ILSVRC2012_ID", object), ("WNID", object)])
    text = "490\n361\n171\n"
    with pytest.raises(
        ValueError, match=r"holds only numbers, .* a different order of classes: set numbers='index' or"
    ):
        folder(text).known_labels()
    assert labels_of(folder(text, numbers="index")) == [490, 361, 171]
    kit = folder(text, numbers="ilsvrc2012_id")
    with pytest.raises(FileNotFoundError, match=r"no .*meta\.mat, which says the classes of ILSVRC2012_IDs: put"):
        kit.known_labels()
    savemat(tmp_path / "meta.mat", {"synsets": table[:, None]})
    assert labels_of(kit) == EXPECTED and kit.n_classes == 1000
    with pytest.raises(ValueError, match="line 2: 1001 is no ILSVRC2012_ID from 1 to 1000"):
        folder("490\n1001\n171\n", "b.txt", numbers="ilsvrc2012_id").known_labels()
    with pytest.raises(ValueError, match="has 2 lines for 3 images"):
        folder("490\n361\n", "c.txt", numbers="index").known_labels()


def test_other_class_names_are_numbered_by_their_place_in_classes(folder):
    text = "".join(f"{name}.JPEG {label}\n" for name, label in zip(NAMES, ("tabby", "manx", "tabby"), strict=True))
    source = folder(text, classes=("manx", "siamese", "tabby"))
    assert labels_of(source) == [2, 0, 2] and source.n_classes == 3
    with pytest.raises(ValueError, match=r"line 2: 'manx' is neither a number from 0 nor in `classes`"):
        folder(text, "b.txt", classes=("tabby",)).known_labels()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (BY_SYNSET[25:], rf"has no line for 1 of 3 images, the first of them {NAMES[0]}\.JPEG"),
        (f"{BY_SYNSET}x.JPEG n01440764\n", "has 1 lines for images that are not there, the first of them x"),
        (f"{BY_SYNSET}{BY_SYNSET}", "has 3 more lines than images"),
        (BY_SYNSET.replace("n01751748", "n99999999"), r"labels\.txt, line 1: 'n99999999' is neither .* 1000 classes"),
        (BY_SYNSET.replace("n01751748", "-1"), "line 1: '-1' is neither a number from 0"),
        (BY_SYNSET.replace("n01751748", f"n01751748 1 1 2 2 {SYNSETS[1]}"), "has several classes"),
        (BY_SYNSET.replace("n01751748", "65 66"), r"line 1: .* has several classes \(65 66\)"),
        (f"{BY_SYNSET}x.JPEG\n", r"line 4: 'x\.JPEG' is only one word, and other lines name"),
        ("n01751748\n" * 3, "line 1: 'n01751748' is no number: give a name and a class per line"),
        ("", "has no lines"),
    ],
)
def test_a_label_file_that_does_not_fit_is_refused(folder, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        folder(text).known_labels()


def test_a_name_may_have_blanks_before_a_comma(tmp_path):
    (tmp_path / "in").mkdir()
    write_image(tmp_path / "in" / "my cat.png", np.zeros((4, 4, 3)))
    (tmp_path / "labels.csv").write_text("my cat.png,3\n")
    assert labels_of(ImageFolder(str(tmp_path / "in"), label_file=str(tmp_path / "labels.csv"))) == [3]
    with pytest.raises(FileNotFoundError, match=r"There is no label file no\.txt"):
        ImageFolder(str(tmp_path / "in"), label_file="no.txt").known_labels()


def test_two_images_of_one_name_are_refused(folder, tmp_path):
    write_image(tmp_path / "val" / f"{NAMES[0]}.png", np.zeros((4, 4, 3)))
    with pytest.raises(ValueError, match=f"two images are called {NAMES[0]}"):
        folder(BY_SYNSET).known_labels()


def test_fields_that_contradict_each_other_are_refused(folder):
    for fields, sentence in (
        ({"labels": "name"}, "both say labels: give one"),
        ({"numbers": "index"}, "names its images, so numbers = 'index' has nothing to say"),
    ):
        with pytest.raises(ValueError, match=sentence):
            folder(BY_SYNSET, **fields).known_labels()
    with pytest.raises(ValueError, match="numbers = 'index' says what a label file means: give label_file as well"):
        ImageFolder("val", numbers="index")


def test_the_labels_of_the_file_are_part_of_the_fingerprint_and_of_the_description(folder, tmp_path):
    first, second = folder(BY_SYNSET), folder(BY_SYNSET.replace(SYNSETS[0], SYNSETS[1]), "b.txt")
    assert first.fingerprint != second.fingerprint
    assert describe(first)["label_file"].endswith("labels.txt") and "summary" not in describe(first)
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "val")
    assert ImageFolder(archive, label_file=first.label_file).fingerprint == first.fingerprint
    assert first.summary == ""
