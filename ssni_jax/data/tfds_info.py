"""What dataset_info.json and features.json of a prepared data set say about its shards and features."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ssni_jax.data.shards import AGAIN, SHARDS, one_line

USUAL_NAMES = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
INFO, FEATURES = "dataset_info.json", "features.json"


class Split(NamedTuple):
    """The shards of a split, and how many records each holds."""

    files: tuple[str, ...]
    lengths: tuple[int, ...]


class Described(NamedTuple):
    """A prepared data set of images and labels."""

    file_format: str
    splits: Mapping[str, Split]
    n_channels: int
    n_classes: int


@functools.cache
def described(path: str) -> Described:
    """The data set at `path`; ValueError says what is missing, damaged or of another kind."""
    root = Path(path)
    if not (root / INFO).is_file():
        raise FileNotFoundError(f"{path} has no {INFO}: give the versioned directory, such as cifar10/3.0.2.")
    info, features = _read(root, INFO), _read(root, FEATURES)
    file_format = info.get("fileFormat", "tfrecord")
    if not isinstance(file_format, str) or file_format not in SHARDS:
        raise ValueError(
            f"{path} is stored as {file_format}: prepare it again with file_format='array_record' or 'tfrecord'."
        )
    try:
        splits = {split["name"]: _split(info["name"], split, file_format) for split in info["splits"]}
        image, label = (_feature(features, name) for name in ("image", "label"))
        n_channels, n_classes = _n_channels(image), int(label.get("numClasses", label.get("num_classes")))
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise _not_understood(path, f"{type(error).__name__} {one_line(error)}") from error
    if n_channels not in (1, 3):
        raise ValueError(f"the images of {path} have {n_channels} channels: prepare them with 1 (grey) or 3 (colour).")
    return Described(file_format, splits, n_channels, n_classes)


def _read(root: Path, name: str) -> dict[str, Any]:
    if not (root / name).is_file():
        raise FileNotFoundError(f"{root} has no {name}: {AGAIN}, or prepare it with a newer tensorflow-datasets.")
    try:
        content = json.loads((root / name).read_text())
    except ValueError as error:
        raise _not_understood(str(root), f"{name}: {one_line(error)}") from None
    if not isinstance(content, dict):
        raise _not_understood(str(root), f"{name} is no JSON object")
    return content


def _not_understood(path: str, why: str) -> ValueError:
    return ValueError(f"{path} does not describe a data set of images and labels ({why}): {AGAIN}.")


def _split(dataset: str, split: Mapping[str, Any], file_format: str) -> Split:
    lengths = tuple(int(length) for length in split["shardLengths"])
    if min(lengths, default=0) < 0 or not isinstance(split["name"], str):
        raise ValueError(f"split {split['name']!r} with shards of {lengths}")
    names = {"DATASET": dataset, "SPLIT": split["name"], "FILEFORMAT": file_format, "NUM_SHARDS": f"{len(lengths):05}"}
    template = split.get("filepathTemplate") or USUAL_NAMES
    files = []
    for i in range(len(lengths)):
        place = f"{i:05}"
        of = {"SHARD_INDEX": place, "SHARD_X_OF_Y": f"{place}-of-{len(lengths):05}"}
        files.append(template.format(**names, **of))
    return Split(tuple(files), lengths)


def _feature(features: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """What is said of a feature, in the form of today ("featuresDict") or of releases before 4.6 ("content")."""
    if "featuresDict" in features:
        feature = features["featuresDict"]["features"][name]
        return feature["image" if name == "image" else "classLabel"]
    content = features["content"][name]["content"]
    return json.loads(content) if isinstance(content, str) else content


def _n_channels(image: Mapping[str, Any]) -> int:
    """The last dimension; pixels of another type than uint8 would lose something here."""
    if image.get("dtype", "uint8") not in ("uint8", "uint16"):
        raise ValueError(f"images of type {image['dtype']}")
    shape = image["shape"]
    dimensions = shape["dimensions"] if isinstance(shape, Mapping) else shape
    return int(dimensions[-1])
