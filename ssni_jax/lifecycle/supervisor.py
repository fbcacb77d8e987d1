"""A parent that outlives JAX: its C++ code aborts a process whose peer is lost, and no Python code of it runs then."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
from collections.abc import Mapping

from ssni_jax.lifecycle.exits import AGAIN, code_of
from ssni_jax.lifecycle.lost import missing_processes, sentence, speaks
from ssni_jax.lifecycle.relay import Relay

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
DRAIN_S = 2.0
PR_SET_PDEATHSIG = 1


def supervise(environment: Mapping[str, str]) -> None:
    """Returns in a child process; the parent passes on signals and stderr, and exits with the child's exit code.

    When JAX ends the child because another process of the job is gone, the parent says so in one sentence and exits
    with `AGAIN`. A child that was killed kills its parent by the same signal. Does nothing once JAX is imported, whose
    threads would not survive a fork.
    """
    if "jax" in sys.modules or not hasattr(os, "fork"):
        return
    control = _process_control()
    sys.stdout.flush()
    sys.stderr.flush()
    read_end, write_end = os.pipe()
    parent, child = os.getpid(), os.fork()
    if child == 0:
        os.close(read_end)
        os.setpgid(0, 0)  # Ctrl-C reaches the parent, which passes it on
        os.dup2(write_end, 2)
        os.close(write_end)
        if control is not None:
            control(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(AGAIN)
        return
    os.close(write_end)
    raise SystemExit(_outlive(child, read_end, environment))


def _outlive(child: int, read_end: int, environment: Mapping[str, str]) -> int:
    """The exit code for the end of `child`."""
    forwarded = _pass_on_signals(child)
    relay = Relay(read_end, shows_all=bool(environment.get("SSNI_TRACEBACK")))
    reader = threading.Thread(target=relay.run, daemon=True)
    reader.start()
    _, status = os.waitpid(child, 0)
    reader.join(DRAIN_S)  # a grandchild may hold the pipe open
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
    if number == signal.SIGABRT and relay.is_of_lost_peer():
        missing = missing_processes(relay.report())
        if not forwarded and speaks(missing, environment):
            print(sentence(missing, environment), file=sys.stderr, flush=True)
        return code_of(forwarded[0]) if forwarded else AGAIN
    relay.release()
    if number is not None:
        _die_by(number)
        return 128 + number
    return os.waitstatus_to_exitcode(status)


def _pass_on_signals(child: int) -> list[int]:
    """The numbers of the signals passed on so far, a list that grows."""
    forwarded: list[int] = []

    def forward(number: int, frame: object) -> None:
        forwarded.append(number)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    for number in FORWARDED:
        if signal.getsignal(number) is not signal.SIG_IGN or number != signal.SIGHUP:
            signal.signal(number, forward)
    return forwarded


def _die_by(number: int) -> None:
    """Ends this process as its child ended, for whoever started it; returns where the system does not let it."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):  # the handler of SIGKILL cannot be set
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _process_control():
    """prctl of Linux, by which a child dies with its parent; None elsewhere."""
    if not sys.platform.startswith("linux"):
        return None
    return ctypes.CDLL(None).prctl
