"""Laws of the two families of Inception v3, on the names and shapes of the reference case."""

from pathlib import Path

import numpy as np
import pytest

from ssni_jax.convert.family import sources_of, unaccounted
from ssni_jax.convert.inception import FID_INCEPTION, TORCHVISION_INCEPTION
from ssni_jax.networks import InceptionConfig
from tests.reference.case import Case

CASE = Case(Path(__file__).parents[1] / "reference" / "cases" / "fid_inception")
AUXILIARY = {"AuxLogits.conv0.conv.weight": (128, 768, 1, 1), "AuxLogits.fc.bias": (1000,)}


def of_value(shapes, value=0.0):
    """Tensors of one value, which take no memory."""
    return {name: np.broadcast_to(np.float32(value), shape) for name, shape in shapes.items()}


def fid():
    return of_value({name: tuple(shape) for name, shape, _ in CASE.manifest["tensors"]})


def torchvision():
    return {**fid(), **of_value({**AUXILIARY, "fc.weight": (1000, 2048), "fc.bias": (1000,)})}


FILES = {
    "fid": (FID_INCEPTION, fid, InceptionConfig("fid", 1008)),
    "torchvision": (TORCHVISION_INCEPTION, torchvision, InceptionConfig("torchvision", 1000)),
}


@pytest.fixture(scope="module")
def sources():
    """Where every parameter comes from; the two networks have the same ones."""
    return sources_of(FID_INCEPTION.plan(fid(), FID_INCEPTION.options))


@pytest.mark.parametrize("name", FILES)
def test_the_config_follows_and_every_tensor_is_accounted_for(name, sources):
    family, make, config = FILES[name]
    plan = family.plan(make(), family.options)
    assert plan.config == config
    assert unaccounted(sources, make(), plan) == ([], [])


def test_each_family_says_whose_the_others_file_is():
    with pytest.raises(ValueError, match="has 1000 classes, and the network of FID 1008: it is torchvision's"):
        FID_INCEPTION.plan(torchvision(), {})
    with pytest.raises(ValueError, match="1008 classes: it is the network of FID, not torchvision's"):
        TORCHVISION_INCEPTION.plan(fid(), {})
    with pytest.raises(ValueError, match=r"the file has no Conv2d_1a_3x3\.conv\.weight"):
        FID_INCEPTION.plan(of_value({"fc.weight": (1008, 2048)}), {})


def test_the_auxiliary_head_is_left_out_of_torchvisions_and_a_stranger_of_neither(sources):
    both = of_value({**AUXILIARY, "Mixed_9a.branch1x1.conv.weight": (1,)})
    for name, left in (("fid", sorted(both)), ("torchvision", ["Mixed_9a.branch1x1.conv.weight"])):
        family, make, _ = FILES[name]
        tensors = {**make(), **both}
        assert unaccounted(sources, tensors, family.plan(tensors, family.options)) == ([], left)


def test_kernels_turn_and_norms_keep_their_place(sources):
    names, port = sources["blocks/Mixed_6c/branch7x7dbl_2/conv/kernel"]
    assert names == ("Mixed_6c.branch7x7dbl_2.conv.weight",)
    assert port(fid()[names[0]]).shape == (7, 1, 160, 160)
    assert sources["blocks/Mixed_7b/branch3x3_2a/norm/var"].names == ("Mixed_7b.branch3x3_2a.bn.running_var",)
    assert sources["stem/Conv2d_4a_3x3/norm/scale"].names == ("Conv2d_4a_3x3.bn.weight",)


def test_images_reach_the_network_between_minus_one_and_one_at_299_pixels():
    plain, smooth = (family.plan(make(), family.options).around for family, make, _ in FILES.values())
    assert (plain.mean, plain.std, plain.size) == (smooth.mean, smooth.std, smooth.size) == ((0.5,), (0.5,), 299)
    assert (plain.antialias, smooth.antialias) == (False, True)
