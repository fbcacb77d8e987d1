"""Which process of a job is gone, read from what JAX's coordination service says, and the sentence about it."""

import itertools
import re
from collections.abc import Mapping, Sequence

from ssni_jax.lifecycle.environment import n_processes, process_number

LISTED = re.compile(r"stopped sending heartbeats\):|timed out task names:")
NAME = re.compile(r"(?:/job:\S*task:)?(\d+)")
SERVICE_GONE = ("Failed to send RPC to coordination service", "leader task was preempted", "Socket closed")


def missing_processes(text: str) -> list[int]:
    """The processes that a report of JAX's coordination service names, in order; empty if it names none.

    Process 0 runs the service, so a lost service is a lost process 0.
    """
    *_, last = LISTED.split(text)
    words = re.split(r"[\s,]+", last.strip()) if LISTED.search(text) else []
    names = itertools.takewhile(bool, map(NAME.fullmatch, words))
    if missing := sorted({int(name[1]) for name in names if name}):
        return missing
    return [0] if any(mark in text for mark in SERVICE_GONE) else []


def sentence(missing: Sequence[int], environment: Mapping[str, str]) -> str:
    """What a user reads when a process of the job is gone."""
    n = n_processes(environment) or "the job"  # the environment of a pod does not say how many there are
    remedy = "run the same command again to resume."
    if not missing:
        return f"ssni: another process of {n if n == 'the job' else f'the {n}'} no longer answers; {remedy}"
    if len(missing) == 1:
        return f"ssni: process {missing[0]} of {n} no longer answers; {remedy}"
    names = ", ".join(map(str, missing[:-1])) + f" and {missing[-1]}"
    return f"ssni: processes {names} of {n} no longer answer; {remedy}"


def speaks(missing: Sequence[int], environment: Mapping[str, str]) -> bool:
    """Whether this process prints the sentence: the lowest that is left, or every one when nobody knows who is gone."""
    here = process_number(environment)
    return not missing or here == min(set(range(len(missing) + 1)) - {*missing})
