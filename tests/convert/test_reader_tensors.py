"""Tensors that claim more than their storage holds: each is refused before an array is made."""

import numpy as np
import pytest

from tests.convert.files import (
    Call,
    Global,
    Persistent,
    pickled,
    rebuilt,
    refusal,
    storage,
    torch_legacy,
    torch_zip,
)

FLOATS = np.arange(4, dtype=np.float32)


LIES = {
    "longer than its storage": rebuilt(storage("0", "float32", 4), (5,)),
    "stride beyond its storage": rebuilt(storage("0", "float32", 4), (2,), (4,)),
    "offset beyond its storage": rebuilt(storage("0", "float32", 4), (1,), (1,), 4),
    "negative offset": rebuilt(storage("0", "float32", 4), (1,), (1,), -1),
    "negative size": rebuilt(storage("0", "float32", 4), (-1,), (1,)),
    "negative stride": rebuilt(storage("0", "float32", 4), (2,), (-1,), 1),
    "expanded": rebuilt(storage("0", "float32", 4), (1 << 38,), (0,)),
    "expanded beyond counting": rebuilt(storage("0", "float32", 4), (1 << 61, 1 << 61), (0, 0)),
    "empty and huge": rebuilt(storage("0", "float32", 4), (0, 1 << 61, 1 << 61), (0, 0, 0)),
    "huge stride": rebuilt(storage("0", "float32", 4), (2,), (1 << 61,)),
    "overflowing integer": rebuilt(storage("0", "float32", 4), (2,), (1 << 100,)),
    "size is text": rebuilt(storage("0", "float32", 4), ("4",), (1,)),
    "size is a boolean": rebuilt(storage("0", "float32", 4), (True,), (1,)),
    "size is a float": rebuilt(storage("0", "float32", 4), (4.0,), (1,)),
    "more strides than sizes": rebuilt(storage("0", "float32", 4), (4,), (1, 1)),
    "33 axes": rebuilt(storage("0", "float32", 4), (1,) * 33),
    "storage longer than its bytes": rebuilt(storage("0", "float32", 5), (5,)),
    "storage shorter than its bytes": rebuilt(storage("0", "float32", 3), (3,)),
    "storage of 10 GB": rebuilt(storage("0", "float32", 10 << 28), (10 << 28,)),
    "storage of negative size": rebuilt(storage("0", "float32", -4), (4,)),
    "storage of another type": [rebuilt(storage("0", "float32", 4), (4,)), rebuilt(storage("0", "int64", 2), (2,))],
    "storage that is not there": rebuilt(storage("1", "float32", 4), (4,)),
    "storage that climbs": rebuilt(storage("../../etc/passwd", "float32", 4), (4,)),
    "storage is text": rebuilt("0", (4,)),
    "storage is a number": rebuilt(Persistent(7), (4,)),
    "view beyond its storage": rebuilt(storage("0", "float32", 4, ("v", 2, 3)), (3,)),
    "view that is none": rebuilt(storage("0", "float32", 4, (1,)), (3,)),
    "whole module": Persistent(("module", Global("torch.FloatStorage"), "file.py", "source")),
}


@pytest.mark.parametrize("case", list(LIES))
@pytest.mark.parametrize("make", [torch_zip, torch_legacy])
def test_a_tensor_that_lies_is_refused(tmp_path, case, make):
    refusal(tmp_path, make(LIES[case], {"0": FLOATS}))


def test_an_expanded_tensor_is_told_the_remedy(tmp_path):
    assert "contiguous()" in refusal(tmp_path, torch_zip(LIES["expanded"], {"0": FLOATS}))


def test_a_shape_beyond_counting_is_told(tmp_path):
    assert "claims the shape" in refusal(tmp_path, torch_zip(LIES["empty and huge"], {"0": FLOATS}))


def test_whole_modules_are_told_the_remedy(tmp_path):
    sentence = refusal(tmp_path, torch_legacy(LIES["whole module"], {}))
    assert "whole modules" in sentence and "save its state_dict() instead" in sentence


def test_quantized_tensors_are_named(tmp_path):
    evil = pickled(Call("torch._utils._rebuild_qtensor", (Global("torch.QInt8Storage"),)))
    assert "quantized" in refusal(tmp_path, evil)
