"""Pickle's instructions, one line each: what they do to a `Machine`. EXT1, EXT2, EXT4 and buffers are left out."""

from collections.abc import Callable
from typing import Any

from ssni_jax.convert.reading.machine import Machine

Step = Callable[[Machine, Any], Any]


def _constant(value: Any) -> Step:
    return lambda m, _: m.push(value)


def _reduce(m: Machine, _: Any) -> None:
    function, args = m.pop_many(2)
    m.push(m.make(function, args))


def _new_with_keywords(m: Machine, _: Any) -> None:
    m.push(m.make(*m.pop_many(3)))


def _instance(m: Machine, name: str) -> None:
    args = tuple(m.since_mark())
    m.push(m.make(m.word(*name.split(" ", 1)), args))


def _object(m: Machine, _: Any) -> None:
    function, *args = m.since_mark() or [None]
    m.push(m.make(function, tuple(args)))


def _append(m: Machine, _: Any) -> None:
    item = m.pop()
    m.top(list).append(item)


def _extend(m: Machine, _: Any) -> None:
    items = m.since_mark()
    m.top(list).extend(items)


def _set_item(m: Machine, _: Any) -> None:
    items = m.pop_many(2)
    m.fill(m.top(dict), items)


def _set_items(m: Machine, _: Any) -> None:
    items = m.since_mark()
    m.fill(m.top(dict), items)


def _many(names: str, step: Step) -> dict[str, Step]:
    return dict.fromkeys(names.split(), step)


INSTRUCTIONS: dict[str, Step] = {
    **_many("PROTO FRAME STOP", lambda m, arg: None),
    **_many("STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8", Machine.push),
    **_many("UNICODE SHORT_BINUNICODE BINUNICODE BINUNICODE8 FLOAT BINFLOAT BININT BININT1 BININT2", Machine.push),
    **_many("INT LONG LONG1 LONG4", lambda m, arg: m.push(m.integer(arg))),
    "NONE": _constant(None),
    "NEWTRUE": _constant(True),
    "NEWFALSE": _constant(False),
    "EMPTY_TUPLE": _constant(()),
    **_many("EMPTY_LIST EMPTY_SET", lambda m, _: m.push([])),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "MARK": lambda m, _: m.mark(),
    "POP": lambda m, _: m.discard(),
    "POP_MARK": lambda m, _: m.since_mark(),
    "DUP": lambda m, _: m.push(m.top(object)),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    **_many("PUT BINPUT LONG_BINPUT", lambda m, arg: m.remember(arg)),
    **_many("GET BINGET LONG_BINGET", lambda m, arg: m.push(m.recall(arg))),
    "TUPLE1": lambda m, _: m.push(m.pop_many(1)),
    "TUPLE2": lambda m, _: m.push(m.pop_many(2)),
    "TUPLE3": lambda m, _: m.push(m.pop_many(3)),
    "TUPLE": lambda m, _: m.push(tuple(m.since_mark())),
    **_many("LIST FROZENSET", lambda m, _: m.push(m.since_mark())),
    "DICT": lambda m, _: m.push(m.fill({}, m.since_mark())),
    "APPEND": _append,
    **_many("APPENDS ADDITEMS", _extend),
    "SETITEM": _set_item,
    "SETITEMS": _set_items,
    "GLOBAL": lambda m, name: m.push(m.word(*name.split(" ", 1))),
    "STACK_GLOBAL": lambda m, _: m.push(m.word(*m.pop_many(2))),
    **_many("REDUCE NEWOBJ", _reduce),
    "NEWOBJ_EX": _new_with_keywords,
    "INST": _instance,
    "OBJ": _object,
    "BUILD": lambda m, _: m.set_state(),
    "BINPERSID": lambda m, _: m.push(m.persistent(m.pop())),
    "PERSID": lambda m, pid: m.push(m.persistent(pid)),
}
