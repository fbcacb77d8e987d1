"""Laws of the families of convolutional classifiers and of LPIPS."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.convert.cifar_resnet import CIFAR_RESNET
from ssni_jax.convert.family import Converted, Family, convert, fits
from ssni_jax.convert.lpips import LPIPS
from ssni_jax.convert.robustbench import DM_WIDE_RESNET, STANDARD
from ssni_jax.convert.torchvision import RESNET, SQUEEZENET
from ssni_jax.networks import LpipsConfig, Network, ResNetConfig, SqueezeNetConfig, WideResNetConfig, abstract, unflat
from ssni_jax.networks.classifier import PreprocessedClassifier, Preprocessing
from ssni_jax.networks.lpips import SCALE, SHIFT

Tensors = dict[str, np.ndarray]
Shapes = Mapping[str, tuple[int, ...]]
IMAGENET = Preprocessing((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224)


def drawn(shapes: Shapes) -> Tensors:
    """Tensors that differ everywhere."""
    rng = np.random.default_rng(0)
    made = {name: rng.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in shapes.items()}
    return {name: array.astype(np.int64) if name.endswith("tracked") else array for name, array in made.items()}


def norm(name: str, n: int) -> Shapes:
    leaves = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{leaf}": (n,) for leaf in leaves}, f"{name}.num_batches_tracked": ()}


def wide_resnet(block: str, first: int, names: str, n_classes: int = 10) -> Tensors:
    """Depth 16, width 1; `names` are those of stem, last norm, head, and of a block's norms, convolutions, shortcut."""
    stem, last, head, *norms, conv0, conv1, shortcut = names.split()
    shapes, n_in = {f"{stem}.weight": (16, 3, 3, 3)}, 16
    for group, n in enumerate((32, 64, 128)):
        for index in range(2):
            at = f"{block.format(group + first, index)}."
            shapes |= norm(at + norms[0], n_in) | {at + f"{conv0}.weight": (n, n_in, 3, 3)}
            shapes |= norm(at + norms[1], n) | {at + f"{conv1}.weight": (n, n, 3, 3)}
            shapes |= {} if index else {at + f"{shortcut}.weight": (n, n_in, 1, 1)}
            n_in = n
    return drawn(shapes | norm(last, 128) | {f"{head}.weight": (n_classes, 128), f"{head}.bias": (n_classes,)})


def standard() -> Tensors:
    return wide_resnet("block{}.layer.{}", 1, "conv1 bn1 fc bn1 bn2 conv1 conv2 convShortcut")


def dm(n_classes: int = 10) -> Tensors:
    names = "init_conv batchnorm logits batchnorm_0 batchnorm_1 conv_0 conv_1 shortcut"
    return wide_resnet("layer.{}.block.{}", 0, names, n_classes)


def resnet(kernels: tuple[int, ...], stages: tuple[int, ...], stem: int, head: str, *, project: bool) -> Tensors:
    """Width 4, bottlenecks of twice that width if a block has three kernels."""
    shapes, n_in, expansion = {"conv1.weight": (4, 3, stem, stem), **norm("bn1", 4)}, 4, 4 if len(kernels) == 3 else 1
    for stage, n_blocks in enumerate(stages):
        n_out, n_inner = 4 * 2**stage * expansion, (8 if len(kernels) == 3 else 4) * 2**stage
        for index in range(n_blocks):
            at, widths = f"layer{stage + 1}.{index}.", [n_in, *[n_inner] * (len(kernels) - 1), n_out]
            for i, k in enumerate(kernels):
                shapes |= {f"{at}conv{i + 1}.weight": (widths[i + 1], widths[i], k, k)}
                shapes |= norm(f"{at}bn{i + 1}", widths[i + 1])
            if project and n_in != n_out:
                shapes |= {f"{at}downsample.0.weight": (n_out, n_in, 1, 1), **norm(f"{at}downsample.1", n_out)}
            n_in = n_out
    return drawn(shapes | {f"{head}.weight": (6, n_in), f"{head}.bias": (6,)})


def bottlenecks() -> Tensors:
    return resnet((1, 3, 1), (1, 2, 1, 1), 7, "fc", project=True)


def cifar() -> Tensors:
    tensors = resnet((3, 3), (2, 2, 2), 3, "linear", project=False)
    return {f"module.{name}": array for name, array in tensors.items()}


def features(outer: Callable[[int, int], str] = lambda stage, index: f"features.{index}") -> Tensors:
    """SqueezeNet's features; `outer` names the module of a stage and an index."""
    shapes, n_in = {f"{outer(1, 0)}.weight": (64, 3, 3, 3), f"{outer(1, 0)}.bias": (64,)}, 64
    places = ((2, 3, 16), (2, 4, 16), (3, 6, 32), (3, 7, 32), (4, 9, 48), (5, 10, 48), (6, 11, 64), (7, 12, 64))
    for stage, index, n in places:
        for part, n_from, n_to, k in (("squeeze", n_in, n, 1), ("expand1x1", n, 4 * n, 1), ("expand3x3", n, 4 * n, 3)):
            name = f"{outer(stage, index)}.{part}"
            shapes |= {f"{name}.weight": (n_to, n_from, k, k), f"{name}.bias": (n_to,)}
        n_in = 8 * n
    return drawn(shapes)


def squeezenet() -> Tensors:
    return {**features(), **drawn({"classifier.1.weight": (6, 512, 1, 1), "classifier.1.bias": (6,)})}


def heads(name: str = "lin{}") -> Tensors:
    widths = (64, 128, 256, 384, 384, 512, 512)
    return drawn({f"{name.format(i)}.model.1.weight": (1, n, 1, 1) for i, n in enumerate(widths)})


def whole_module() -> Tensors:
    """A saved module: every head twice, and the scaling among the tensors."""
    scaling = {f"scaling_layer.{n}": np.reshape(v, (1, 3, 1, 1)) for n, v in (("shift", SHIFT), ("scale", SCALE))}
    return {**scaling, **features(lambda stage, i: f"net.slice{stage}.{i}"), **heads(), **heads("lins.{}")}


CASES = {
    "standard": (STANDARD, standard, WideResNetConfig(16, 2)),
    "dm": (DM_WIDE_RESNET, dm, WideResNetConfig(16, 2, activation="swish", padding="end")),
    "resnet": (RESNET, bottlenecks, ResNetConfig(stages=(1, 2, 1, 1), width=4, widen_factor=2, n_classes=6)),
    "basic resnet": (
        RESNET,
        lambda: resnet((3, 3), (2, 2, 2, 2), 7, "fc", project=True),
        ResNetConfig("basic", (2, 2, 2, 2), 4, n_classes=6),
    ),
    "cifar resnet": (CIFAR_RESNET, cifar, ResNetConfig("basic", (2, 2, 2), 4, 1, "plain", "pad", 6)),
    "squeezenet": (SQUEEZENET, squeezenet, SqueezeNetConfig(6)),
    "lpips": (LPIPS, lambda: {**heads(), **squeezenet()}, LpipsConfig("squeeze")),
    "whole lpips": (LPIPS, whole_module, LpipsConfig("squeeze")),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request) -> tuple[Family, Tensors, object]:
    family, make, config = request.param
    return family, make(), config


def loaded(converted: Converted) -> Network:
    graphdef, shapes = abstract(converted.config.make)
    return Network(graphdef, unflat(shapes, {key: jnp.asarray(array) for key, array in converted.arrays.items()}))


def test_the_config_follows_from_names_and_shapes(case):
    family, tensors, config = case
    converted = convert(family, tensors)
    assert converted.config == config
    assert all(array.dtype == np.float32 for array in converted.arrays.values())


def test_a_file_fits_its_own_family_only(case):
    family, tensors, _ = case
    fitting = {each.name for each, _, _ in CASES.values() if fits(each, tensors)}
    assert fitting == {family.name}


def test_every_tensor_is_used_or_left_out_on_purpose(case):
    family, tensors, _ = case
    strangers = {**tensors, "stranger.weight": np.ones(3, np.float32)}
    with pytest.raises(ValueError, match=r"1 unexpected: stranger\.weight"):
        convert(family, strangers)


def test_missing_and_misshaped_tensors_are_named(case):
    family, tensors, _ = case
    names = [name for name, array in tensors.items() if array.ndim == 1 and not name.startswith("classifier")]
    lost, bent = names[-2:]
    broken = {name: array[:-1] if name == bent else array for name, array in tensors.items() if name != lost}
    with pytest.raises(ValueError) as raised:
        convert(family, broken)
    assert f"1 missing: {lost.removeprefix('module.')}" in str(raised.value)
    assert f"1 mis-shaped: {bent.removeprefix('module.')}" in str(raised.value)


@pytest.mark.parametrize(("family", "name"), [(STANDARD, "block1.layer.0.conv1"), (LPIPS, "lin0.model.1")])
def test_another_file_is_refused_in_a_sentence(family, name):
    with pytest.raises(ValueError, match=f"the file has no {name}.weight .it begins with a.: choose the family"):
        convert(family, {"a": np.ones(2, np.float32)})


def test_kernels_turn_and_norms_keep_their_place():
    tensors = bottlenecks()
    arrays = convert(RESNET, tensors).arrays
    block = "blocks/stage1_block0"
    kernel = tensors["layer2.0.conv2.weight"]
    np.testing.assert_array_equal(arrays[f"{block}/conv1/kernel"], kernel.transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(arrays[f"{block}/norm2/var"], tensors["layer2.0.bn3.running_var"])
    np.testing.assert_array_equal(arrays[f"{block}/shortcut/norm/scale"], tensors["layer2.0.downsample.1.weight"])
    np.testing.assert_array_equal(arrays["head/kernel"], tensors["fc.weight"].T)


@pytest.mark.parametrize(("family", "make"), [(STANDARD, standard), (DM_WIDE_RESNET, dm), (CIFAR_RESNET, cifar)])
def test_a_converted_classifier_takes_images(family, make):
    converted = convert(family, make())
    classify = PreprocessedClassifier(loaded(converted), converted.around)
    logits = jax.jit(lambda classify, x: classify(x))(classify, jnp.ones((2, 8, 8, 3)))
    assert logits.shape[0] == 2 and bool(jnp.all(jnp.isfinite(logits)))


def test_imagenet_classifiers_resize_and_normalise():
    for family, make in ((RESNET, bottlenecks), (SQUEEZENET, squeezenet)):
        assert vars(convert(family, make()).around) == vars(IMAGENET)


def test_standard_networks_take_pixels_as_they_are():
    x = jnp.linspace(0, 1, 48).reshape(1, 4, 4, 3)
    np.testing.assert_array_equal(convert(STANDARD, standard()).around(x), x)


def test_dm_networks_are_normalised_by_the_file_or_by_their_classes():
    assert convert(DM_WIDE_RESNET, dm()).around.std == (0.2471, 0.2435, 0.2616)
    assert convert(DM_WIDE_RESNET, dm(100)).around.std == (0.2673, 0.2564, 0.2762)
    stored = {"mean": np.full((3, 1, 1), 0.5, np.float32), "std": np.full((3, 1, 1), 0.25, np.float32)}
    around = convert(DM_WIDE_RESNET, {**dm(), **stored}).around
    assert (around.mean, around.std) == ((0.5,) * 3, (0.25,) * 3)


def test_an_activation_that_no_tensor_shows_is_an_option():
    assert convert(DM_WIDE_RESNET, dm(), {"activation_fn": "relu"}).config.activation == "relu"
    with pytest.raises(ValueError, match="activation is 'elu'"):
        convert(DM_WIDE_RESNET, dm(), {"activation_fn": "elu"})


def test_the_block_that_some_standard_networks_store_unused_is_left_out():
    tensors = standard()
    twice = {name.replace("block1", "sub_block1"): array for name, array in tensors.items() if "block1" in name}
    assert convert(STANDARD, {**tensors, **twice}).config == convert(STANDARD, tensors).config


def test_lpips_is_the_same_from_two_files_and_from_a_saved_module():
    parts, module = convert(LPIPS, {**heads(), **squeezenet()}), convert(LPIPS, whole_module())
    assert parts.arrays.keys() == module.arrays.keys()
    conv = "backbone/layers/stage4_layer0/expand3x3/kernel"
    for converted, name in ((parts, "features.10"), (module, "net.slice5.10")):
        source = {**squeezenet(), **whole_module()}[f"{name}.expand3x3.weight"]
        np.testing.assert_array_equal(converted.arrays[conv], source.transpose(2, 3, 1, 0))


def test_a_saved_module_counts_by_the_name_of_its_heads_that_torch_reads_last():
    doubled = {**whole_module(), **{name: 2 * array for name, array in heads("lins.{}").items()}}
    once, twice = (convert(LPIPS, tensors).arrays["heads/tap3/kernel"] for tensors in (whole_module(), doubled))
    np.testing.assert_array_equal(twice, 2 * once)


def test_another_scaling_is_not_lpips():
    with pytest.raises(ValueError, match="this is not LPIPS"):
        convert(LPIPS, {**whole_module(), "scaling_layer.shift": np.zeros((1, 3, 1, 1), np.float32)})


def test_heads_alone_say_which_backbone_to_add():
    with pytest.raises(ValueError, match="heads of LPIPS alone: add torchvision's squeezenet1_1"):
        convert(LPIPS, heads())
    with pytest.raises(ValueError, match=r"heads of \[5, 6\] channels fit none of the backbones alex, vgg, squeeze"):
        convert(LPIPS, drawn({f"lin{i}.model.1.weight": (1, n, 1, 1) for i, n in enumerate((5, 6))}))
