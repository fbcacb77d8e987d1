"""Which collectives an optimised program has, and which of them are inside its loops."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

KINDS = ("all-gather", "all-reduce", "all-to-all", "collective-permute", "collective-broadcast", "reduce-scatter")
OPERATION = re.compile(rf"=\s.*?\s({'|'.join(KINDS)})(-start)?\(")
START = 'custom_call_target="AsyncCollectiveStart"'
CHANNEL = re.compile(r"\bchannel_id=(\d+)")
HEAD = re.compile(r"^(?:ENTRY\s+)?%?([\w.\-]+)\s*\(.*->.*\{\s*$")
BODY = re.compile(r"\b(?:body|condition)=%?([\w.\-]+)")
CALLED = re.compile(r"\b(?:body|condition|calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)")
BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


class Collectives(NamedTuple):
    """How many collectives of each kind a program has, and how many of them run in every turn of a loop.

    One that a compiler spreads over several operations, to compute meanwhile, has one channel and counts once, where it
    starts: the loop in which it goes on while the program computes does not repeat it.
    """

    all: Counter[str]
    in_loops: Counter[str]

    def __str__(self) -> str:
        if not self.all:
            return "no collective"
        return f"{_shown(self.all)}; {'none' if not self.in_loops else _shown(self.in_loops)} in a loop"


def collectives(text: str) -> Collectives:
    """The collectives of an optimised program, its text in HLO."""
    lines = _computations(text)
    looped = _reachable(lines, {name for body in lines.values() for line in body for name in BODY.findall(line)})
    places = {(*operation, name in looped) for name, body in lines.items() for operation in _operations(name, body)}
    started = {channel for _, channel, starts, _ in places if starts}
    counted = {(kind, channel, inside) for kind, channel, starts, inside in places if starts or channel not in started}
    everything = {(kind, channel) for kind, channel, _ in counted}
    return Collectives(Counter(kind for kind, _ in everything), Counter(kind for kind, _, inside in counted if inside))


def _operations(name: str, body: list[str]) -> Iterator[tuple[str, str, bool]]:
    """Kind, channel (else the place), and whether it is the start of one spread out, of a computation's collectives."""
    starts = any(START in line for line in body)
    for number, line in enumerate(body):
        operation = OPERATION.search(line)
        if operation:
            channel = CHANNEL.search(line)
            yield operation[1], channel[1] if channel else f"{name}:{number}", starts


def _computations(text: str) -> dict[str, list[str]]:
    """The lines of every computation by its name."""
    lines: dict[str, list[str]] = {}
    now: list[str] = []
    for line in text.splitlines():
        head = HEAD.match(line)
        if head:
            now = lines.setdefault(head[1], [])
        else:
            now.append(line)
    return lines


def _reachable(lines: dict[str, list[str]], names: set[str]) -> set[str]:
    """The computations that these call, and those too."""
    reached: set[str] = set()
    waiting = [name for name in names if name in lines]
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        for line in lines[name]:
            called = CALLED.findall(line)
            called += [part.strip().lstrip("%") for group in BRANCHES.findall(line) for part in group.split(",")]
            waiting += [other for other in called if other in lines]
    return reached


def _shown(counts: Counter[str]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
