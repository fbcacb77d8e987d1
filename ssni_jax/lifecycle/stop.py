"""Stopping on a signal, also while the main thread is inside a compilation or a device computation."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, NoReturn

from ssni_jax.lifecycle.environment import process_number
from ssni_jax.lifecycle.exits import code_of, end_process

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
GRACE_S = 20.0
REPEAT_S = 0.5  # a supervisor and a scheduler may both pass one signal on: that is one signal, not two


class Stopper:
    """A context in which SIGTERM, SIGINT and SIGHUP ask for a stop instead of ending the process.

    A loop looks at `asked` after each unit of work and calls `leave`. A unit that does not end within `grace_s` seconds
    of the signal is dropped, which is safe because units are written atomically; None waits for it without limit. A
    second signal drops it at once, and so does the first signal within `nothing_to_lose`. Contexts nest: the innermost
    one gets the signals. Outside of the main thread, where Python handles no signals, `asked` stays None.
    """

    def __init__(self, command: str = "the same command", grace_s: float | None = GRACE_S):
        self.command, self.grace_s = command, grace_s
        self.asked: int | None = None
        self._free = self._said = False
        self._before: dict[int, Any] = {}
        self._installed = contextlib.ExitStack()

    def __enter__(self) -> "Stopper":
        if threading.current_thread() is threading.main_thread():
            inbox, outbox = socket.socketpair()
            outbox.setblocking(False)
            numbers = [number for number in SIGNALS if not _is_ignored_hangup(number)]
            self._before = {number: signal.getsignal(number) for number in numbers}
            fd_before = signal.set_wakeup_fd(outbox.fileno(), warn_on_full_buffer=False)
            watcher = threading.Thread(target=self._watch, args=(inbox,), name="stopper", daemon=True)
            watcher.start()
            self._installed.callback(_close, watcher, inbox, outbox)
            self._installed.callback(self._restore, fd_before)
            self.arm()
        return self

    def __exit__(self, *_: object) -> None:
        self._installed.close()

    def arm(self) -> None:
        """Takes the signals again after a library took them: joining a job replaces the handler of SIGTERM."""
        for number in self._before:
            signal.signal(number, self._note)

    @contextlib.contextmanager
    def nothing_to_lose(self) -> Iterator[None]:
        """While importing or compiling: the first signal ends the process at once, and so does one that came before."""
        before, self._free = self._free, True
        if self.asked is not None:
            self.drop(self.asked)
        try:
            yield
        finally:
            self._free = before

    def leave(self, number: int) -> NoReturn:
        """Prints how to resume (process 0 only), then unwinds by SystemExit with the exit code of the signal."""
        self.say_stopped()
        raise SystemExit(code_of(number))

    def drop(self, number: int) -> NoReturn:
        """Prints how to resume (process 0 only), then ends the process at once, whatever its threads are doing."""
        self.say_stopped()
        end_process(code_of(number))

    def say_stopped(self) -> None:
        """Prints how to resume, once and on process 0 only."""
        if process_number(os.environ) == 0 and not self._said:
            self._said = True
            with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
                print(f"Stopped; resume with: {self.command}", flush=True)

    def _restore(self, fd_before: int) -> None:
        signal.set_wakeup_fd(fd_before, warn_on_full_buffer=False)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _watch(self, inbox: socket.socket) -> None:
        """Reads the number of each signal as it arrives; the C handler writes it, so no Python code need run for it."""
        first = None
        while True:
            inbox.settimeout(None if first is None else self._left(first))
            try:
                numbers = inbox.recv(1)
            except TimeoutError:
                self.drop(self.asked or signal.SIGTERM)
            if not numbers:
                return
            if numbers[0] not in self._before:
                continue
            if self._free or (first is not None and time.monotonic() - first > REPEAT_S):
                self.drop(numbers[0])
            if first is None:
                first = time.monotonic()
                self._note(numbers[0], None)
                _say("ssni: stopping after the unit in progress; a second signal stops at once.")

    def _left(self, first: float) -> float | None:
        return None if self.grace_s is None else max(first + self.grace_s - time.monotonic(), 0.001)

    def _note(self, number: int, frame: object) -> None:
        """Called by the watcher or by Python's handler in the main thread, whichever comes first."""
        if self.asked is None:
            self.asked = number


def _is_ignored_hangup(number: int) -> bool:
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN  # nohup asked for that


def _say(text: str) -> None:
    if process_number(os.environ) == 0:
        with contextlib.suppress(OSError, ValueError):
            print(text, file=sys.stderr, flush=True)


def _close(watcher: threading.Thread, inbox: socket.socket, outbox: socket.socket) -> None:
    outbox.close()
    watcher.join()
    inbox.close()
