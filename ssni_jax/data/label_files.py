"""Files that say the class of each image, in the forms in which those of ImageNet are passed around."""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int

from ssni_jax.data.classes import MOST_CLASSES, SYNSET, synsets

Numbers = Literal["index", "ilsvrc2012_id"]
HEADER = re.compile(r"(?i)(imageid|image|file|filename|file_name|name|id)\s*,")
N_IMAGENET = 1000


class FileLabels(NamedTuple):
    """The labels of all images, in the order of the images, and how many classes they are from."""

    labels: Int[np.ndarray, " N"]
    n_classes: int


class LabelLine(NamedTuple):
    """One line of a label file: its number, the name of an image, or "" where there is none, and its class."""

    number: int
    name: str
    label: str


def labels_in(path: Path, names: Sequence[str], classes: tuple[str, ...] | None, numbers: Numbers | None) -> FileLabels:
    """The labels of the images `names` from a file of one line per image.

    A line is an image's name, with or without folder and ending, and its class: a synset of ImageNet (any number of
    boxes of it, as in LOC_val_solution.csv), a name of `classes`, or the published index. Lines of a number alone are
    in the order of the names, and `numbers` says what they count. Refused are images without a line and lines without
    an image.
    """
    lines = _lines(path)
    if all(not line.name for line in lines):
        return _by_order(path, lines, names, numbers)
    if numbers is not None:
        raise ValueError(f"{path} names its images, so numbers = {numbers!r} has nothing to say: leave it out.")
    labels = {line.name: _label(path, line, classes) for line in lines}
    if len(labels) < len(lines):
        raise ValueError(f"{path} has {len(lines) - len(labels)} more lines than images: give each image one line.")
    matched = np.array([labels[key] for key in _keys(path, names, labels)], np.int64)
    return FileLabels(matched, _n_classes(lines, matched, classes))


def _lines(path: Path) -> list[LabelLine]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no label file {path}: give one with a line of name and class per image.")
    try:
        texts = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file: give one line of name and class per image.") from None
    numbered = [(n, text) for n, text in enumerate(texts, 1) if text.strip() and not (n == 1 and HEADER.match(text))]
    lines = [_line(path, n, text) for n, text in numbered]
    if not lines:
        raise ValueError(f"{path} has no lines: give one line of name and class per image.")
    alone = [line for line in lines if not line.name]
    if alone and len(alone) < len(lines):
        raise ValueError(
            f"{path}, line {alone[0].number}: {alone[0].label!r} is only one word, and other lines name an image and "
            "its class: give every image both."
        )
    return lines


def _line(path: Path, number: int, text: str) -> LabelLine:
    """Name and class are divided by a comma, a tab or a blank; further words are the boxes of Kaggle's file."""
    name, _, rest = re.sub(r"\s*[,;\t]\s*", "\t", text.strip()).partition("\t")
    name, rest = (name, rest) if rest else (text.split()[0], " ".join(text.split()[1:]))
    words = rest.split()
    if not words:
        return LabelLine(number, "", name)
    objects = {word for word in words if SYNSET.fullmatch(word)}
    if len(objects) > 1 or (len(words) > 1 and not objects):
        shown = ", ".join(sorted(objects)) or " ".join(words[:3])
        raise ValueError(f"{path}, line {number}: {name} has several classes ({shown}): give it one.")
    return LabelLine(number, _stem(name), objects.pop() if objects else words[0])


def _label(path: Path, line: LabelLine, classes: tuple[str, ...] | None) -> int:
    if classes is not None and line.label in classes:
        return classes.index(line.label)
    if classes is None and line.label in _index_of_synset():
        return _index_of_synset()[line.label]
    if line.label.isdecimal() and int(line.label) < MOST_CLASSES:
        return int(line.label)
    where = "`classes`" if classes is not None else "ImageNet's 1000 classes"
    raise ValueError(
        f"{path}, line {line.number}: {line.label!r} is neither a number from 0 nor in {where}: correct it, or "
        "name all classes in the order of their labels with classes=(...)."
    )


def _keys(path: Path, names: Sequence[str], labels: dict[str, int]) -> list[str]:
    """The name in the file of each image."""
    keys = [_stem(name) for name in names]
    if len(set(keys)) < len(keys):
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise ValueError(f"two images are called {twice}, and {path} can name only one of them: rename one.")
    absent = [name for name, key in zip(names, keys, strict=True) if key not in labels]
    if absent:
        raise ValueError(
            f"{path} has no line for {len(absent)} of {len(names)} images, the first of them {absent[0]}: add "
            "lines, or move these images away."
        )
    spare = sorted(set(labels) - set(keys))
    if spare:
        raise ValueError(
            f"{path} has {len(spare)} lines for images that are not there, the first of them {spare[0]}: give all "
            "images, or remove these lines."
        )
    return keys


def _by_order(path: Path, lines: list[LabelLine], names: Sequence[str], numbers: Numbers | None) -> FileLabels:
    """Labels of a file without names: its lines are in the order of the images."""
    wrong = next((line for line in lines if not line.label.isdecimal()), None)
    if wrong is not None:
        raise ValueError(
            f"{path}, line {wrong.number}: {wrong.label!r} is no number: give a name and a class per line."
        )
    if numbers is None:
        raise ValueError(
            f"{path} holds only numbers, which may be published indices from 0 or the ILSVRC2012_IDs from 1 of the "
            "development kit, a different order of classes: set numbers='index' or numbers='ilsvrc2012_id'."
        )
    if len(lines) != len(names):
        raise ValueError(f"{path} has {len(lines)} lines for {len(names)} images: give one line per image, in order.")
    values = [int(line.label) for line in lines]
    if numbers == "ilsvrc2012_id":
        values = [_from_id(path, line, value) for line, value in zip(lines, values, strict=True)]
        return FileLabels(np.array(values, np.int64), N_IMAGENET)
    high = max(lines, key=_number)
    if _number(high) >= MOST_CLASSES:
        raise ValueError(f"{path}, line {high.number}: {high.label} is no class: give numbers from 0.")
    return FileLabels(np.array(values, np.int64), 1 + max(values))


def _from_id(path: Path, line: LabelLine, value: int) -> int:
    synset = _synset_of_id(path.with_name("meta.mat")).get(value)
    if synset not in _index_of_synset():
        raise ValueError(f"{path}, line {line.number}: {value} is no ILSVRC2012_ID from 1 to 1000: correct it.")
    return _index_of_synset()[synset]


@functools.cache
def _synset_of_id(path: Path) -> dict[int, str]:
    """The table of the development kit, which alone says which class an ILSVRC2012_ID is."""
    from scipy.io import loadmat  # slow to import

    if not path.is_file():
        raise FileNotFoundError(
            f"There is no {path}, which says the classes of ILSVRC2012_IDs: put meta.mat of the development kit beside "
            "the label file."
        )
    try:
        table = np.atleast_1d(loadmat(path, squeeze_me=True)["synsets"])
        return {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in table}
    except Exception as error:  # scipy raises whatever a damaged file makes it stumble over
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} is not the meta.mat of ILSVRC 2012 ({reason[:100]}): copy it again.") from error


def _n_classes(lines: list[LabelLine], labels: Int[np.ndarray, " N"], classes: tuple[str, ...] | None) -> int:
    if classes is not None:
        return len(classes)
    if any(SYNSET.fullmatch(line.label) for line in lines):
        return N_IMAGENET
    return 1 + int(labels.max())


def _number(line: LabelLine) -> int:
    return int(line.label)


def _stem(name: str) -> str:
    return Path(name.replace("\\", "/")).stem


@functools.cache
def _index_of_synset() -> dict[str, int]:
    return {name: i for i, name in enumerate(synsets())}
