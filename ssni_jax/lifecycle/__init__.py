"""How a process starts, stops and ends: environment, signals, exit codes, supervision. Nothing heavy is imported."""

from ssni_jax.lifecycle.environment import SINGLE, heartbeat_s, membership, n_processes, process_number, several
from ssni_jax.lifecycle.exits import AGAIN, COMPLETE, INTERRUPTED, REFUSED, PeerFailed, code_of, end_process
from ssni_jax.lifecycle.stop import Stopper

__all__ = [
    "AGAIN",
    "COMPLETE",
    "INTERRUPTED",
    "REFUSED",
    "SINGLE",
    "PeerFailed",
    "Stopper",
    "code_of",
    "end_process",
    "heartbeat_s",
    "membership",
    "n_processes",
    "process_number",
    "several",
]
