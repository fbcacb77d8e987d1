"""The fields of a serialised `tf.train.Example`, read from the bytes: neither TensorFlow nor protobuf is needed.

A message is a sequence of tags and values: a tag is field number * 8 + wire type, and wire type 2 is a length and so
many bytes. An Example holds Features (1), these a map (1) from names (1) to Feature (2), and a Feature a list of bytes
(1) or of 64-bit integers (3), whose items are field 1.
"""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
BYTES_LIST, INT64_LIST = 1, 3
CUT = "the message is cut short"


def value_of(record: bytes, name: str) -> bytes | int:
    """The one value, bytes or integer, of the feature `name`; ValueError says why there is none."""
    for feature in _features(record, name):
        values = list(_values(feature))
        if len(values) != 1:
            raise ValueError(f"feature {name!r} has {len(values)} values where one is expected")
        return values[0]
    raise ValueError(f"there is no feature {name!r}")


def _features(record: bytes, name: str) -> Iterator[memoryview]:
    """The feature messages of this name."""
    wanted = name.encode()
    for features in _messages(memoryview(record), 1):
        for entry in _messages(features, 1):
            if any(key == wanted for key in _messages(entry, 1)):
                yield from _messages(entry, 2)


def _values(feature: memoryview) -> Iterator[bytes | int]:
    for number, _, listed in _fields(feature):
        if number == BYTES_LIST and isinstance(listed, memoryview):
            yield from (bytes(item) for item in _messages(listed, 1))
        elif number == INT64_LIST and isinstance(listed, memoryview):
            yield from _integers(listed)


def _integers(listed: memoryview) -> Iterator[int]:
    """Signed 64-bit integers, packed into one field or in a field each."""
    for number, _, item in _fields(listed):
        if number == 1 and isinstance(item, memoryview):
            at = 0
            while at < len(item):
                value, at = _varint(item, at)
                yield _signed(value)
        elif number == 1 and isinstance(item, int):
            yield _signed(item)


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, _, value in _fields(message):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview | int]]:
    """Field number, wire type and value of each field."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, kind, value
            continue
        if kind not in (FIXED64, BYTES, FIXED32):
            raise ValueError(f"the message has a field of unknown type {kind}")
        length, at = _varint(message, at) if kind == BYTES else ({FIXED64: 8, FIXED32: 4}[kind], at)
        if at + length > len(message):
            raise ValueError(CUT)
        yield number, kind, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """An integer in groups of seven bits, the lowest first, and the place after it."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError(CUT)
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
    raise ValueError("the message has an integer of more than 64 bits")


def _signed(value: int) -> int:
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value
