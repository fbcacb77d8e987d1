"""A prepared tensorflow-datasets directory: seven grey-valued colour images of 9 x 8, in three classes."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ssni_jax.data import Source, TfdsDirectory, evaluation_batches

TOY = str(Path(__file__).parent / "toy_tfds")


def test_it_reads_pixels_labels_and_counts():
    source = TfdsDirectory(TOY)
    assert isinstance(source, Source)
    assert (len(source), source.n_classes, source.image_shape) == (7, 3, (9, 8, 3))
    shades = sorted(round(float(source[i]["image"].mean()) * 255) for i in range(7))
    assert shades == [0, 20, 40, 60, 80, 100, 120]
    for i in range(7):
        assert source[i]["label"] == round(float(source[i]["image"].mean()) * 255) // 20 % 3


def test_it_resizes_and_makes_batches():
    batches = list(evaluation_batches(TfdsDirectory(TOY, size=4), 4))
    assert [batch["image"].shape for batch in batches] == [(4, 4, 4, 3)] * 2
    assert int(sum(batch["mask"].sum() for batch in batches)) == 7


def test_another_directory_split_or_format_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no dataset_info.json: give the versioned directory"):
        len(TfdsDirectory(str(tmp_path)))
    with pytest.raises(ValueError, match="no split 'train': choose one of test"):
        len(TfdsDirectory(TOY, split="train"))
    other = tmp_path / "toy"
    shutil.copytree(TOY, other)
    info = json.loads((other / "dataset_info.json").read_text())
    (other / "dataset_info.json").write_text(json.dumps({**info, "fileFormat": "riegeli"}))
    with pytest.raises(ValueError, match="stored as riegeli: prepare it again with file_format='array_record' or"):
        len(TfdsDirectory(str(other)))
    (other / "dataset_info.json").write_text(json.dumps(info))
    (other / "features.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no features\.json"):
        len(TfdsDirectory(str(other)))


def test_a_directory_of_an_older_release_is_read(tmp_path):
    """Before 4.6 features.json had classes and their content, and dataset_info.json no names of files."""
    other = tmp_path / "toy"
    shutil.copytree(TOY, other)
    info = json.loads((other / "dataset_info.json").read_text())
    del info["splits"][0]["filepathTemplate"]
    (other / "dataset_info.json").write_text(json.dumps(info))
    image = {"type": "Image", "content": {"shape": [None, None, 3], "dtype": "uint8", "encoding_format": "png"}}
    label = {"type": "ClassLabel", "content": '{"numClasses": "3"}', "proto_cls": "ClassLabel"}
    features = {"type": "FeaturesDict", "content": {"image": image, "label": label}}
    (other / "features.json").write_text(json.dumps(features))
    assert TfdsDirectory(str(other)).fingerprint == TfdsDirectory(TOY).fingerprint
    assert TfdsDirectory(str(other)).n_classes == 3


@pytest.mark.parametrize(
    ("image", "sentence"),
    [
        ({"shape": {"dimensions": ["-1", "-1", "4"]}}, "have 4 channels: prepare them with 1"),
        ({"shape": {"dimensions": ["8", "8", "3"]}, "dtype": "float32"}, "images of type float32"),
        ({}, "does not describe a data set of images and labels"),
    ],
)
def test_images_of_another_kind_are_named(tmp_path, image, sentence):
    other = tmp_path / "toy"
    shutil.copytree(TOY, other)
    features = {"image": {"image": image}, "label": {"classLabel": {"numClasses": "3"}}}
    (other / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
    with pytest.raises(ValueError, match=sentence):
        TfdsDirectory(str(other)).n_classes  # noqa: B018


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("toy-test.array_record-00000-of-00001", lambda content: content[: len(content) // 2]),
        ("toy-test.array_record-00000-of-00001", lambda content: content[:-10]),
        ("toy-test.array_record-00000-of-00001", lambda content: b"garbage" * 400),
        ("toy-test.array_record-00000-of-00001", lambda content: b""),
        ("dataset_info.json", lambda content: content[:-10]),
        ("features.json", lambda content: b"{}"),
    ],
)
def test_a_damaged_directory_is_named(tmp_path, name, damage):
    other = tmp_path / "toy"
    shutil.copytree(TOY, other)
    (other / name).write_bytes(damage((other / name).read_bytes()))
    with pytest.raises(ValueError, match=f"{other}.*: copy the directory again") as error:
        TfdsDirectory(str(other))[0]
    assert "\n" not in str(error.value)


def test_pixels_are_floats_in_the_unit_range():
    image = TfdsDirectory(TOY)[0]["image"]
    assert image.dtype == np.float32 and image.min() >= 0 and image.max() <= 1
