"""Leases on an object store, which can create a file exclusively but neither rename one nor remove what is compared."""

import json
import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ssni_jax.files import lease
from ssni_jax.files.lease import Lease, in_words, is_over, read_owner, this_process
from ssni_jax.files.remote import RemotePath


class StoreLease:
    """A lease as a series of files, unit.json.0 and so on, of which the last one holds: to take over is to add one.

    So only exclusive creation is needed: a process writes and removes its own file, and at its release those of the
    holders before it, and can never remove the lease of one that came later. A holder that was paused for longer than
    `STALE_S` and goes on computes what its successor computes too; the unit is created once all the same. The clock of
    this machine must agree with the store's to within a minute.
    """

    def __init__(self, path: RemotePath):
        self.path = path
        self._own: RemotePath | None = None
        self._content = b""
        self._released = threading.Event()

    def acquire(self) -> bool:
        """Whether the lease is held from now on."""
        last = self._last()
        if last is not None and not self._is_free(last):
            return False
        own = self.path.with_name(f"{self.path.name}.{0 if last is None else _number(last) + 1}")
        owner = this_process()
        content = json.dumps(owner).encode()
        if not own.create_bytes(content) and read_owner(own) != owner:  # it is ours if a request was sent twice
            return False
        if self._last() != own:
            own.unlink(missing_ok=True)
            return False
        self._own, self._content, self._released = own, content, threading.Event()
        threading.Thread(target=self._beat, args=(self._released,), daemon=True).start()
        return True

    def release(self) -> None:
        """Gives the lease back, unless another process has taken it over."""
        self._released.set()
        own, self._own = self._own, None
        if own is None:
            return
        with suppress(OSError):
            for path in [path for path in self._files() if _number(path) < _number(own)]:
                path.unlink(missing_ok=True)
            if read_owner(own) == json.loads(self._content):
                own.unlink(missing_ok=True)

    def holder(self) -> str:
        """Who holds the lease, in words."""
        last = self._last()
        return in_words(None if last is None else read_owner(last))

    def __enter__(self) -> "StoreLease":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _files(self) -> list[RemotePath]:
        name = re.compile(re.escape(self.path.name) + r"\.\d+")
        return sorted((path for path in self.path.parent.iterdir() if name.fullmatch(path.name)), key=_number)

    def _last(self) -> RemotePath | None:
        return next(reversed(self._files()), None)

    def _is_free(self, path: RemotePath) -> bool:
        try:
            return is_over(read_owner(path), path.age(time.time()))
        except FileNotFoundError:
            return True

    def _beat(self, released: threading.Event) -> None:
        while not released.wait(lease.BEAT_S):
            with suppress(OSError):
                if self._own is not None and read_owner(self._own) == json.loads(self._content):
                    self._own.write_bytes(self._content)


class Unleased:
    """A lease that everybody holds, for work that is divided already."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass

    def holder(self) -> str:
        return "another process"


def lease_of(path: Path) -> Any:
    """The lease of a path, by where it lies."""
    return StoreLease(path) if isinstance(path, RemotePath) else Lease(path)


def _number(path: Path) -> int:
    return int(path.suffix[1:])
