"""What runs in a worker process: rows of a source for each request, until the pipe of the requests ends."""

import os
import pickle
import signal
import sys
import traceback

from ssni_jax.data.encoded import decoded_part


def serve() -> None:
    """Answers requests on stdin; what libraries print goes to stderr, and signals are for the process that asks."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    while True:
        try:
            source, ids = pickle.load(sys.stdin.buffer)
        except (EOFError, pickle.UnpicklingError):
            return
        try:
            answers.write(pickle.dumps(_answer(source, ids), pickle.HIGHEST_PROTOCOL))
            answers.flush()
        except BrokenPipeError:  # nobody is left to take the answer
            os._exit(0)


def _answer(source: object, ids: list[int]) -> object:
    """Rows, or the error that the process which asked is going to raise."""
    try:
        return decoded_part(source, ids)
    except (ValueError, OSError) as error:
        return error
    except Exception:
        return RuntimeError(traceback.format_exc())
