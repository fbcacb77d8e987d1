"""Conversion accounts for every tensor of a file, in one sentence where it cannot."""

import dataclasses

import numpy as np
import pytest
from flax import nnx

from ssni_jax.convert.family import Family, Plan, convert, fits, torch_source
from ssni_jax.convert.hints import hint, prefixes
from ssni_jax.convert.selection import Choice, state_dict
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
    settled = {} if options["heads"] else {"heads": 4}
    return Plan(TwoLayers(), lambda key: torch_source(*key.split("/")), ("scale",), options["scale"], settled)


def declared(part, tensors):
    return {"scale": 3.0} if "scale" in tensors else {}


OPTIONS = {"scale": 2.0, "heads": None, "gain": None}
FAMILY = Family("toy", "none", "tests", "none", plan, options=OPTIONS, declared=declared)


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
    with_scale = tensors() | {"scale": np.zeros(3)}
    assert convert(FAMILY, with_scale).around == 3.0
    assert convert(FAMILY, with_scale, {"scale": 4.0}).around == 4.0


def test_what_neither_the_caller_nor_the_file_gives_is_assumed():
    with_scale = tensors() | {"scale": np.zeros(3)}
    assert convert(FAMILY, tensors()).assumed == {"scale": 2.0, "heads": 4}
    assert convert(FAMILY, tensors(), {"heads": 2}).assumed == {"scale": 2.0}
    assert convert(FAMILY, with_scale).assumed == {"heads": 4}
    assert convert(FAMILY, with_scale, {"heads": 2, "gain": 1}).assumed == {}


def test_the_weights_that_were_taken_are_told():
    tree = {"state_dict": tensors(), "state_dict_ema": {name: 2 * array for name, array in tensors().items()}}
    for choice, key in (
        (Choice(), "state_dict_ema"),
        (Choice("raw"), "state_dict"),
        (Choice(key="state_dict"), "state_dict"),
    ):
        converted = convert(FAMILY, tree, choice=choice)
        assert (converted.selection.weights, converted.selection.key) == ("ema" if key.endswith("ema") else "raw", key)
        np.testing.assert_array_equal(converted.arrays["head/bias"], tree[key]["head.bias"])


def test_a_backbone_adds_what_the_file_lacks():
    backbone = {name: array for name, array in tensors().items() if name.startswith("conv")}
    head = {name: 3 * array for name, array in tensors().items() if name.startswith("head")}
    arrays = convert(FAMILY, head, backbone=backbone).arrays
    np.testing.assert_array_equal(arrays["conv/bias"], backbone["conv.bias"])
    np.testing.assert_array_equal(arrays["head/bias"], head["head.bias"])


def test_a_refused_file_is_told_the_prefix_that_would_fit():
    tree = {f"net2.trunk.{name}": array for name, array in tensors().items()} | {"0.mean": np.zeros(3)}
    assert prefixes(tree, Choice()) == ["net2.", "net2.trunk.", "net2.trunk.conv.", "net2.trunk.head.", "0."]
    assert hint(FAMILY, tree, Choice()) == " A part of its names fits: pass --prefix 'net2.trunk.'."
    two = tree | {f"teacher.{name}": array for name, array in tensors().items()}
    assert hint(FAMILY, two, Choice()).endswith("pass --prefix 'net2.trunk.' or --prefix 'teacher.'.")
    assert convert(FAMILY, tree, choice=Choice(prefix="net2.trunk.")).selection.left_out == ("0.mean",)
    assert hint(FAMILY, tree, Choice(prefix="net2.")) == ""


def test_an_unknown_option_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="toy has no option scales; its options: gain, heads, scale"):
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
