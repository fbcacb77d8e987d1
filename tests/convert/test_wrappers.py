"""Names of tensors come out of whatever wrappers a network was saved in, and no two names become one."""

import numpy as np
import pytest

from ssni_jax.convert.wrappers import is_counter, means_average, unwrapped

BARE = ("conv.weight", "layer1.0.bn.bias", "head.0.weight")


def held(names):
    """A tensor per name, each of its own value."""
    return {name: np.full(2, i) for i, name in enumerate(names)}


def wrapped(prefix):
    return held(prefix + name for name in BARE)


@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "_orig_mod.", "model.", "net.", "network.", "_forward_module.", "_fsdp_wrapped_module."),
        *("ema_model.", "model_ema.", "online_model.", "swa_model.", "ema.", "ema_unet.", "_module."),
        *("module._orig_mod.", "_orig_mod.module.", "module.module.", "model._orig_mod.module.net."),
        *("_forward_module.model.", "ema_model.module._orig_mod.model.", "net.net.net."),
    ],
)
def test_wrappers_in_front_of_all_names_are_dropped_in_any_nesting(prefix):
    tensors = unwrapped(wrapped(prefix)).tensors
    assert list(tensors) == list(BARE) and [array[0] for array in tensors.values()] == [0, 1, 2]


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_fpw_module"])
def test_a_wrapped_part_of_a_network_has_its_plain_name(wrapper):
    names = (f"conv.{wrapper}.weight", f"layer1.{wrapper}.0.{wrapper}.bn.bias", "head.0.weight")
    assert tuple(unwrapped(held(names)).tensors) == BARE


@pytest.mark.parametrize("prefix", ["encoder.", "backbone.", "classifier.", "1.", "models.", "network2."])
def test_other_attributes_belong_to_the_network(prefix):
    assert unwrapped(wrapped(prefix)).tensors.keys() == wrapped(prefix).keys()


@pytest.mark.parametrize("other", ["loss.weight", "scale", "models.weight"])
@pytest.mark.parametrize("prefix", ["model.", "net.", "ema_model."])
def test_an_attribute_that_not_all_names_begin_with_belongs_to_the_network(prefix, other):
    names = wrapped(prefix) | held([other])
    assert unwrapped(names).tensors.keys() == names.keys()


def test_names_of_the_network_itself_are_kept_once():
    for prefix in ("", "module.", "net.", "model.", "_orig_mod.model."):
        tensors = unwrapped(wrapped(f"{prefix}model."), own=("model",)).tensors
        assert tuple(tensors) == tuple(f"model.{name}" for name in BARE)


@pytest.mark.parametrize(
    "names",
    [
        ("conv.weight", "module.conv.weight"),
        ("conv._orig_mod.weight", "conv.weight"),
        ("module.a.b", "_orig_mod.a.b"),
    ],
)
def test_names_that_would_become_one_are_refused(names):
    with pytest.raises(ValueError, match="are one name without their wrappers: pass --prefix"):
        unwrapped(held(names))


@pytest.mark.parametrize(
    ("key", "is_average"),
    [
        *((key, True) for key in ("state_dict_ema", "model_ema", "params_ema", "ema", "EMACallback{'decay': 1}")),
        *(
            (key, True)
            for key in ("swa_state_dict", "averaged_model", "average_model_state", "netEMA", "G_ema", "shadow")
        ),
        *((key, False) for key in ("state_dict", "model", "schema", "thema", "params", "emanuel", "swap", "remaining")),
    ],
)
def test_a_key_says_average_by_a_whole_word(key, is_average):
    assert means_average(key) == is_average


@pytest.mark.parametrize(
    ("name", "tensor", "is_number"),
    [
        ("n_averaged", np.array(3), True),
        ("module.n_averaged", np.array(3), True),
        ("initted", np.array([True]), True),
        ("model_ema.num_updates", np.array(7), True),
        ("layer1.0.conv.total_ops", np.zeros(1), True),
        ("n_averaged", np.ones(2), False),
        ("layer1.step", np.array(1.0), False),
        ("logit_scale", np.array(1.0), False),
        ("bn.num_batches_tracked", np.array(1), False),
    ],
)
def test_numbers_of_averages_and_profilers_are_no_weights(name, tensor, is_number):
    assert is_counter(name, tensor) == is_number
