"""When a process of the job fails or disappears: telling the others, finding out which one, and ending without it."""

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

import jax

from ssni_jax.dist.service import barrier, client
from ssni_jax.lifecycle import AGAIN, REFUSED, end_process, heartbeat_s
from ssni_jax.lifecycle.lost import missing_processes, sentence, speaks

FAILED = "ssni/failed"
TOO_SLOW = "the processes came too far apart for the devices' collectives; run the same command again to resume."
POLL_S, PATIENCE_S = 3.0, 5.0
LEAVING_S, ASKING_S, REPORT_S = 15, 5, 60
STATUS = re.compile(r"(UNKNOWN|INTERNAL|UNAVAILABLE|ABORTED|CANCELLED|DEADLINE_EXCEEDED|FAILED_PRECONDITION)\b")
SLOW = ("timed out", "Timed out", "DEADLINE_EXCEEDED")
BROKEN = ("Gloo", "NCCL", "UNAVAILABLE", "closed by peer", "reset by peer", "oordination service", "heartbeat")


def is_lost(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, is that of a collective operation whose peer is gone.

    Gloo's errors arrive as ValueErrors, so the text decides: a status of XLA and the name of a broken connection.
    """
    while error is not None:
        text = str(error)
        if STATUS.match(text) and any(mark in text for mark in BROKEN):
            return True
        error = error.__cause__ or error.__context__
    return False


def report_failure() -> bool:
    """Tells the other processes that this one failed, and they end with `REFUSED`; returns whether it is the first."""
    try:
        client().key_value_set(FAILED, str(jax.process_index()), allow_overwrite=False)
    except Exception as error:  # without the service nobody else can say why
        return "ALREADY_EXISTS" not in str(error)
    return True


@contextlib.contextmanager
def ending_with_peers() -> Iterator[None]:
    """While it holds, this process ends soon after another reported a failure, even inside a hanging collective."""
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(over,), name="peers", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def leave_together(code: int) -> NoReturn:
    """Ends this process at the moment when the others end theirs, or after `LEAVING_S` seconds without them.

    An ordinary exit would wait for the others for minutes, and process 0 takes the coordination service with it.
    """
    with contextlib.suppress(Exception):
        barrier("ssni/leaving", LEAVING_S)
    if jax.process_index() == 0:
        time.sleep(1)
    end_process(code)


def leave_without_peer(error: BaseException, is_stopping: bool) -> NoReturn:
    """Ends this process after a collective failed, and names the process that is gone; never waits for it to exit."""
    if has_failed_peer():
        leave_together(REFUSED)
    if any(mark in str(error) for mark in SLOW):
        print(f"ssni: {TOO_SLOW}", file=sys.stderr, flush=True)
        end_process(AGAIN)
    missing = _ask_for_missing()
    if len(missing) != 1:
        # Some of those who did not answer are only busy. JAX's own report ends the process and names the lost ones.
        time.sleep(min(heartbeat_s(os.environ) + PATIENCE_S, REPORT_S))
    if not is_stopping and speaks(missing, os.environ):
        print(sentence(missing if len(missing) == 1 else [], os.environ), file=sys.stderr, flush=True)
    end_process(AGAIN)


def has_failed_peer() -> bool:
    """Whether a process has reported its failure."""
    try:
        client().key_value_try_get(FAILED)
    except Exception:  # not found, or nobody to ask
        return False
    return True


def _ask_for_missing() -> list[int]:
    """The processes that do not answer within `ASKING_S` seconds; empty if all do."""
    try:
        barrier("ssni/lost", ASKING_S)
    except Exception as error:
        return missing_processes(str(error))
    return []


def _watch(over: threading.Event) -> None:
    while not over.wait(POLL_S):
        if has_failed_peer():
            if not over.wait(PATIENCE_S):  # the main thread may come to a point of agreement by itself
                leave_together(REFUSED)
            return
