"""Decoding in worker processes: images of large sources, ahead of the device and beside the interpreter it waits for.

A worker is a fresh interpreter that reads requests from a pipe and ends with it: nothing is forked from a process in
which JAX has threads, the user's script is not run again, and whatever ends this process ends its workers.
"""

import collections
import functools
import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from jaxtyping import Int

DECODERS = "SSNI_DECODERS"
MOST_WORKERS = 16
WORTH_PIXELS = 2**25  # of a whole source: 670 images of 224 x 224, which take as long to decode as a worker to start
FEWEST_ROWS = 8
PART_BYTES = 4 * 2**20  # of decoded pixels that a worker gives back at a time
AHEAD = 2  # parts per worker that are under way or wait to be taken
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from ssni_jax.data import worker; worker.serve()"


def are_worth_it(source: Any, n_rows: int) -> bool:
    """Whether `n_rows` rows of a source are decoded in worker processes."""
    # a class of a user's script is not known in another interpreter
    is_ours = all(type(value).__module__.startswith("ssni_jax.") for value in (source, source.resizing))
    if not is_ours or n_rows < FEWEST_ROWS or n_workers(os.environ) < 1:
        return False
    return len(source) * int(np.prod(source.image_shape[:2])) >= WORTH_PIXELS


def n_workers(environment: Mapping[str, str]) -> int:
    """How many processes decode: SSNI_DECODERS, or one per core that this process may use; 0 on one core."""
    value = environment.get(DECODERS)
    if value is None:
        n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(n_cores, MOST_WORKERS) if n_cores > 1 and sys.executable else 0
    if not value.isdigit():
        raise ValueError(f"{DECODERS} must be a whole number of processes, 0 for none, got {value!r}.")
    return int(value)


def decoded_parts(source: Any, ids: Int[np.ndarray, " B"]) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Parts of the rows `ids` in order: place of the first, pixels, labels.

    Beside the part that is taken at most `AHEAD` parts per worker are in memory, each of `PART_BYTES` or one image.
    """
    n = n_workers(os.environ)
    size = part_size(source.image_shape, len(ids), n)
    waiting: collections.deque[tuple[int, Future]] = collections.deque()
    try:
        for start in range(0, len(ids), size):
            if len(waiting) == AHEAD * n:
                first, future = waiting.popleft()
                yield first, *future.result()
            waiting.append((start, pool(n).submit(_ask, (source, ids[start : start + size].tolist()))))
        while waiting:
            first, future = waiting.popleft()
            yield first, *future.result()
    finally:
        for _, future in waiting:
            future.cancel()


def part_size(image_shape: tuple[int, ...], n_rows: int, n: int) -> int:
    """Rows of a part: an even share for each of `n` workers, at most `PART_BYTES` of pixels, and at least one."""
    return max(1, min(-(-n_rows // n), PART_BYTES // int(np.prod(image_shape))))


@functools.cache
def pool(n: int) -> ThreadPoolExecutor:
    """Threads that talk to one worker process each, started when there is work for it."""
    return ThreadPoolExecutor(n, thread_name_prefix="decoding")


_OF_THREAD = threading.local()


def _ask(request: Any) -> Any:
    """The answer of this thread's worker; an error in it is raised here, with its own sentence."""
    worker = getattr(_OF_THREAD, "worker", None)
    if worker is None:
        worker = _OF_THREAD.worker = Worker()
    answer = worker.ask(request)
    if isinstance(answer, Exception):
        raise answer
    return answer


class Worker:
    """One worker process and the pipes to it; it ends when this object goes, with or without notice."""

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, json.dumps(sys.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "JAX_PLATFORMS": "cpu"},
            process_group=0,  # Ctrl-C is for this process, which ends its workers
        )  # fmt: skip

    def ask(self, request: Any) -> Any:
        """What the process answers to a request."""
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            pickle.dump(request, self.process.stdin, pickle.HIGHEST_PROTOCOL)
            self.process.stdin.flush()
            return pickle.load(self.process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            code = self.process.wait()
            _OF_THREAD.worker = None
            raise OSError(
                f"a process that decodes images ended with exit code {code}, perhaps for lack of memory: set "
                f"{DECODERS} to a smaller number, or to 0 for none."
            ) from None
