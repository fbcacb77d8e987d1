"""The state of a pickle that is being read: a stack, the stacks below open marks, and the memo."""

from collections.abc import Callable, Mapping
from typing import Any

from ssni_jax.convert.reading.allowance import Allowance
from ssni_jax.convert.reading.containers import Attributed, put
from ssni_jax.convert.reading.errors import damaged, shown
from ssni_jax.convert.reading.numpy_objects import Dtype, EmptyArray
from ssni_jax.convert.reading.vocabulary import Word, look_up

MAX_BITS = 128


class Machine:
    """Lists and dictionaries in the making; nothing that a file names is imported, called or looked up."""

    def __init__(self, allowance: Allowance, persistent: Callable[[Any], Any], words: Mapping[str, Any]):
        self.allowance, self.persistent, self.words = allowance, persistent, words
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        """Puts a value on top; a method, so that the stack is looked up after the value was made."""
        self.stack.append(value)

    def pop(self) -> Any:
        """The top of the stack."""
        if not self.stack:
            raise damaged("its pickle takes more than it has put")
        return self.stack.pop()

    def pop_many(self, n: int) -> tuple:
        """The top `n`, lowest first."""
        if len(self.stack) < n:
            raise damaged("its pickle takes more than it has put")
        items = tuple(self.stack[-n:])
        del self.stack[-n:]
        return items

    def since_mark(self) -> list[Any]:
        """Everything above the last mark, which is taken away."""
        if not self.below:
            raise damaged("its pickle looks for a mark that is not there")
        items, self.stack = self.stack, self.below.pop()
        return items

    def top(self, kind: type) -> Any:
        """The container on top, which must be a `kind`."""
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise damaged(f"its pickle fills a {kind.__name__} that is not there")
        return self.stack[-1]

    def remember(self, index: int) -> None:
        """Writes the top into a memo slot; slots come in order, so a huge index is no pickler's."""
        if not 0 <= index <= len(self.memo) + 1:
            raise damaged(f"its pickle uses memo slot {shown(index)} after {len(self.memo)} others")
        self.memo[index] = self.top(object)

    def recall(self, index: int) -> Any:
        """The content of a memo slot."""
        if index not in self.memo:
            raise damaged(f"its pickle reads the empty memo slot {shown(index)}")
        return self.memo[index]

    def mark(self) -> None:
        """Opens a mark."""
        self.below.append(self.stack)
        self.stack = []

    def discard(self) -> None:
        """Drops the top, or an empty mark."""
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()

    def integer(self, value: int) -> int:
        """An integer of a size that a checkpoint may hold."""
        if value.bit_length() > MAX_BITS:
            raise damaged(f"its pickle has an integer of {value.bit_length():,} bits")
        return value

    def fill(self, target: dict, items: list[Any] | tuple) -> dict:
        """Sets keys and values that alternate."""
        if len(items) % 2:
            raise damaged("a dictionary has a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            put(target, key, value, self.allowance)
        return target

    def word(self, module: Any, name: Any) -> Any:
        """The word for a global."""
        return look_up(module, name, self.words)

    def make(self, word: Any, args: Any, keywords: Any = None) -> Any:
        """What a word builds from its arguments."""
        if not isinstance(word, Word):
            raise damaged("its pickle calls something that is no function")
        if not isinstance(args, tuple) or keywords:
            raise damaged(f"its pickle calls {word.name} without a tuple of arguments, or with keywords")
        self.charge(args)
        try:
            return word.make(*args)
        except TypeError:
            raise damaged(f"its pickle calls {word.name} with {len(args)} arguments") from None

    def set_state(self) -> None:
        """Gives the object below the top the state on top."""
        state, target = self.pop(), self.top(object)
        if not isinstance(target, Attributed | Dtype | EmptyArray):
            raise damaged(f"its pickle sets the state of a {type(target).__name__}")
        self.charge((state, *state) if isinstance(state, tuple) else (state,))
        target.set_state(state)

    def charge(self, values: tuple) -> None:
        """Pays for values that are about to be copied: one from the memo may be copied again and again."""
        for value in values:
            if isinstance(value, list | tuple | dict):
                self.allowance.spend("instructions", len(value))
            elif isinstance(value, str | bytes | bytearray):
                self.allowance.spend("bytes", len(value))
