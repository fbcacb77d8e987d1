"""Conversion accounts for every tensor of a file, in one sentence where it cannot."""

import dataclasses

import numpy as np
import pytest
from flax import nnx

from ssni_jax.convert.family import Family, Plan, convert, fits, state_dict, torch_source
from ssni_jax.networks.layers import Conv, Linear


@dataclasses.dataclass(frozen=True)
class TwoLayers:
    """A 3x3 convolution from 2 to 4 channels, and a linear layer to 5."""

    def make(self, *, rngs: nnx.Rngs) -> nnx.Module:
        module = nnx.Module()
        module.conv, module.head = Conv(2, 4, 3, rngs=rngs), Linear(4, 5, rngs=rngs)
        return module


def plan(tensors, options):
    if "conv.weight" not in tensors:
        raise ValueError("the file has no conv.weight")
    return Plan(TwoLayers(), lambda key: torch_source(*key.split("/")), ("steps",), options["scale"])


FAMILY = Family("toy", "none", "tests", "none", plan, options={"scale": 2.0}, declared=lambda tree: declared(tree))


def declared(tree):
    return {"scale": 3.0} if "steps" in tree else {}


def tensors():
    rng = np.random.default_rng(0)
    shapes = {"conv.weight": (4, 2, 3, 3), "conv.bias": (4,), "head.weight": (5, 4), "head.bias": (5,)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_torch_kernels_are_turned_into_ours():
    given = tensors()
    arrays = convert(FAMILY, given).arrays
    np.testing.assert_array_equal(arrays["conv/kernel"][1, 2], given["conv.weight"][:, :, 1, 2].T)
    np.testing.assert_array_equal(arrays["head/kernel"], given["head.weight"].T)
    np.testing.assert_array_equal(arrays["head/bias"], given["head.bias"])


def test_a_one_by_one_convolution_may_stand_for_a_linear_layer():
    given = tensors()
    turned = {**given, "head.weight": given["head.weight"][:, :, None, None]}
    np.testing.assert_array_equal(convert(FAMILY, turned).arrays["head/kernel"], given["head.weight"].T)


def test_missing_unexpected_and_misshaped_tensors_are_listed_together():
    given = tensors() | {"extra": np.zeros(2), "head.weight": np.zeros((5, 3))}
    del given["conv.bias"]
    with pytest.raises(
        ValueError, match=r"1 missing: conv.bias; 1 unexpected: extra; 1 mis-shaped: head.weight \[5, 3\]"
    ):
        convert(FAMILY, given)


def test_float16_and_float64_become_float32():
    for dtype in (np.float16, np.float64):
        arrays = convert(FAMILY, {name: array.astype(dtype) for name, array in tensors().items()}).arrays
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}


def test_an_option_is_the_callers_else_the_files_else_the_familys():
    assert convert(FAMILY, tensors()).around == 2.0
    with_steps = tensors() | {"steps": np.zeros(())}
    assert convert(FAMILY, with_steps).around == 3.0
    assert convert(FAMILY, with_steps, {"scale": 4.0}).around == 4.0


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="toy has no option scales; its options: scale"):
        convert(FAMILY, tensors(), {"scales": 1})


def test_a_family_fits_a_tree_only_if_it_accounts_for_every_name():
    assert fits(FAMILY, tensors())
    assert not fits(FAMILY, tensors() | {"extra": np.zeros(2)})
    assert not fits(FAMILY, {"other": np.zeros(2)})
    assert not fits(FAMILY, [1, 2])


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
def test_a_state_dict_is_found_under_its_usual_keys_and_without_its_prefix(key):
    tree = {key: {"module.head.bias": np.zeros(5)}, "epoch": 3}
    assert list(state_dict(tree)) == ["head.bias"]


@pytest.mark.parametrize("tree", [[np.zeros(2)], {"head": {"bias": np.zeros(2)}}, {"epoch": 3}, "text"])
def test_what_is_no_state_dict_is_refused(tree):
    with pytest.raises(ValueError, match="no plain state dict"):
        state_dict(tree)
