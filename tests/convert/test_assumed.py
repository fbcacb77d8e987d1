"""Options that neither the file nor the caller gives are told as assumed, with the value that the network got."""

import numpy as np
import pytest

from ssni_jax.convert.cifar_resnet import CIFAR_RESNET
from ssni_jax.convert.consistency_models import CONSISTENCY_MODELS
from ssni_jax.convert.edm import EDM
from ssni_jax.convert.family import planned
from ssni_jax.convert.guided_diffusion import GUIDED_DIFFUSION
from ssni_jax.convert.improved_diffusion import IMPROVED_DIFFUSION
from ssni_jax.convert.jcm import JCM
from ssni_jax.convert.robustbench import DM_WIDE_RESNET, STANDARD
from ssni_jax.convert.score_sde import SCORE_SDE
from ssni_jax.convert.torchvision import RESNET
from tests.convert import test_cnn_families as cnn
from tests.convert.test_adm_families import drawn, openai_shapes
from tests.convert.test_song_families import edm_tensors, jcm_tree, score_sde_tensors


def assumed(family, tensors, **options):
    return planned(family, {}, tensors, options)[1]


def test_options_of_edm_count_by_their_class():
    edm, dropout = edm_tensors(), {"dropout": 0.13}
    assert assumed(EDM, edm) == {"class_name": "EDMPrecond", "sigma_data": 0.5, **dropout}
    assert assumed(EDM, edm, class_name="VEPrecond") == dropout
    assert assumed(EDM, edm, class_name="VPPrecond", beta_min=0.2) == {"beta_d": 19.9, **dropout}


def test_score_sdes_betas_and_filter_follow_from_its_embedding():
    tensors = score_sde_tensors()
    given = {"beta_min": 0.1, "beta_max": 20.0, "dropout": 0.1}
    assert assumed(SCORE_SDE, tensors, image_size=16) == {**given, "fir": False}
    assert assumed(SCORE_SDE, tensors, image_size=16, fir=True) == {**given, "fir_kernel": (1, 3, 3, 1)}


def test_a_consistency_model_in_jax_has_a_first_time_unless_it_is_a_denoiser():
    tensors = jcm_tree()["params"]
    first = assumed(JCM, tensors, attn_resolutions=(8,))
    assert (first["t_min"], first["fir"], first["image_size"]) == (0.002, True, 32)
    assert "t_min" not in assumed(JCM, tensors, attn_resolutions=(8,), training_mode="edm")


@pytest.mark.parametrize("family", [GUIDED_DIFFUSION, IMPROVED_DIFFUSION, CONSISTENCY_MODELS])
def test_the_released_network_of_a_shape_settles_what_is_open(family):
    channels = 3 if family is CONSISTENCY_MODELS else 6
    values = assumed(family, drawn(openai_shapes(out_channels=channels)), image_size=16, num_heads=2)
    assert "image_size" not in values and "num_heads" not in values and "num_head_channels" not in values
    assert {name for name, value in values.items() if value is None} == set()
    expected = {"sigma_min": 0.002} if family is CONSISTENCY_MODELS else {"diffusion_steps": 1000}
    if family is IMPROVED_DIFFUSION:
        expected = {"diffusion_steps": 4000, "noise_schedule": "cosine"}
    assert expected.items() <= values.items()


def test_settings_of_the_other_way_to_count_heads_are_not_assumed():
    tensors = drawn(openai_shapes())
    values = assumed(GUIDED_DIFFUSION, tensors, image_size=16)
    assert values["num_head_channels"] == 64 and "num_heads" not in values
    assert "num_heads" in assumed(GUIDED_DIFFUSION, tensors, image_size=16, num_head_channels=-1)


def test_resizing_is_assumed_only_where_images_are_resized():
    normalisation = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    bare = {name.removeprefix("module."): array for name, array in cnn.cifar().items()}
    assert assumed(CIFAR_RESNET, bare) == normalisation
    assert assumed(CIFAR_RESNET, bare, input_size=32, mean=0.5, std=0.5) == {
        "interpolation": "linear",
        "antialias": True,
    }
    resized = {"input_size": 224, "interpolation": "linear", "antialias": True}
    assert assumed(RESNET, cnn.bottlenecks()) == normalisation | resized
    assert assumed(RESNET, cnn.bottlenecks(), input_size=256, crop=224).keys() == {*normalisation, *resized} - {
        "input_size"
    }
    assert assumed(STANDARD, cnn.standard()) == {"mean": (0.0,), "std": (1.0,)}


def test_normalisation_that_the_file_has_is_not_assumed():
    stored = {"mean": np.full((3, 1, 1), 0.5, np.float32), "std": np.full((3, 1, 1), 0.25, np.float32)}
    assert assumed(DM_WIDE_RESNET, {**cnn.dm(), **stored}) == {"activation_fn": "swish"}
    of_100_classes = {"mean": (0.5071, 0.4865, 0.4409), "std": (0.2673, 0.2564, 0.2762)}
    assert assumed(DM_WIDE_RESNET, cnn.dm(100)) == {**of_100_classes, "activation_fn": "swish"}
    given = planned(DM_WIDE_RESNET, {}, {**cnn.dm(), **stored}, {"mean": 0.25})[0].around
    assert (given.mean, given.std) == ((0.25,), (0.25, 0.25, 0.25))
