"""Paths on object stores, gs://bucket/x or s3://bucket/x, that behave as the local paths beside them do."""

import contextlib
import fnmatch
import functools
import inspect
import io
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)  # a Path has already joined the slashes
PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "s3": "s3fs", "s3a": "s3fs", "az": "adlfs", "abfs": "adlfs"}
STORES = (*PACKAGES, "memory", "file")
"""The stores that can hold a workdir."""
LOGIN = "log in to the store, for example with `gcloud auth application-default login` or `aws configure`"
AGAIN = "run the same command again to resume"


def as_path(text: str | Path) -> Path:
    """A local path, or a `RemotePath` for the URL of a store."""
    if isinstance(text, RemotePath):
        return text
    match = URL.fullmatch(str(text))
    return RemotePath(match[1].lower() + ":/", match[2]) if match and match[1].lower() in STORES else Path(text)


class RemotePath(type(Path())):
    """A path on a store of fsspec: a pathlib.Path whose looking, reading and removing go to the store.

    Only what a workdir needs is there; anything else, such as `touch` or `rename`, would look for a local folder of
    that name and fail. A store has no folders: `mkdir` does nothing, and `is_dir` is true where there are files below.
    """

    def __str__(self) -> str:
        scheme, _, rest = super().__str__().partition(":/")
        return f"{scheme}://{'/' if scheme == 'file' else ''}{rest}"

    def __fspath__(self) -> str:
        return str(self)

    @property
    def store(self) -> Any:
        """The file system of fsspec; it keeps no listings, because other processes write as well."""
        return _store(str(self).partition(":")[0])

    @property
    def is_exclusive(self) -> bool:
        """Whether the store can create a file only where there is none, decided by the store itself."""
        from fsspec import AbstractFileSystem
        from fsspec.asyn import AsyncFileSystem

        kind = type(self.store)
        create = kind._pipe_file if issubclass(kind, AsyncFileSystem) else kind.pipe_file
        is_own = create not in (AsyncFileSystem.__dict__["_pipe_file"], AbstractFileSystem.pipe_file)
        return is_own and "mode" in inspect.signature(create).parameters

    def write_bytes(self, data: Any) -> int:
        """Puts the content as a whole, which replaces what was there."""
        with self._named() as store:
            store.pipe_file(str(self), bytes(data))
        return len(data)

    def create_bytes(self, content: bytes) -> bool:
        """Puts the content where there is no file yet, decided by the store; False where there is one."""
        try:
            with self._named() as store:
                store.pipe_file(str(self), content, mode="create")
        except FileExistsError:
            return False
        return True

    def is_created_once(self) -> bool:
        """Whether creation is exclusive in fact, below this folder: some stores that speak S3 ignore the condition."""
        if not self.is_exclusive:
            return False
        probe = self / f".exclusive-{uuid.uuid4().hex}"
        try:
            return probe.create_bytes(b"1") and not probe.create_bytes(b"2")
        except ConnectionError:
            return False
        finally:
            probe.unlink(missing_ok=True)

    def read_bytes(self) -> bytes:
        with self._named() as store:
            return store.cat_file(str(self))

    def read_text(self, encoding: str | None = None, *args: Any, **options: Any) -> str:
        return self.read_bytes().decode(encoding or "utf-8")

    def open(self, mode: str = "r", *args: Any, **options: Any) -> Any:
        """The content in memory, for reading."""
        if mode not in ("r", "rb"):
            raise ValueError(f"{self} can only be opened for reading, got the mode {mode!r}: write whole files.")
        return io.BytesIO(self.read_bytes()) if mode == "rb" else io.StringIO(self.read_text())

    def age(self, now: float) -> float:
        """Seconds since the file was written, by the clock of the store; FileNotFoundError without one."""
        with self._named() as store:
            return now - store.modified(str(self)).timestamp()

    def exists(self, **options: Any) -> bool:
        with self._named() as store:
            return store.exists(str(self))

    def is_file(self, **options: Any) -> bool:
        with self._named() as store:
            return store.isfile(str(self))

    def is_dir(self, **options: Any) -> bool:
        with self._named() as store:
            return store.isdir(str(self))

    def iterdir(self) -> Iterator["RemotePath"]:
        with self._named() as store:
            names: Any = store.ls(str(self), detail=False) if store.isdir(str(self)) else []
        yield from (self / name.rstrip("/").rpartition("/")[2] for name in names)

    def glob(self, pattern: str, **options: Any) -> Iterator["RemotePath"]:
        first, _, rest = pattern.partition("/")
        for path in [path for path in self.iterdir() if fnmatch.fnmatchcase(path.name, first)]:
            yield from path.glob(rest) if rest else [path]

    def mkdir(self, *args: Any, **options: Any) -> None:
        pass

    def resolve(self, strict: bool = False) -> "RemotePath":
        return self

    def unlink(self, missing_ok: bool = False) -> None:
        try:
            with self._named() as store:
                store.rm_file(str(self))
        except FileNotFoundError:
            if not missing_ok:
                raise

    @contextlib.contextmanager
    def _named(self) -> Iterator[Any]:
        """The store, with errors of its library as errors of the system: what it could not do may work next time."""
        store = self.store
        try:
            yield store
        except (FileNotFoundError, FileExistsError):
            raise
        except PermissionError as error:
            raise PermissionError(f"{self} may not be used by this user ({error}): {LOGIN}.") from error
        except Exception as error:
            if "Credentials" in type(error).__name__:
                raise PermissionError(f"{self} may not be used without credentials: {LOGIN}.") from error
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConnectionError(f"{self} could not be reached ({reason}): {AGAIN}.") from error


@functools.cache
def _store(scheme: str) -> Any:
    import fsspec

    options = {"auto_mkdir": True} if scheme == "file" else {}
    try:
        return fsspec.filesystem(scheme, use_listings_cache=False, **options)
    except ImportError:
        package = PACKAGES[scheme]
        raise ValueError(f"{scheme}:// needs a package that is not installed: pip install {package}.") from None
