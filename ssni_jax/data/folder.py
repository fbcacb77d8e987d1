"""A folder of image files as a source."""

import dataclasses
import functools
import re
from pathlib import Path
from typing import Literal

from ssni_jax.data.hashing import content_hash
from ssni_jax.data.images import SUFFIXES, read_image
from ssni_jax.data.source import Example


@dataclasses.dataclass(frozen=True)
class ImageFolder:
    """PNG and JPEG files below `path`, sorted by name; with `size`, resized and centre-cropped to a square.

    Labels "folder": the rank of the class subfolder in sorted order, or -1 in a flat folder; "name": the integer with
    which the file name begins. `fingerprint` is the sha256 of relative names, labels and encoded bytes.
    """

    path: str
    size: int | None = None
    channels: int = 3
    labels: Literal["folder", "name"] = "folder"

    @property
    def files(self) -> tuple[Path, ...]:
        """The files in the order of their ids."""
        return _listed(self.path)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the class subfolders, in the order of their labels."""
        return _classes(self.path)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        return self[0]["image"].shape if self.size is None else (self.size, self.size, self.channels)

    @property
    def n_classes(self) -> int:
        return len(self.classes) if self.labels == "folder" else 1 + max(self.label(i) for i in range(len(self)))

    @property
    def fingerprint(self) -> str:
        labelled = [(file, self.label(i)) for i, file in enumerate(self.files)]
        return content_hash(Path(self.path), labelled)

    def label(self, i: int) -> int:
        """Class of image i, -1 where there is none."""
        if self.labels == "name":
            return _leading_number(self.files[i])
        return self.classes.index(self.files[i].relative_to(self.path).parts[0]) if self.classes else -1

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Example:
        return {"image": read_image(self.files[i], self.channels, self.size), "label": self.label(i), "id": i}


@functools.cache
def _listed(path: str) -> tuple[Path, ...]:
    root = Path(path)
    if not root.is_dir():
        raise FileNotFoundError(f"{path} is not a folder; give a folder of PNG or JPEG files.")
    files = tuple(sorted(f for f in root.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file()))
    if not files:
        raise FileNotFoundError(f"{path} holds no PNG or JPEG file; give a folder of images or of class subfolders.")
    loose = [f for f in files if f.parent == root]
    if loose and len(loose) < len(files):
        raise ValueError(f"{path} holds both class subfolders and loose images; move {loose[0].name} into one.")
    return files


@functools.cache
def _classes(path: str) -> tuple[str, ...]:
    parts = {f.relative_to(path).parts for f in _listed(path)}
    return tuple(sorted({p[0] for p in parts if len(p) > 1}))


def _leading_number(file: Path) -> int:
    found = re.match(r"\d+", file.name)
    if found is None:
        raise ValueError(f'{file.name} does not begin with a number, which labels="name" reads; use labels="folder".')
    return int(found.group())
