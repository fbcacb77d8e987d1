"""Opening .npz files that nobody vouches for: never a pickle, never a traceback."""

import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Shaped


class Arrays(Mapping[str, np.ndarray]):
    """The arrays of an open .npz file, each read when it is asked for; what cannot be read is named."""

    def __init__(self, path: Path, file: np.lib.npyio.NpzFile):
        self.path, self._file = path, file

    def __getitem__(self, name: str) -> Shaped[np.ndarray, "..."]:
        if name not in self._file.files:
            raise ValueError(f"{self.path} has no array {name!r}; it has {', '.join(self._file.files) or 'none'}.")
        try:
            return np.asarray(self._file[name])
        except MemoryError:
            raise ValueError(f"{self.path}: array {name!r} needs more memory than this machine has.") from None
        except Exception as error:  # zlib, zipfile and NumPy's header parser each raise their own
            remedy = "save it as plain numbers" if "pickle" in str(error) else "save it again with numpy.savez"
            raise ValueError(f"{self.path}: array {name!r} cannot be read ({error}); {remedy}.") from None

    def __contains__(self, name: object) -> bool:
        return name in self._file.files

    def __iter__(self) -> Iterator[str]:
        return iter(self._file.files)

    def __len__(self) -> int:
        return len(self._file.files)


@contextmanager
def open_npz(path: str | Path) -> Iterator[Arrays]:
    """The arrays of the .npz file at `path`."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file {path}: check the path of the .npz file.")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a whole .npz file; save it again with numpy.savez.")
    try:
        file = np.load(path, allow_pickle=False)
    except (ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"{path} is not a whole .npz file ({error}); save it again with numpy.savez.") from None
    with file:
        yield Arrays(path, file)
