"""score_sde, EDM and JAX consistency checkpoints: shapes, averages and preconditioning follow from the file."""

from pathlib import Path

import numpy as np
import pytest

from ssni_jax.convert.edm import EDM, preconditioning
from ssni_jax.convert.family import convert, planned
from ssni_jax.convert.jcm import JCM, flax_names
from ssni_jax.convert.ncsnpp import NcsnppBlock, placed, shape_of
from ssni_jax.convert.score_sde import SCORE_SDE
from ssni_jax.convert.selection import Choice, inside
from ssni_jax.networks import EdmCoefficients, IddpmCoefficients, SongUNetConfig, VeCoefficients, VpCoefficients
from ssni_jax.networks.precondition import ConsistencyCoefficients
from tests.reference.case import Case

CASES = Path(__file__).parent.parent / "reference" / "cases"


def score_sde_tensors():
    return Case(CASES / "score_sde_small").tensors()


def edm_tensors(name="edm_ddpmpp_small"):
    return Case(CASES / name).tensors()


def jcm_tree():
    tensors = {k.removeprefix("params/"): v for k, v in Case(CASES / "jcm_small").tensors().items()}
    return {"params_ema": tensors, "params": {name: 2 * array for name, array in tensors.items()}}


SMALL = {"image_size": 16}


def test_score_sde_shows_its_shape():
    config = convert(SCORE_SDE, score_sde_tensors(), SMALL).config
    assert config == SongUNetConfig(16, model_channels=16, channel_mult=(1, 2), num_blocks=2, attn_resolutions=(8,))


def test_edm_shows_its_shape():
    config = convert(EDM, edm_tensors("edm_ncsnpp_small")).config
    assert config == SongUNetConfig(
        16, model_channels=16, channel_mult=(1, 2), num_blocks=1, attn_resolutions=(8,), label_dim=10, dropout=0.13,
        embedding_type="fourier", channel_mult_noise=2, encoder_type="residual", resample_filter=(1, 3, 3, 1),
    )  # fmt: skip


def test_ncsnpp_is_the_same_network_in_torch_and_in_jax():
    jax_side = convert(JCM, jcm_tree(), SMALL | {"attn_resolutions": (8,)})
    torch_side = convert(SCORE_SDE, as_torch(jcm_tree()["params_ema"], jax_side.config), SMALL | {"dropout": 0.0})
    assert torch_side.config == jax_side.config
    assert isinstance(torch_side.around, VeCoefficients)
    assert all(np.array_equal(torch_side.arrays[key], jax_side.arrays[key]) for key in jax_side.arrays)


def as_torch(tensors, config):
    """A flax parameter tree under score_sde's numbers, kernels as torch has them."""
    modules = list(placed(config))
    numbers = {flax: f"all_modules.{i}" for i, flax in enumerate(flax_names(modules).values())}
    torch = {}
    for name, array in tensors.items():
        module, *inner, leaf = name.split("/")
        if leaf in ("kernel", "weight"):
            array = np.moveaxis(array, (-1, -2), (0, 1))
        torch[".".join([numbers[module], *inner, {"kernel": "weight", "scale": "weight"}.get(leaf, leaf)])] = array
    return torch


def test_jcm_shows_its_shape_but_for_where_it_attends():
    config = convert(JCM, jcm_tree(), SMALL | {"attn_resolutions": (8,)}).config
    assert (config.channel_mult, config.num_blocks, config.encoder_type) == ((1, 2), 1, "residual")
    with pytest.raises(ValueError, match="unexpected: AttnBlockpp_1/GroupNorm_0/bias"):
        convert(JCM, jcm_tree(), SMALL | {"attn_resolutions": ()})


@pytest.mark.parametrize(("num_blocks", "widths"), [(1, (1, 2)), (4, (2, 2, 2)), (8, (1, 2, 2, 2)), (2, (1,))])
def test_the_shape_follows_from_the_blocks_in_order(num_blocks, widths):
    assert shape_of(list(blocks(num_blocks, widths)), 8) == {"channel_mult": widths, "num_blocks": num_blocks}


def blocks(num_blocks, widths):
    """The residual blocks of a U-Net of 8 channels, as score_sde builds them."""
    n, skips = 8, [8]
    for level, width in enumerate(widths):
        if level:
            yield NcsnppBlock(n, n, True)
            skips.append(n)
        for _ in range(num_blocks):
            yield NcsnppBlock(n, 8 * width, n != 8 * width)
            n = 8 * width
            skips.append(n)
    yield from (NcsnppBlock(n, n, False), NcsnppBlock(n, n, False))
    for level, width in reversed(list(enumerate(widths))):
        for _ in range(num_blocks + 1):
            yield NcsnppBlock(n + skips.pop(), 8 * width, True)
            n = 8 * width
        if level:
            yield NcsnppBlock(n, n, True)


def test_averages_of_score_sde_are_a_list_in_parameter_order():
    tensors = score_sde_tensors()
    names = [name for name in tensors if name != "sigmas"]
    tree = {"model": {f"module.{name}": array for name, array in tensors.items()}}
    tree["ema"] = {"shadow_params": [tensors[name] + 1 for name in names], "decay": 0.9999}
    raw, ema = (convert(SCORE_SDE, tree, SMALL, Choice(weights)).arrays for weights in ("raw", "ema"))
    assert all(np.allclose(ema[key], raw[key] + 1) for key in raw)


def test_an_ema_list_of_another_length_is_refused():
    tree = {"model": score_sde_tensors(), "ema": {"shadow_params": [np.zeros(3)]}}
    with pytest.raises(ValueError, match="the EMA list has 1 tensors for 208 parameters: pass --weights raw"):
        convert(SCORE_SDE, tree, SMALL)


def test_weights_of_jcm_are_the_averages_unless_raw_is_asked_for():
    options = SMALL | {"attn_resolutions": (8,)}
    raw, ema = (convert(JCM, jcm_tree(), options, Choice(weights)).arrays for weights in ("raw", "ema"))
    assert all(np.allclose(raw[key], 2 * ema[key]) for key in raw)


def test_what_was_taken_of_score_sde_is_the_list_of_averages():
    tensors = {"all_modules.0.weight": np.zeros(2), "sigmas": np.zeros(9), "all_modules.1.bias": np.zeros(3)}
    tree = {"model": tensors, "ema": {"shadow_params": [np.ones(2), np.full(3, 2.0)]}, "step": 7}
    for choice, weights, key, bias in ((Choice(), "ema", "ema.shadow_params", 2), (Choice("raw"), "raw", "model", 0)):
        selection = SCORE_SDE.select(tree, choice)
        assert (selection.weights, selection.key) == (weights, key) and "step" in selection.aside
        assert selection.tensors["all_modules.1.bias"][0] == bias and selection.tensors["sigmas"][0] == 0
    by_name = {"model": tensors, "ema": {name: array + 1 for name, array in tensors.items()}}
    assert SCORE_SDE.select(by_name, Choice()).weights == "ema"
    assert SCORE_SDE.select({"model": tensors}, Choice()).weights == "raw"


def test_a_key_chooses_among_the_parameters_of_jcm():
    tree = {**jcm_tree(), "step": 3}
    for choice, weights, key in (
        (Choice(), "ema", "params_ema"),
        (Choice("raw"), "raw", "params"),
        (Choice(key="params"), "raw", "params"),
    ):
        selection = JCM.select(tree, choice)
        assert (selection.weights, selection.key) == (weights, key)
        assert selection.tensors == tree[key]
    with pytest.raises(ValueError, match="nothing at 'params_2': its keys are params_ema, params"):
        JCM.select(tree, Choice(key="params_2"))


def edm_module(tensors):
    """A network as the reader returns EDM's persistent classes."""
    state = {"_parameters": tensors, "_buffers": {}, "_modules": {}, "_init_kwargs": {"sigma_data": 0.25, "x": 1}}
    return {"class_name": "EDMPrecond", "state": state}


def test_edms_snapshots_are_averages_and_its_training_states_are_not():
    module = edm_module(edm_tensors())
    snapshot, training = {"ema": module, "loss_fn": None}, {"net": module, "optimizer_state": {}}
    for tree, key, weights in ((snapshot, "ema", "ema"), (training, "net", "raw")):
        for choice in (Choice(), Choice(key=key)):
            selection = EDM.select(tree, choice)
            assert (selection.weights, selection.key) == (weights, key)
            plan, assumed = planned(EDM, inside(tree, choice.key), selection.tensors, {})
            assert plan.around.sigma_data == 0.25 and assumed == {"dropout": 0.13}
    with pytest.raises(ValueError, match="averaged weights only: pass --weights ema"):
        EDM.select(snapshot, Choice("raw"))


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "net._orig_mod.", "ema_model.module."])
def test_the_attribute_model_belongs_to_the_names_of_edm(prefix):
    tensors = {prefix + name: array for name, array in edm_tensors().items()}
    assert EDM.select(tensors, Choice()).tensors.keys() == edm_tensors().keys()


@pytest.mark.parametrize(
    ("class_name", "kind"),
    [
        ("EDMPrecond", EdmCoefficients),
        ("VPPrecond", VpCoefficients),
        ("VEPrecond", VeCoefficients),
        ("iDDPMPrecond", IddpmCoefficients),
    ],
)
def test_edms_classes_name_the_preconditioning(class_name, kind):
    assert isinstance(preconditioning({**EDM.options, "class_name": class_name}), kind)


def test_an_unknown_class_of_edms_is_refused():
    with pytest.raises(ValueError, match="class_name is 'Mystery', but it must be one of EDMPrecond, VPPrecond"):
        convert(EDM, edm_tensors(), {"class_name": "Mystery"})


def test_jcm_is_a_consistency_function_or_a_denoiser():
    options = SMALL | {"attn_resolutions": (8,)}
    assert isinstance(convert(JCM, jcm_tree(), options).around, ConsistencyCoefficients)
    assert isinstance(convert(JCM, jcm_tree(), options | {"training_mode": "edm"}).around, EdmCoefficients)


@pytest.mark.parametrize("family", [SCORE_SDE, EDM, JCM])
def test_tensors_of_another_project_are_refused_by_the_name_they_lack(family):
    tree = {"params_ema": {"x": np.zeros(2)}} if family is JCM else {"x": np.zeros(2)}
    with pytest.raises(ValueError, match="no tensor is named"):
        convert(family, tree)


def test_a_ddpm_style_residual_block_is_refused():
    with pytest.raises(ValueError, match="not NCSN\\+\\+ with BigGAN blocks"):
        convert(SCORE_SDE, {"all_modules.0.Strange_0.weight": np.zeros((2, 2))})
