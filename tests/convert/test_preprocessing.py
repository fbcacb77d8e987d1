"""Mean, standard deviation, size and crop are settings of every classifier family; nonsense is refused."""

import pytest

from ssni_jax.convert.families import CLASSIFIERS, FAMILIES
from ssni_jax.convert.preprocessing import preprocessing, settings
from ssni_jax.networks.classifier import Preprocessing
from tests.convert import test_cnn_families as cnn
from tests.convert import test_vit_families as vit
from tests.convert.test_inception_family import fid, torchvision

MAKE = {
    "robustbench-wide-resnet": cnn.standard,
    "robustbench-dm-wide-resnet": cnn.dm,
    "cifar-resnet": lambda: {name.removeprefix("module."): array for name, array in cnn.cifar().items()},
    "torchvision-resnet": cnn.bottlenecks,
    "torchvision-squeezenet": cnn.squeezenet,
    "timm-vit": vit.drawn,
    "timm-deit": vit.drawn,
    "hf-vit": lambda: vit.for_the_hub(vit.drawn()),
    "hf-deit": lambda: vit.for_the_hub(vit.drawn()),
    "fid-inception": fid,
    "torchvision-inception": torchvision,
}
NAMES = ("mean", "std", "input_size", "crop", "interpolation", "antialias")


def around(name, **options):
    """The preprocessing of a family's smallest file with these options."""
    family = FAMILIES[name]
    return family.plan(MAKE[name](), {**family.options, **options}).around


def test_every_classifier_family_is_here():
    assert set(MAKE) == {family.name for family in CLASSIFIERS}


@pytest.mark.parametrize("name", MAKE)
def test_every_classifier_family_has_the_settings(name):
    assert set(NAMES) <= set(FAMILIES[name].options)
    size = vit.PATCH * vit.SIDE  # that of the small transformers
    given = {"mean": [0.1, 0.2, 0.3], "std": (0.4, 0.5, 1), "input_size": 16, "crop": size, "interpolation": "cubic"}
    expected = Preprocessing((0.1, 0.2, 0.3), (0.4, 0.5, 1.0), 16, "cubic", False, size)
    assert vars(around(name, **given, antialias=False)) == vars(expected)


@pytest.mark.parametrize("name", ["cifar-resnet", "torchvision-resnet", "fid-inception", "robustbench-wide-resnet"])
def test_one_value_serves_all_channels_and_none_keeps_the_size(name):
    given = around(name, mean=0.5, std=[0.25], input_size=None)
    assert (given.mean, given.std, given.size) == ((0.5,), (0.25,), None)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mean": (0.5, 0.5)}, r"mean has 2 values for 3 channels: give one each, or one for all"),
        ({"std": ()}, r"std has 0 values for 3 channels"),
        ({"mean": "imagenet"}, r"mean is 'imagenet', but it must be numbers such as mean=\(0.5,0.5,0.5\)"),
        ({"mean": (0.5, None, 0.5)}, "must be numbers"),
        ({"std": float("nan")}, "must be numbers"),
        ({"std": True}, "must be numbers"),
        ({"std": (0.5, 0.0, 0.5)}, "must be positive in every channel"),
        ({"mean": (123.675, 116.28, 103.53)}, r"images are in \[0, 1\]: divide values of 0 to 255 by 255"),
        ({"std": 58.4}, r"images are in \[0, 1\]: divide"),
        ({"input_size": 224.0}, "input_size is 224.0, but it must be a number of pixels, or None"),
        ({"input_size": 0}, "input_size is 0, but it must be a number of pixels"),
        ({"crop": "224"}, "crop is '224', but it must be a number of pixels"),
        ({"crop": True}, "crop is True, but it must be a number of pixels"),
        ({"input_size": 200, "crop": 224}, "the middle 224 pixels of images of 200 pixels cannot be kept"),
        ({"interpolation": "bilinear"}, "interpolation is 'bilinear', but it must be one of nearest, linear"),
        ({"antialias": 1}, "antialias is 1, but it must be True or False"),
    ],
)
def test_what_makes_no_sense_is_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        preprocessing({**settings(), **options}, 3)


@pytest.mark.parametrize(
    ("name", "first"), [("torchvision-squeezenet", "features.0.weight"), ("cifar-resnet", "conv1.weight")]
)
def test_the_channels_are_those_of_the_network(name, first):
    family, tensors = FAMILIES[name], MAKE[name]()
    grey = {**tensors, first: tensors[first][:, :1]}
    with pytest.raises(ValueError, match="mean has 3 values for 1 channels"):
        family.plan(grey, family.options)
    assert family.plan(grey, {**family.options, "mean": 0.5, "std": 0.5}).around.mean == (0.5,)
