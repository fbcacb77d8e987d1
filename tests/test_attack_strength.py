"""The comparison with AutoAttack finds the attacks and networks of a file, and fails what is weak or wrong."""

import jax
import pytest

from ssni_jax.attacks import L2
from tests.attack_strength import Accuracy, ensemble, main, verdict_on
from tests.reference.small_classifiers import blocks, cnn_a, resnet_b, small_classifier

LINEAR = {f"linear{k}.{leaf}" for k in (1, 2) for leaf in ("weight", "bias")}
RESNET = {"conv1.weight", "conv1.bias", "layer1.0.conv1.weight", "layer2.0.conv1.weight", "layer1.1.conv1.weight"}
CASE = {"clean": 0.7}


def test_the_attacks_of_a_run_go_towards_all_target_classes_in_its_norm():
    chosen = ensemble({"norm": "L2", "eps": 0.25, "attacks": ["apgd-t", "square"]})
    assert chosen.names == (*(f"apgd-t{rank}" for rank in range(1, 10)), "square")
    threats = [attack.attack.threat for attack in chosen.attacks]
    assert all(isinstance(threat, L2) and threat.eps == 0.25 for threat in threats)
    with pytest.raises(ValueError, match=r"There is no attack apgd-x: choose among apgd-ce"):
        ensemble({"norm": "L2", "eps": 0.25, "attacks": ["apgd-x", "square"]})


@pytest.mark.parametrize(
    ("clean", "robust", "attacks", "verdict"),
    [
        (0.7, 0.52, ["apgd-ce"], ""),
        (0.7, 0.522, ["apgd-ce"], "TOO WEAK"),
        (0.7, 0.51, ["apgd-ce", "square"], ""),
        (0.7, 0.512, ["apgd-ce", "square"], "TOO WEAK"),
        (0.704, 0.3, ["apgd-ce"], ""),
        (0.2, 0.0, ["apgd-ce"], "WRONG NETWORK"),
    ],
)
def test_a_weak_attack_and_a_wrong_network_fail(clean, robust, attacks, verdict):
    assert verdict_on(Accuracy(clean, robust), CASE, {"robust": 0.5, "attacks": attacks}) == verdict


def test_no_file_is_a_failure(tmp_path, capsys):
    assert main([str(tmp_path)]) == 1 and "0 runs" in capsys.readouterr().out


def shapes(width, blocks, n_features):
    """The tensors of a ResNet-2B or -4B: each block by name, channels before and after, and whether it strides."""
    layers = {"conv1": (width, 3, 3, 3), "linear1": (100, n_features), "linear2": (10, 100)}
    for name, before, after, strides in blocks:
        layers |= {f"{name}.conv1": (after, before, 3, 3), f"{name}.conv2": (after, after, 3, 3)}
        layers |= {f"{name}.shortcut.0": (after, before, 1, 1)} if strides else {}
    weights = {f"{name}.weight": jax.ShapeDtypeStruct(shape, float) for name, shape in layers.items()}
    return weights | {f"{name}.bias": jax.ShapeDtypeStruct(shape[:1], float) for name, shape in layers.items()}


TWO = (("layer1.0", 8, 16, True), ("layer1.1", 16, 16, False))
FOUR = (("layer1.0", 16, 32, True), ("layer1.1", 32, 32, False))
FOUR += (("layer2.0", 32, 32, True), ("layer2.1", 32, 32, False))


@pytest.mark.parametrize("weights", [shapes(8, TWO, 1024), shapes(16, FOUR, 512)], ids=["2B", "4B"])
def test_published_shapes_make_a_network(weights):
    images = jax.ShapeDtypeStruct((2, 32, 32, 3), float)
    assert jax.eval_shape(small_classifier(weights), weights, images).shape == (2, 10)


def test_a_network_is_known_by_its_tensors():
    sequential = dict.fromkeys(f"{layer}.{leaf}" for layer in (0, 2, 5, 7) for leaf in ("weight", "bias"))
    assert small_classifier(sequential) is cnn_a
    assert small_classifier(dict.fromkeys(RESNET | LINEAR)) is resnet_b
    assert blocks(RESNET) == ["layer1.0", "layer1.1", "layer2.0"]
    assert small_classifier(dict.fromkeys(RESNET | LINEAR | {"bn1.running_mean"})) is None
    assert small_classifier(dict.fromkeys(RESNET | {"linear.weight"})) is None
