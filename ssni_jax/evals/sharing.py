"""`jax.jit` for values in which a network stands several times, such as the purifier's and the score norm's denoiser.

A jitted function has one argument per leaf, so a network that stands twice would be planned, and where weights are
converted to bfloat16 also stored, twice.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

Function = Callable[..., Any]
Split = tuple[list[Any], list[Any]]


class Pattern(NamedTuple):
    """Structure of the arguments, which of the different leaves stands at each place, and which are given away."""

    structure: Any
    places: tuple[int, ...]
    donated: tuple[bool, ...]

    def split(self, leaves: Sequence[Any]) -> Split:
        """The different leaves, those that are kept and those that are given away."""
        different: list[Any] = [None] * len(self.donated)
        for place, leaf in zip(self.places, leaves, strict=True):
            different[place] = leaf
        kept, donated = ([leaf for leaf, is_donated in zip(different, self.donated, strict=True) if is_donated == which]
                         for which in (False, True))  # fmt: skip
        return kept, donated

    def joined(self, kept: Sequence[Any], donated: Sequence[Any]) -> Any:
        """The arguments again."""
        sides = {False: iter(kept), True: iter(donated)}
        different = [next(sides[is_donated]) for is_donated in self.donated]
        return jax.tree.unflatten(self.structure, [different[place] for place in self.places])


class SharedJit:
    """`jax.jit(function, **options)` that gives the program an array once, wherever it stands in the arguments.

    `donate` are the numbers of arguments that are given away.
    """

    def __init__(self, function: Function, *, donate: Sequence[int] = (), **options: Any):
        self.function, self.donate, self.options = function, frozenset(donate), options
        self._jitted: dict[Pattern, Any] = {}

    def __call__(self, *args: Any) -> Any:
        leaves, pattern = pattern_of(args, self.donate)
        return self._of(pattern)(*pattern.split(leaves))

    def lower(self, *args: Any) -> "SharedLowered":
        """The program for arguments like these, which may be shapes."""
        leaves, pattern = pattern_of(args, self.donate)
        return SharedLowered(self._of(pattern).lower(*pattern.split(leaves)), pattern, self.donate)

    def _of(self, pattern: Pattern) -> Any:
        if pattern not in self._jitted:

            def flat(kept: list[Any], donated: list[Any]) -> Any:
                return self.function(*pattern.joined(kept, donated))

            self._jitted[pattern] = jax.jit(flat, donate_argnums=1, **self.options)
        return self._jitted[pattern]


class SharedLowered(NamedTuple):
    """A lowered program with the pattern of its arguments."""

    lowered: Any
    pattern: Pattern
    donate: frozenset[int]

    def compile(self) -> "SharedCompiled":
        """The compiled program."""
        return SharedCompiled(self.lowered.compile(), self.pattern, self.donate)


class SharedCompiled(NamedTuple):
    """A compiled program that takes the arguments as they were, in which the same arrays must stand several times."""

    compiled: Any
    pattern: Pattern
    donate: frozenset[int]

    def __call__(self, *args: Any) -> Any:
        leaves, pattern = pattern_of(args, self.donate)
        if pattern.places != self.pattern.places:
            raise TypeError("a compiled program was called with arrays that are not shared as when it was compiled")
        return self.compiled(*pattern.split(leaves))

    @property
    def out_info(self) -> Any:
        """Shapes and types of the results."""
        return self.compiled.out_info

    def memory_analysis(self) -> Any:
        """Bytes of arguments, results and temporary values per device, as the compiler counts them."""
        return self.compiled.memory_analysis()

    def as_text(self) -> str:
        """The optimised program."""
        return self.compiled.as_text()


def pattern_of(args: Sequence[Any], donate: frozenset[int] = frozenset()) -> tuple[list[Any], Pattern]:
    """The leaves of the arguments, and their pattern; numbers are never shared, as equal ones may be changed apart."""
    leaves, donated = [], []
    for number, arg in enumerate(args):
        own = jax.tree.leaves(arg)
        leaves += own
        donated += [number in donate] * len(own)
    known: dict[Any, int] = {}
    places = []
    for index, leaf in enumerate(leaves):
        key = id(leaf) if getattr(leaf, "ndim", 0) and not donated[index] else ("own", index)
        places.append(known.setdefault(key, len(known)))
    which: list[bool] = [False] * len(known)
    for place, is_donated in zip(places, donated, strict=True):
        which[place] = is_donated
    return leaves, Pattern(jax.tree.structure(tuple(args)), tuple(places), tuple(which))
