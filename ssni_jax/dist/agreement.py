"""Points at which all processes of a job decide the same: to go on, to stop, or to refuse."""

import signal
import uuid
from pathlib import Path

import jax

from ssni_jax.dist.service import exchanged, is_preempted
from ssni_jax.files import write_bytes
from ssni_jax.lifecycle import PeerFailed

FAILED = "failed"


def agree(error: Exception | None, asked: int | None = None) -> int | None:
    """The largest `asked` (the number of a stop signal) of all processes, or None; all must call it at the same point.

    A preemption that JAX's service knows of counts as SIGTERM.
    If a process has an `error`, every process raises: the failing process of the lowest number its own error, all
    others `PeerFailed`, which the command line ends with the same exit code and without a word.
    """
    if jax.process_count() == 1:
        if error is not None:
            raise error
        return asked
    if is_preempted() and asked is None:
        asked = signal.SIGTERM
    said = exchanged(FAILED if error is not None else None if asked is None else str(int(asked)))
    failed = [number for number, text in said.items() if text == FAILED]
    if not failed:
        return max(map(int, said.values()), default=None)
    if error is not None and min(failed) == jax.process_index():
        raise error
    raise PeerFailed(f"process {min(failed)} failed") from error


def same_everywhere(name: str, digest: str) -> None:
    """Refuses to go on, on every process, unless all hold the same `digest` of what is called `name`."""
    if jax.process_count() == 1:
        return
    held = exchanged(digest)
    different = ", ".join(str(number) for number in sorted(held) if held[number] != held[0])
    if different:
        error = ValueError(
            f"all processes must hold the same {name}, but it differs between process 0 and process {different}:"
            " start every process with the same command, config file, networks and data."
        )
        agree(error)


def check_shared(workdir: Path) -> None:
    """Refuses to go on, on every process, unless all see the same directory `workdir`, which is created."""
    if jax.process_count() == 1:
        return
    is_first = jax.process_index() == 0
    token = workdir / f".shared-{exchanged(uuid.uuid4().hex if is_first else None)[0]}"
    try:
        agree(_written(token) if is_first else None)
        agree(None if token.exists() else ValueError(_unseen(workdir)))
    finally:
        if is_first:
            token.unlink(missing_ok=True)


def _written(token: Path) -> OSError | None:
    try:
        write_bytes(token, b"")
    except OSError as error:
        return error
    return None


def _unseen(workdir: Path) -> str:
    return (
        f"process {jax.process_index()} of {jax.process_count()} does not see the directory {workdir} of process 0: "
        "give as --workdir a directory on storage that all processes share."
    )
