"""Laws of reading ADM's U-Net from the files of four projects."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.convert import edm_dhariwal, guided_diffusion, improved_diffusion
from ssni_jax.convert.consistency_models import CONSISTENCY_MODELS
from ssni_jax.convert.edm import EDM
from ssni_jax.convert.family import Family, convert
from ssni_jax.convert.guided_diffusion import GUIDED_DIFFUSION
from ssni_jax.convert.improved_diffusion import IMPROVED_DIFFUSION
from ssni_jax.convert.openai_unet import settled, table_coefficients
from ssni_jax.networks.adm_unet import AdmUNetConfig
from ssni_jax.networks.precondition import ConsistencyCoefficients, EdmCoefficients, IddpmCoefficients
from ssni_jax.schedules import CosineVP, DiscreteVP

N, EMB = 32, 128
SMALL = {"image_size": 16, "num_heads": 2}
EDM_ADM = Family(
    *("edm", "", "", ""),
    plan=lambda tensors, options: edm_dhariwal.plan(tensors, options, EdmCoefficients()),
    options={"dropout": 0.1},
    select=EDM.select,
)


class Shapes(dict):
    """Tensor shapes by name, written down as the original builds its modules."""

    def layer(self, name, *shape):
        self[f"{name}.weight"], self[f"{name}.bias"] = shape, shape[:1]

    def block(self, name, n_in, n, affine):
        self.layer(f"{name}.in_layers.0", n_in)
        self.layer(f"{name}.in_layers.2", n, n_in, 3, 3)
        self.layer(f"{name}.emb_layers.1", affine * n, EMB)
        self.layer(f"{name}.out_layers.0", n)
        self.layer(f"{name}.out_layers.3", n, n, 3, 3)
        if n != n_in:
            self.layer(f"{name}.skip_connection", n, n_in, 1, 1)

    def attention(self, name, n):
        self.layer(f"{name}.norm", n)
        self.layer(f"{name}.qkv", 3 * n, n, 1)
        self.layer(f"{name}.proj_out", n, n, 1)


def openai_shapes(*, updown=True, affine=2, classes=0, in_channels=3, out_channels=6):
    """Two levels of one block, N and 2 N channels wide, attention on the lower."""
    s = Shapes()
    s.layer("time_embed.0", EMB, N)
    s.layer("time_embed.2", EMB, EMB)
    if classes:
        s["label_emb.weight"] = (classes, EMB)
    s.layer("input_blocks.0.0", N, in_channels, 3, 3)
    s.block("input_blocks.1.0", N, N, affine)
    if updown:
        s.block("input_blocks.2.0", N, N, affine)
    else:
        s.layer("input_blocks.2.0.op", N, N, 3, 3)
    s.block("input_blocks.3.0", N, 2 * N, affine)
    s.attention("input_blocks.3.1", 2 * N)
    s.block("middle_block.0", 2 * N, 2 * N, affine)
    s.attention("middle_block.1", 2 * N)
    s.block("middle_block.2", 2 * N, 2 * N, affine)
    s.block("output_blocks.0.0", 4 * N, 2 * N, affine)
    s.attention("output_blocks.0.1", 2 * N)
    s.block("output_blocks.1.0", 3 * N, 2 * N, affine)
    s.attention("output_blocks.1.1", 2 * N)
    if updown:
        s.block("output_blocks.1.2", 2 * N, 2 * N, affine)
    else:
        s.layer("output_blocks.1.2.conv", 2 * N, 2 * N, 3, 3)
    s.block("output_blocks.2.0", 3 * N, N, affine)
    s.block("output_blocks.3.0", 2 * N, N, affine)
    s.layer("out.0", N)
    s.layer("out.2", out_channels, N, 3, 3)
    return s


def drawn(shapes):
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def tensors():
    return drawn(openai_shapes())


def test_the_shape_follows_from_names_and_shapes(tensors):
    found = convert(GUIDED_DIFFUSION, tensors, {"image_size": 16, "num_head_channels": 16}).config
    assert (found.resolution, found.model_channels, found.channel_mult, found.num_blocks) == (16, N, (1, 2), 1)
    assert (found.attn_resolutions, found.conditioning, found.resampling) == ((8,), "scale_shift", "block")
    assert (found.out_channels, found.label_dim, found.n_heads(2 * N)) == (6, 0, 4)


def test_variants_are_told_apart():
    other = drawn(openai_shapes(updown=False, affine=1, classes=7, out_channels=3))
    found = convert(IMPROVED_DIFFUSION, other, SMALL).config
    assert (found.conditioning, found.resampling, found.out_channels) == ("additive", "conv", 3)
    assert (found.label_dim, found.requires_labels, found.n_heads(2 * N)) == (7, True, 2)


def test_every_tensor_arrives_where_the_original_has_it(tensors):
    arrays = convert(GUIDED_DIFFUSION, tensors, SMALL).arrays
    arrived = {
        "enc/16x16_conv/kernel": "input_blocks.0.0.weight",
        "enc/8x8_down/conv0/kernel": "input_blocks.2.0.in_layers.2.weight",
        "dec/8x8_in1/conv1/kernel": "middle_block.2.out_layers.3.weight",
        "dec/16x16_up/conv1/kernel": "output_blocks.1.2.out_layers.3.weight",
        "dec/16x16_block1/skip/kernel": "output_blocks.3.0.skip_connection.weight",
    }
    for ours, theirs in arrived.items():
        np.testing.assert_array_equal(arrays[ours], tensors[theirs].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(arrays["dec/8x8_in0/attention/norm/scale"], tensors["middle_block.1.norm.weight"])
    assert sum(array.size for array in arrays.values()) == sum(array.size for array in tensors.values())


def permuted(tensors, axes):
    """Every qkv of 2 heads with rows [(q, k, v), head, channel] in another order of these three axes."""
    return {
        name: array.reshape(3, 2, N, -1).transpose(*axes, 3).reshape(array.shape) if ".qkv." in name else array
        for name, array in tensors.items()
    }


def test_both_attention_orders_give_the_same_network(tensors):
    new = convert(GUIDED_DIFFUSION, tensors, {**SMALL, "use_new_attention_order": True}).arrays
    old = convert(GUIDED_DIFFUSION, permuted(tensors, (1, 0, 2)), SMALL).arrays
    qkv = tensors["input_blocks.3.1.qkv.weight"][..., 0].T
    np.testing.assert_array_equal(new["enc/8x8_block0/attention/qkv/kernel"], qkv)
    for name, array in new.items():
        np.testing.assert_array_equal(old[name], array, err_msg=name)


def test_edms_rows_hold_query_key_and_value_innermost():
    rows = np.arange(6 * 64 * 1.0).reshape(-1, 1)
    config = AdmUNetConfig(resolution=8, channel_mult=(1,))
    sorted_rows = edm_dhariwal.together(rows.reshape(3, 2, 64, 1).transpose(1, 2, 0, 3).reshape(rows.shape), config)
    np.testing.assert_array_equal(sorted_rows, rows)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda t: t.pop("middle_block.1.qkv.bias"), "1 missing: middle_block.1.qkv.bias"),
        (lambda t: t.update(extra=np.zeros(2)), "1 unexpected: extra"),
        (
            lambda t: t.update({"out.0.bias": np.zeros(3)}),
            r"1 mis-shaped: out.0.bias \[3\] gives \[3\] instead of \[32\]",
        ),
        (lambda t: t.pop("time_embed.0.weight"), "the file has no time_embed.0.weight"),
        (lambda t: t.update({"input_blocks.0.0.weight": np.zeros((N, 6, 3, 3))}), "6 channels"),
        (lambda t: t.clear(), "the file holds no plain state dict"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tensors, spoil, sentence):
    spoiled = dict(tensors)
    spoil(spoiled)
    with pytest.raises(ValueError, match=sentence):
        convert(GUIDED_DIFFUSION, spoiled, SMALL)


def test_an_unknown_image_size_is_asked_for(tensors):
    with pytest.raises(ValueError, match=r"channel_mult \(1, 2\): give the option image_size"):
        convert(GUIDED_DIFFUSION, tensors)


def test_options_of_the_command_line_may_be_text(tensors):
    text = {"image_size": "16", "num_heads": "2", "num_head_channels": "-1", "rescale_timesteps": "False"}
    written = convert(GUIDED_DIFFUSION, tensors, {**text, "use_new_attention_order": "True", "dropout": "0.5"})
    meant = {"image_size": 16, "num_heads": 2, "num_head_channels": -1, "use_new_attention_order": True, "dropout": 0.5}
    assert written.config == convert(GUIDED_DIFFUSION, tensors, meant).config
    assert written.around.label_step == 1


ADM64 = {"channel_mult": (1, 2, 3, 4), "model_channels": 192, "label_dim": 1000, "conditioning": "scale_shift"}
ADM128 = {"channel_mult": (1, 1, 2, 3, 4), "model_channels": 256, "label_dim": 1000}
LSUN = {"channel_mult": (1, 1, 2, 2, 4, 4), "conditioning": "additive", "label_dim": 0}
CIFAR = {"channel_mult": (1, 2, 2, 2), "conditioning": "scale_shift", "label_dim": 0}


@pytest.mark.parametrize(
    ("module", "family", "shape", "released"),
    [
        (guided_diffusion, GUIDED_DIFFUSION, ADM64, {"noise_schedule": "cosine", "use_new_attention_order": True}),
        (guided_diffusion, GUIDED_DIFFUSION, ADM128, {"noise_schedule": "linear", "num_head_channels": -1}),
        (guided_diffusion, GUIDED_DIFFUSION, {}, {"noise_schedule": "linear", "num_head_channels": 64}),
        (improved_diffusion, IMPROVED_DIFFUSION, CIFAR, {"diffusion_steps": 4000, "rescale_timesteps": True}),
        (improved_diffusion, IMPROVED_DIFFUSION, ADM64, {"diffusion_steps": 4000, "rescale_timesteps": False}),
        (improved_diffusion, IMPROVED_DIFFUSION, LSUN, {"diffusion_steps": 1000, "num_heads": 1}),
    ],
)
def test_flags_left_open_are_those_of_the_released_network(module, family, shape, released):
    found = settled(family.options, shape, module.RELEASED)
    assert released.items() <= found.items()
    assert [name for name, value in found.items() if value is None] == ["image_size"]
    assert settled({**family.options, "dropout": 0.7}, shape, module.RELEASED) == {**found, "dropout": 0.7}


def test_the_table_is_the_one_the_flags_describe(tensors):
    cosine = {**SMALL, "noise_schedule": "cosine", "diffusion_steps": 4000, "rescale_timesteps": True}
    around = convert(GUIDED_DIFFUSION, tensors, cosine).around
    assert isinstance(around, IddpmCoefficients) and isinstance(around.schedule, CosineVP)
    assert (around.schedule.n, around.n_steps, around.label_step) == (4000, 4000, 0.25)
    linear = convert(GUIDED_DIFFUSION, tensors, SMALL).around.schedule
    assert isinstance(linear, DiscreteVP) and (linear.beta_first, linear.beta_last, linear.n) == (1e-4, 2e-2, 1000)
    with pytest.raises(ValueError, match="noise_schedule is 'sigmoid'"):
        convert(GUIDED_DIFFUSION, tensors, {**SMALL, "noise_schedule": "sigmoid"})


def test_a_consistency_file_is_read_in_the_form_it_was_trained_in():
    consistent = drawn(openai_shapes(out_channels=3))
    small = {"image_size": 16, "num_head_channels": 32}
    around = convert(CONSISTENCY_MODELS, consistent, small).around
    assert isinstance(around, ConsistencyCoefficients) and (around.sigma_min, around.label_scale) == (0.002, 250)
    teacher = convert(CONSISTENCY_MODELS, consistent, {**small, "training_mode": "edm"})
    assert isinstance(teacher.around, EdmCoefficients) and teacher.around.label_scale == 250
    np.testing.assert_array_equal(
        teacher.arrays["enc/8x8_block0/attention/qkv/kernel"], consistent["input_blocks.3.1.qkv.weight"][..., 0].T
    )
    with pytest.raises(ValueError, match="training_mode is 'progdist'"):
        convert(CONSISTENCY_MODELS, consistent, {**small, "training_mode": "progdist"})


def edm_shapes():
    """DhariwalUNet of one level at 8x8, 64 channels, attention, 5 classes."""
    s = Shapes()
    s.layer("model.map_layer0", 4 * 64, 64)
    s.layer("model.map_layer1", 4 * 64, 4 * 64)
    s["model.map_label.weight"], s["model.map_augment.weight"] = (4 * 64, 5), (64, 9)
    s.layer("model.enc.8x8_conv", 64, 3, 3, 3)
    blocks = (("enc.8x8_block0", 64, True), ("dec.8x8_in0", 64, True), ("dec.8x8_in1", 64, False))
    for name, n_in, attention in (*blocks, ("dec.8x8_block0", 128, True), ("dec.8x8_block1", 128, True)):
        at = f"model.{name}"
        s.layer(f"{at}.norm0", n_in)
        s.layer(f"{at}.conv0", 64, n_in, 3, 3)
        s.layer(f"{at}.affine", 128, 256)
        s.layer(f"{at}.norm1", 64)
        s.layer(f"{at}.conv1", 64, 64, 3, 3)
        if n_in != 64:
            s.layer(f"{at}.skip", 64, n_in, 1, 1)
        if attention:
            s.layer(f"{at}.norm2", 64)
            s.layer(f"{at}.qkv", 192, 64, 1, 1)
            s.layer(f"{at}.proj", 64, 64, 1, 1)
    s["model.enc.8x8_block0.conv0.resample_filter"] = (1, 1, 2, 2)
    s.layer("model.out_norm", 64)
    s.layer("model.out_conv", 3, 64, 3, 3)
    return s


def test_edms_adm_keeps_its_names():
    tensors = drawn(edm_shapes())
    found = convert(EDM_ADM, tensors)
    assert (found.config.label_dim, found.config.augment_dim, found.config.requires_labels) == (5, 9, False)
    assert (found.config.resolution, found.config.attn_resolutions, found.config.min_group) == (8, (8,), 4)
    np.testing.assert_array_equal(found.arrays["embed/label/kernel"], tensors["model.map_label.weight"].T)
    np.testing.assert_array_equal(
        found.arrays["dec/8x8_in0/attention/norm/scale"], tensors["model.dec.8x8_in0.norm2.weight"]
    )
    rows = tensors["model.enc.8x8_block0.qkv.weight"][..., 0, 0]
    np.testing.assert_array_equal(found.arrays["enc/8x8_block0/attention/qkv/kernel"][:, 64:128], rows[1::3].T)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("model.dec.8x8_in0.qkv.bias", "1 missing: model.dec.8x8_in0.qkv.bias"),
        ("model.map_layer0.weight", "the file has no model.map_layer0.weight"),
        ("model.enc.8x8_block0.conv0.weight", "this is no network of EDM's"),
    ],
)
def test_an_incomplete_file_of_edms_is_refused(name, sentence):
    tensors = drawn(edm_shapes())
    del tensors[name]
    with pytest.raises(ValueError, match=sentence):
        convert(EDM_ADM, tensors)


@pytest.mark.parametrize("noise_schedule", ["linear", "cosine"])
@pytest.mark.parametrize("n", [1000, 4000])
def test_every_step_of_a_table_is_told_its_own_index(noise_schedule, n):
    options = {"noise_schedule": noise_schedule, "diffusion_steps": n, "rescale_timesteps": True}
    whole = table_coefficients(options)
    steps = jnp.arange(1, n + 1)
    sigma = whole.schedule.sigma(steps / n)
    np.testing.assert_array_equal(whole(sigma).noise, np.arange(n) * np.float32(1000 / n))
    fractional = dataclasses.replace(whole, whole=False)(sigma).noise
    np.testing.assert_allclose(fractional, whole(sigma).noise, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("family", [GUIDED_DIFFUSION, CONSISTENCY_MODELS])
def test_a_number_of_heads_given_alone_counts(family, tensors):
    alone = convert(family, tensors, SMALL).config
    assert alone.n_heads(2 * N) == 2
    assert convert(family, tensors, {**SMALL, "num_head_channels": 16}).config.n_heads(2 * N) == 4
    assert convert(family, tensors, {"image_size": 16}).config.n_heads(2 * N) == 1
