"""Exit codes, and the end of a process that cannot unwind."""

import contextlib
import os
import signal
import sys
import threading
from typing import NoReturn

COMPLETE = 0
REFUSED = 2
"""The input must be changed: the same command would be refused again."""
AGAIN = 75
"""The run was told to stop, or another process of the job was lost: the same command resumes. EX_TEMPFAIL of BSD."""
INTERRUPTED = 130
"""Ctrl-C; the same command resumes."""
FLUSH_S = 1.0
SHOW_CURSOR = "\x1b[?25h"


class PeerFailed(Exception):
    """Another process of the job failed and says why; this process ends with `REFUSED` and prints nothing."""


def code_of(number: int) -> int:
    """The exit code of a process that a signal stopped."""
    return INTERRUPTED if number == signal.SIGINT else AGAIN


def end_process(code: int) -> NoReturn:
    """Ends the process from any thread, without unwinding: what was printed is flushed, and files stay as they are."""
    flushing = threading.Thread(target=_flush, daemon=True)  # another thread may hold the lock of a blocked stream
    flushing.start()
    flushing.join(FLUSH_S)
    os._exit(code)


def _flush() -> None:
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout.isatty():
            sys.stdout.write(SHOW_CURSOR)  # a progress bar hides it
        sys.stdout.flush()
        sys.stderr.flush()
