"""Leases: which process works on a unit of a shared workdir, or on the whole of it; a lease ends with its holder."""

import json
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from ssni_jax.files.atomic import create_bytes

BEAT_S = 15.0
ENDED = "ZX"  # states of a process in /proc
STALE_S = 120.0  # without a beat, a lease of another machine is free again


class Lease:
    """An exclusive claim by a file that is created atomically and touched every few seconds while it is held.

    A lease whose holder no longer lives is taken over: at once on the same machine, elsewhere after two minutes.
    """

    def __init__(self, path: Path):
        self.path = path
        self._owner: dict[str, Any] | None = None
        self._released = threading.Event()

    def acquire(self) -> bool:
        """Whether the lease is held from now on."""
        owner = this_process()
        content = json.dumps(owner).encode()
        if not create_bytes(self.path, content) and not (self._is_removed() and create_bytes(self.path, content)):
            return False
        self._owner, self._released = owner, threading.Event()
        threading.Thread(target=self._beat, args=(self._released,), daemon=True).start()
        return True

    def release(self) -> None:
        """Gives the lease back, unless another process has taken it over."""
        self._released.set()
        if self._is_ours():
            with suppress(OSError):
                self.path.unlink()
        self._owner = None

    def holder(self) -> str:
        """Who holds the lease, in words."""
        return in_words(read_owner(self.path))

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _is_ours(self) -> bool:
        return self._owner is not None and read_owner(self.path) == self._owner

    def _is_removed(self) -> bool:
        """Removes the lease of a dead holder; False while the holder lives."""
        owner = read_owner(self.path)
        if not self._is_free(owner):
            return False
        taken = self.path.with_name(f".{self.path.name}.{uuid.uuid4().hex}.stale")
        with suppress(FileNotFoundError):
            os.rename(self.path, taken)  # of several processes that found it free, one gets it
            if read_owner(taken) != owner:  # another process has taken the lease over since: it is put back
                with suppress(OSError):
                    os.link(taken, self.path)
            taken.unlink()
        return True

    def _is_free(self, owner: dict[str, Any] | None) -> bool:
        try:
            age = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return True
        return is_over(owner, age)

    def _beat(self, released: threading.Event) -> None:
        while not released.wait(BEAT_S):
            with suppress(OSError):
                if self._is_ours():
                    os.utime(self.path)


def lock(path: Path, purpose: str) -> Lease:
    """The lease of a whole workdir; OSError names who holds it."""
    lease = Lease(path)
    if not lease.acquire():
        raise OSError(
            f"{path.parent} is in use by {lease.holder()} for {purpose}: wait for it, or pass another --workdir."
        )
    return lease


def this_process() -> dict[str, Any]:
    """The owner that a lease names: host, process and a token that no other lease has."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "started": _started(pid), "token": uuid.uuid4().hex}


def read_owner(path: Path) -> dict[str, Any] | None:
    """The owner that a lease names; None where it cannot be read, as that of a writer that was killed."""
    with suppress(OSError, ValueError, RecursionError):
        owner = json.loads(path.read_bytes())
        is_owner = isinstance(owner, dict) and isinstance(owner.get("pid"), int) and {"host", "started"} <= owner.keys()
        return owner if is_owner else None
    return None


def in_words(owner: dict[str, Any] | None) -> str:
    """The process that a lease names."""
    return f"process {owner['pid']} on {owner['host']}" if owner else "another process"


def is_over(owner: dict[str, Any] | None, age: float) -> bool:
    """Whether a lease is free, by its owner and the seconds since its last beat."""
    if owner is not None and owner["host"] == socket.gethostname():
        return not _lives(owner["pid"], owner["started"])
    return age > STALE_S


def _lives(pid: int, started: str) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _started(pid) == started


def _started(pid: int) -> str:
    """When a process of this machine began, which tells it from a later one with the same number; Linux only.

    A process that has ended, and whose parent has not asked for its exit code yet, has a number and did not begin.
    """
    with suppress(OSError, IndexError):
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return "" if state in ENDED else fields[18]
    return ""
