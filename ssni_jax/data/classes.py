"""Which class a folder stands for, told from its name alone: never from which other folders are there."""

import functools
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files

SYNSET = re.compile(r"n\d{8}")
NUMBERED = re.compile(r"(\d+)(?:[._\- ].*)?")
PARTS_OF_A_SET = frozenset(["train", "training", "val", "valid", "validation", "test", "testing", "dev"])
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
N_SHOWN = 10
MOST_CLASSES = 2**31  # labels are 32-bit numbers


def class_map(folders: Iterable[str], classes: tuple[str, ...] | None) -> Mapping[str, int] | None:
    """The label of each folder; None where the names say none.

    With `classes`, the place of the name in it. Otherwise numbers ("10", "010.Ovenbird") are numbers, WordNet's synsets
    ("n01440764") and the names of CIFAR-10 have the index under which their classes are published.
    """
    names = sorted(set(folders))
    if classes is not None:
        return _listed(names, classes)
    if all(SYNSET.fullmatch(name) for name in names):
        return _published(names, {name: i for i, name in enumerate(synsets())}, "ImageNet's 1000 classes")
    if all(NUMBERED.fullmatch(name) for name in names):
        return _numbered(names)
    if set(names) <= set(CIFAR10):
        return {name: CIFAR10.index(name) for name in names}
    return None


def n_classes_of(labels: Mapping[str, int], classes: tuple[str, ...] | None) -> int:
    """How many classes a set with these folders has, as far as the names say."""
    if classes is not None:
        return len(classes)
    if all(SYNSET.fullmatch(name) for name in labels):
        return len(synsets())
    return len(CIFAR10) if set(labels) <= set(CIFAR10) else 1 + max(labels.values())


@functools.cache
def synsets() -> tuple[str, ...]:
    """The synsets of ILSVRC 2012 in the order of their published indices, 0 to 999."""
    return tuple((files("ssni_jax") / "data" / "imagenet_synsets.txt").read_text().split())


def shown(labels: Mapping[str, int]) -> str:
    """A class map in one line, shortened where it is long."""
    parts = [f"{name} = {label}" for name, label in sorted(labels.items(), key=lambda item: item[1])]
    if len(parts) > N_SHOWN:
        parts = [*parts[: N_SHOWN // 2], "...", *parts[-N_SHOWN // 2 :]]
    return f"{len(labels)} class folders: {', '.join(parts)}"


def _listed(names: list[str], classes: tuple[str, ...]) -> Mapping[str, int]:
    if len(set(classes)) < len(classes):
        raise ValueError(f"classes names a class twice, got {classes}: give each once.")
    return _published(names, {name: i for i, name in enumerate(classes)}, "`classes`")


def _published(names: list[str], index: Mapping[str, int], where: str) -> Mapping[str, int]:
    absent = [name for name in names if name not in index]
    if absent:
        more = "" if len(absent) == 1 else f" and {len(absent) - 1} others"
        raise ValueError(
            f"class folder {absent[0]}{more} is not in {where}: move it away, or name all classes in the order of "
            "their labels with classes=(...)."
        )
    return {name: index[name] for name in names}


def _numbered(names: list[str]) -> Mapping[str, int]:
    numbers = {name: int(NUMBERED.fullmatch(name)[1]) for name in names}  # type: ignore[index]
    by_number: dict[int, str] = {}
    largest = max(numbers, key=numbers.__getitem__)
    if numbers[largest] >= MOST_CLASSES:
        raise ValueError(f"class folder {largest} is a number of no class: rename it, or list all with classes=(...).")
    for name, number in numbers.items():
        if number in by_number:
            raise ValueError(f"class folders {by_number[number]} and {name} are both number {number}: rename one.")
        by_number[number] = name
    return numbers
