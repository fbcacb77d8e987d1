"""The stderr of a supervised process: passed on line by line, except what JAX's C++ code logs about a lost peer."""

import os
import re
import select
import sys
import time

LOST = re.compile(rb"^[EWF]\d{4} [\d:.]+ +\d+ (coordination_|preemption_|client\.h|distributed)")
TERMINATING = "Terminating process because the JAX distributed service detected fatal errors"
HOLD_S = 5.0
KEPT = 2**18


class Relay:
    """Passes on what arrives at the pipe `read_end` until its end.

    From the first line of JAX's report on, lines are held back, because the process usually ends with it: for `HOLD_S`
    seconds, or until `release`. With `shows_all` everything is passed on at once.
    """

    def __init__(self, read_end: int, shows_all: bool = False):
        self.read_end, self.shows_all = read_end, shows_all
        self._partial, self._held, self._report = b"", b"", b""
        self._held_at: float | None = None

    def run(self) -> None:
        """Reads to the end of the pipe."""
        while True:
            if self._held_at is not None and time.monotonic() - self._held_at > HOLD_S:
                self.release()
            if not select.select([self.read_end], [], [], 1.0)[0]:
                continue
            arrived = os.read(self.read_end, 2**16)
            if not arrived:
                self._take(self._partial)
                return
            *lines, self._partial = (self._partial + arrived).splitlines(keepends=True) or [b""]
            if self._partial.endswith((b"\n", b"\r")):
                lines, self._partial = [*lines, self._partial], b""
            for line in lines:
                self._take(line)

    def release(self) -> None:
        """Passes on what was held back."""
        held, self._held, self._held_at = self._held, b"", None
        self._pass_on(held)

    def report(self) -> str:
        """What JAX has logged about the job's processes."""
        return self._report.decode(errors="replace")

    def is_of_lost_peer(self) -> bool:
        """Whether JAX said that it ends the process because another one is gone."""
        return TERMINATING in self.report()

    def _take(self, line: bytes) -> None:
        if self._held_at is None and LOST.match(line):
            self._held_at = time.monotonic()
            self._report = b""
        if self._held_at is None:
            self._pass_on(line)
            return
        self._report = (self._report + line)[-KEPT:]
        if self.shows_all:
            self._pass_on(line)
        else:
            self._held += line

    def _pass_on(self, content: bytes) -> None:
        if content:
            sys.stderr.buffer.write(content)
            sys.stderr.buffer.flush()
