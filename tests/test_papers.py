"""The rows of the papers' tables: every one is built from shapes, and four run with small networks in their places."""

import dataclasses
import itertools
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.attacks import L2, Linf
from ssni_jax.convert.public_files import PUBLIC_FILES
from ssni_jax.core.rng import sample_keys
from ssni_jax.data import ImageFolder, Npz
from ssni_jax.experiments.fit import fitted
from ssni_jax.experiments.paper_rows import score_of
from ssni_jax.networks.network import abstract
from ssni_jax.published import Published, published_in
from ssni_jax.purify import NoDeviation
from ssni_jax.purify.calibration import deviation_facts
from ssni_jax.zoo import outline

FOLDER = Path(__file__).parent.parent / "configs" / "papers"
PAPERS = sorted(path for path in FOLDER.glob("*.py") if not path.stem.startswith("norms"))
MILLIONS = {  # parameters and stored statistics, as the files' publishers or users count them
    "cifar10-score": 106.63,
    "wrn-28-10": 36.50,
    "wrn-70-16": 266.88,
    "imagenet256-uncond": 552.81,
    "resnet50-256": 25.61,
    "ddpm-cifar10": 52.55,
    "edm-cifar10": 56.40,
    "cd-lpips-cifar10": 56.40,
    "consistency-purification-cifar10": 56.40,
    "cifar10-classifier": 85.81,
    "edm-cifar10-uncond-vp": 55.73,
    "edm-imagenet64": 295.90,
    "cd-imagenet64": 295.90,
    "lpips_v0.1_vgg": 14.72,
}


pytestmark = pytest.mark.usefixtures("data_of_configs")


def chosen(path):
    """The `Chosen` of a config."""
    return runpy.run_path(str(path))["experiment"]


def rows(path):
    """Every row of a config: SSNI, norm, protocol and classifier."""
    row = chosen(path)
    classifiers = ("wrn-28-10", "wrn-70-16") if "cifar10" in path.name else ("resnet50-256",)
    norms = ("Linf", "L2") if "cifar10" in path.name else ("Linf",)
    for ssni, norm, protocol, classifier in itertools.product(
        ("none", "L", "N"), norms, ("released", "exact"), classifiers
    ):
        choices = dataclasses.replace(row.choices, ssni=ssni, norm=norm, protocol=protocol, classifier=classifier)
        yield choices, row.build(choices)


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_every_row_is_built_without_weights(path):
    for choices, evaluation in rows(path):
        (purifier,) = evaluation.defense.purifiers
        assert isinstance(purifier.deviation, NoDeviation) == (choices.ssni == "none")
        if choices.ssni != "none":
            assert purifier.deviation.n_levels == (20 if choices.data == "CIFAR-10" else 50)
        first = evaluation.attack.attacks[0].attack if choices.protocol == "exact" else evaluation.attack
        assert isinstance(first.threat, Linf if choices.norm == "Linf" else L2)
        names = {network.name for network in published_in(evaluation)}
        assert names == {score_of(choices).name, choices.classifier}


@pytest.mark.slow
@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_every_row_gives_logits_from_shapes(path):
    for choices, evaluation in rows(path):
        side = 32 if choices.data == "CIFAR-10" else evaluation.images.image_shape[0]
        keys, x = sample_keys(jax.random.key(0), jnp.arange(2)), jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
        logits = jax.eval_shape(lambda predict, x, keys=keys: predict(keys, x), outline(evaluation.defense), x)
        assert logits.shape == (2, 10 if choices.data == "CIFAR-10" else 1000)


@pytest.mark.parametrize("protocol", ["released", "exact"])
@pytest.mark.parametrize("data", ["cifar10", "imagenet"])
def test_reference_norms_are_measured_as_the_row_measures(data, protocol):
    """With other labels, levels or image sizes t(x) would be wrong without a word."""
    row = chosen(FOLDER / f"{data}_diffpure.py")
    choices = dataclasses.replace(row.choices, protocol=protocol)
    norms = runpy.run_path(str(FOLDER.parent.parent / choices.norms.config))["experiment"]
    evaluation = row.build(choices)
    deviation = evaluation.defense.purifiers[0].deviation
    assert deviation_facts(norms.deviation) == deviation_facts(deviation)
    labels = (measured.denoise.about()["coefficients"] for measured in (norms.deviation, deviation))
    assert next(labels) == next(labels)
    assert norms.images.image_shape == evaluation.images.image_shape
    assert choices.norms.file.parent / norms.deviation.denoise.name == norms.deviation.denoise.path
    assert (norms.n_images, norms.order_seed) == (5000, 0)


@pytest.mark.parametrize("name", PUBLIC_FILES)
def test_a_public_network_has_the_size_of_its_file(name):
    shapes = abstract(PUBLIC_FILES[name].config.make)[1]
    assert round(sum(leaf.size for leaf in jax.tree.leaves(shapes)) / 1e6, 2) == MILLIONS[name]


def test_a_network_that_is_not_stored_says_how_to_get_it(tmp_path):
    network = Published("wrn-28-10", folder=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"download https://drive.* then run `ssni convert Standard.pt"):
        network.load()


def test_an_unknown_public_network_is_refused_with_the_names():
    with pytest.raises(ValueError, match="no published network 'wrn': choose one of cifar10-score, wrn-28-10"):
        Published("wrn")


def test_the_released_imagenet_row_takes_224_pixels_and_purifies_256(tmp_path):
    path = next(path for path in PAPERS if path.stem == "imagenet_diffpure")
    images = np.zeros((2, 224, 224, 3), np.uint8)
    np.savez(tmp_path / "x.npz", images=images, labels=np.arange(2))
    row = chosen(path)
    released = row.build(dataclasses.replace(row.choices, ssni="none", protocol="released"))
    assert released.images.image_shape == (224, 224, 3) and isinstance(row.choices.images, ImageFolder)
    given = dataclasses.replace(released, images=Npz(str(tmp_path / "x.npz")), n_images=2)
    fitted(given)
    exact = dataclasses.replace(given, defense=row.build(dataclasses.replace(row.choices, ssni="none")).defense)
    with pytest.raises(ValueError, match=r"the images are 224 x 224 x 3 .* purifies 256 x 256 x 3"):
        fitted(exact)
