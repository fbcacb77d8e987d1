"""Files made to exhaust the machine: towers, cycles, laughs and limits."""

import struct

import numpy as np
import pytest

from ssni_jax.convert.reader import read_checkpoint
from ssni_jax.convert.reading import CheckpointError, Limits
from tests.convert.files import (
    Call,
    code,
    good,
    rebuilt,
    refusal,
    storage,
    torch_zip,
    towers,
    written,
)


def proto2(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


def proto4(body: bytes) -> bytes:
    return b"\x80\x04" + body + b"."


def laughs(opening: bytes, n: int) -> bytes:
    """A container that holds itself twice, n times over."""
    body = opening + b"q\x00"
    for i in range(n):
        body += b"]" + b"(h" + bytes([i]) + b"h" + bytes([i]) + b"eq" + bytes([i + 1])
    return proto2(body)


BOMBS = {
    **towers(10_000),  # the fuzzer builds higher ones, without the type checks that slow these tests down
    "billion laughs": laughs(b"]", 60),
    "list that holds itself": proto2(b"]q\x00h\x00a"),
    "dictionary that holds itself": proto2(b"}q\x00U\x01ah\x00s"),
    "module that holds itself": proto2(code(Call("torch.nn.modules.activation.SiLU")) + b"q\x00h\x00b"),
    "number keys without end": proto2(
        b"}(" + b"".join(b"J" + struct.pack("<i", i) + b"N" for i in range(25_000)) + b"u"
    ),
}
# Each puts one big value into the memo and has it copied until memory or patience is gone.
COPIES = {
    "a list into sets": (b"](" + b"N" * 20_000 + b"eq\x00", b"cbuiltins\nset\n(h\x00tR"),
    "a text into bytes": (b"X\x00\x00\x10\x00" + b"a" * (1 << 20) + b"q\x00", b"c_codecs\nencode\n(h\x00tR"),
    "a state into namespaces": (
        b"}(" + b"".join(code(f"{i}") + b"N" for i in range(20_000)) + b"uq\x00",
        b"cargparse\nNamespace\n)\x81h\x00b",
    ),
    "bytes into arrays": (
        b"B\x00\x00\x10\x00" + bytes(1 << 20) + b"q\x000" + code(Call("numpy.dtype", ("u8",), (3, ">"))) + b"q\x01",
        b"cnumpy.core.numeric\n_frombuffer\n(h\x00h\x01" + code((1 << 17,)) + b"tR",
    ),
}


@pytest.mark.parametrize("case", list(COPIES))
def test_what_is_copied_is_paid_for(tmp_path, case):
    value, copied = COPIES[case]
    assert "unfolds into more" in refusal(tmp_path, proto2(b"](" + value + (copied + b"0") * 200 + b"e"))


def test_a_small_file_is_not_a_large_tree(tmp_path):
    assert "unfolds into more nodes" in refusal(tmp_path, laughs(b"]", 14))


BOMB_WORDS = {"billion laughs": "unfolds into more nodes", "list that holds itself": "contains itself"}


@pytest.mark.parametrize("case", list(BOMBS))
def test_a_bomb_is_refused_soon(tmp_path, case):
    assert BOMB_WORDS.get(case, "") in refusal(tmp_path, BOMBS[case])


def test_instructions_without_end_are_refused(tmp_path):
    path = written(tmp_path, proto2(b"N0" * 10_000 + b"N"))
    with pytest.raises(CheckpointError, match="unfolds into more instructions"):
        read_checkpoint(path, limits=Limits(instructions=10_000))


def test_a_file_beyond_the_limit_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="the limit is 100"):
        read_checkpoint(written(tmp_path, good()["flax"]), limits=Limits(file_bytes=100))


def test_one_storage_seen_often_is_not_unfolded_without_end(tmp_path):
    numel = 1 << 20
    transposed = [rebuilt(storage("0", "float32", numel), (1024, 1024), (1, 1024)) for _ in range(50)]
    evil = torch_zip(transposed, {"0": np.zeros(numel, np.float32)})
    with pytest.raises(CheckpointError, match="unfolds into more bytes"):
        read_checkpoint(written(tmp_path, evil))
