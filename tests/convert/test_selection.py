"""Which weights of a file are taken: the averaged ones under whatever name, or a question, never others in silence."""

import numpy as np
import pytest

from ssni_jax.convert.selection import Choice, inside, select, state_dict

NAMES = ("conv.weight", "bn.running_mean", "head.bias")
OPTIMIZER = {"state": {0: {"exp_avg": np.ones(3), "step": np.array(4)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


def weights(value, prefix="", names=NAMES):
    return {prefix + name: np.full(2, value) for name in names}


RAW, EMA = weights(0.0), weights(1.0)
NUMBERS = {"initted": np.array(True), "step": np.array(5)}
LUCIDRAINS = {**NUMBERS, **weights(1.0, "ema_model."), **weights(0.0, "online_model.")}
SWA = {"n_averaged": np.array(3), **weights(1.0, "module.")}
# A tree, and the key and attribute of its average.
AVERAGES = {
    "timm": ({"epoch": 3, "state_dict": RAW, "optimizer": OPTIMIZER, "state_dict_ema": EMA}, "state_dict_ema", ""),
    "torchvision": ({"model": RAW, "optimizer": OPTIMIZER, "args": {"lr": 0.1}, "model_ema": SWA}, "model_ema", ""),
    "DeiT": ({"model": RAW, "model_ema": EMA, "scaler": {"scale": 2.0}}, "model_ema", ""),
    "BasicSR": ({"params": RAW, "params_ema": EMA}, "params_ema", ""),
    "lucidrains": ({"step": 7, "model": RAW, "opt": OPTIMIZER, "ema": LUCIDRAINS}, "ema", "ema_model."),
    "an average alone": (SWA, "", ""),
    "an average under a usual key": ({"state_dict": SWA}, "state_dict", ""),
    "a Lightning callback": (
        {"state_dict": weights(0.0, "net."), "callbacks": {"EMA{'decay': 0.9}": {"state": weights(1.0, "net.")}}},
        "callbacks.EMA{'decay': 0.9}.state",
        "",
    ),
    "Lightning's StochasticWeightAveraging": (
        {"state_dict": RAW, "callbacks": {"StochasticWeightAveraging": {"average_model_state": EMA, "n_averaged": 3}}},
        "callbacks.StochasticWeightAveraging.average_model_state",
        "",
    ),
    "Lightning's WeightAveraging": (
        {"state_dict": EMA, "current_model_state": RAW, "averaging_state": {"n_averaged": np.array(2)}},
        "state_dict",
        "",
    ),
    "MMEngine": (
        {"state_dict": EMA, "message_hub": {}, "ema_state_dict": {"steps": np.array(2), **weights(0.0, "module.")}},
        "state_dict",
        "",
    ),
    "a module inside a Lightning module": (
        {"state_dict": {**weights(0.0, "model."), **weights(1.0, "ema_model."), "loss.weight": np.zeros(2)}},
        "state_dict",
        "ema_model.",
    ),
    "a wrapped module inside a wrapped module": (
        {"state_dict": {**weights(0.0, "module.net._orig_mod."), **weights(1.0, "module.net_ema.module.")}},
        "state_dict",
        "net_ema.",
    ),
    "an average in a dictionary of its own": ({"model": RAW, "ema": {"decay": 0.9, "module": EMA}}, "ema.module", ""),
    "one further down": ({"checkpoint": {"net": RAW, "net_ema": EMA}}, "checkpoint.net_ema", ""),
    "a tuple": ((RAW, {"swa_state_dict": EMA}), "1.swa_state_dict", ""),
    "without the raw ones": ({"ema_state_dict": EMA, "step": 3}, "ema_state_dict", ""),
}
ALONE = ("an average alone", "an average under a usual key", "without the raw ones")


@pytest.mark.parametrize("name", AVERAGES)
def test_averaged_weights_are_found_under_any_usual_name(name):
    tree, key, prefix = AVERAGES[name]
    selection = select(tree)
    assert (selection.weights, selection.key, selection.prefix) == ("ema", key, prefix)
    assert set(selection.tensors) == set(NAMES)
    assert all(array.tolist() == [1.0, 1.0] for array in selection.tensors.values())


@pytest.mark.parametrize("name", [name for name in AVERAGES if name not in ALONE])
def test_raw_weights_are_those_of_the_last_step(name):
    selection = select(AVERAGES[name][0], Choice("raw"))
    assert selection.weights == "raw"
    assert all(array.tolist() == [0.0, 0.0] for array in selection.tensors.values())
    assert "n_averaged" not in selection.tensors


@pytest.mark.parametrize("name", ALONE)
def test_a_file_of_averages_has_no_raw_weights(name):
    with pytest.raises(ValueError, match=r"holds averaged weights only .*: pass --weights ema"):
        select(AVERAGES[name][0], Choice("raw"))


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        (RAW, ""),
        ({"state_dict": RAW, "optimizer": OPTIMIZER, "epoch": 3}, "state_dict"),
        ({"my_net": RAW, "rng": np.zeros(9, np.uint8)}, "my_net"),
        ({"model": RAW, "discriminator": weights(5.0, names=("a.b", "c.d"))}, "model"),
        ({"model": {"state_dict": RAW}}, "model.state_dict"),
        ({"state_dict": RAW, "callbacks": {"Checkpoint": {"best": {"a.ckpt": np.array(0.1)}}}}, "state_dict"),
        ({"model": RAW, "optimizer": {"master_weights": weights(2.0)}, "lr_scheduler": weights(3.0)}, "model"),
        ((RAW, OPTIMIZER), "0"),
    ],
)
def test_without_an_average_the_record_says_raw(tree, key):
    selection = select(tree)
    assert (selection.weights, selection.key) == ("raw", key)
    assert all(array.tolist() == [0.0, 0.0] for array in selection.tensors.values())


DOTLESS = {f"model_ema.{name.replace('.', '')}": np.ones(2) for name in NAMES} | {"model_ema.decay": np.array(0.9)}


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (
            {"ema": EMA, "model_ema": EMA, "model": RAW},
            "averaged weights more than once: choose with --key ema or --key",
        ),
        ({"model": RAW, "ema": {"shadow": EMA, "backup": RAW}}, "choose with --key ema.shadow or --key ema.backup"),
        ({"model": RAW, "best_model": EMA}, "weights more than once: choose with --key model or --key best_model"),
        ({"model": RAW, "target": EMA}, "choose with --key model or --key target"),
        ({"model": RAW, "smoothed": weights(1.0, names=NAMES[::2])}, "choose with --key model or --key smoothed"),
        (
            {"generator": RAW, "critic": weights(1.0, names=("a.b", "c.d"))},
            "choose with --key generator or --key critic",
        ),
        ({"model": RAW, "ema": {"shadow_params": [np.ones(2)] * 3}}, "at ema.shadow_params are a list without names"),
        (
            {"model": RAW, "optimizer_states": [{"ema": (np.ones(2), np.ones(2))}]},
            "at optimizer_states.0.ema are a list",
        ),
        ({"state_dict": {**weights(0.0, "model."), **DOTLESS}}, "have lost the dots of their names"),
    ],
)
def test_weights_that_could_be_either_are_asked_for(tree, words):
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        select(tree)


def test_a_question_is_answered_by_a_key():
    tree = {"model": RAW, "best_model": weights(3.0), "ema": {"shadow": EMA, "backup": RAW}}
    for key, value, kind in (("best_model", 3.0, "raw"), ("ema.shadow", 1.0, "ema"), ("ema/backup", 0.0, "ema")):
        selection = select(tree, Choice(key=key))
        assert (selection.weights, selection.key) == (kind, key.replace("/", "."))
        assert all(array[0] == value for array in selection.tensors.values())


def test_statistics_that_an_average_lacks_are_those_of_the_network():
    average = weights(1.0, names=("conv.weight", "head.bias"))
    selection = select({"model": RAW, "ema": {"shadow": average}})
    assert selection.borrowed == ("bn.running_mean",) and selection.weights == "ema"
    assert {name: array[0] for name, array in selection.tensors.items()} == dict(zip(NAMES, (1, 0, 1), strict=True))
    lacking = select({"model": RAW, "ema": {"shadow": weights(1.0, names=NAMES[:2])}})
    assert lacking.borrowed == () and set(lacking.tensors) == set(NAMES[:2])  # the family will miss head.bias


def test_what_is_no_tensor_is_set_aside_and_named():
    tree = {"state_dict": {**RAW, "epoch": 3, "arch": "r20", "nothing": None, "x._extra_state": np.zeros(0)}, "lr": 0.1}
    selection = select(tree)
    assert selection.aside == ("epoch", "arch", "nothing", "x._extra_state", "lr")
    assert selection.tensors.keys() == RAW.keys() and state_dict(tree).keys() == RAW.keys()


@pytest.mark.parametrize("key", ["a.b", "a/b", "c.d.e", "0", "list.1", "a"])
def test_a_key_is_a_path_whose_parts_may_hold_dots(key):
    tree = {"a": {"b": RAW}, "c.d": {"e": RAW}, "0": RAW, "list": [1, RAW]}
    part = inside(tree, key)
    assert (part["b"] if key == "a" else part) is RAW


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("c", "nothing at 'c': its keys are a, epoch, a.b"),
        ("a.c", "nothing at 'a.c': its keys are"),
        ("epoch", "no state dict at 'epoch': its keys are a, epoch"),
        ("epoch.x", "nothing at 'epoch.x'"),
    ],
)
def test_a_key_that_is_not_there_lists_those_that_are(key, words):
    with pytest.raises(ValueError, match=words):
        select({"a": {"b": RAW}, "epoch": 3}, Choice(key=key))


@pytest.mark.parametrize("prefix", ["1.", "1", "encoder.net.", "module.1"])
def test_a_prefix_leaves_out_everything_else(prefix):
    names = prefix if prefix.endswith(".") else f"{prefix}."
    tree = {"state_dict": {**weights(0.0, names), "0.mean": np.zeros(3), "10.std": np.ones(3)}}
    selection = select(tree, Choice(prefix=prefix))
    assert set(selection.tensors) == set(NAMES) and selection.prefix == names
    assert selection.left_out == ("0.mean", "10.std")


def test_a_prefix_may_be_that_without_wrappers():
    tree = {"module.1._orig_mod." + name: array for name, array in RAW.items()} | {"module.0.mean": np.zeros(3)}
    assert set(select(tree, Choice(prefix="1.")).tensors) == set(NAMES)


def test_a_prefix_that_no_name_has_lists_those_that_there_are():
    with pytest.raises(ValueError, match=r"no name in it begins with 'x.': its names begin with bn., conv., head."):
        select({"model": RAW}, Choice(prefix="x"))


def test_a_prefix_does_not_pass_over_an_average():
    tree = {"state_dict": {**weights(0.0, "model."), **weights(1.0, "ema_model.")}}
    with pytest.raises(ValueError, match=r"averaged weights .*ema_model.* are not under 'model.': pass --weights raw"):
        select(tree, Choice(prefix="model."))
    assert select(tree, Choice("raw", prefix="model.")).tensors["conv.weight"][0] == 0
    assert select(tree, Choice(prefix="ema_model.")).weights == "ema"


MODULE = {"class_name": "torch.nn.modules.container.Sequential", "state": {"_parameters": {"weight": np.ones(2)}}}


@pytest.mark.parametrize("tree", [MODULE, {"model": MODULE, "epoch": 3}, {"net": MODULE, "optimizer": OPTIMIZER}])
def test_a_whole_model_of_torchs_own_layers_is_told_the_remedy(tree):
    with pytest.raises(ValueError, match=r"container.Sequential.*save its state_dict\(\) instead"):
        select(tree)


@pytest.mark.parametrize("tree", [[np.zeros(2)], {"head": {"bias": np.zeros(2)}}, {"epoch": 3}, "text", OPTIMIZER])
def test_what_is_no_state_dict_is_refused(tree):
    with pytest.raises(ValueError, match="no plain state dict"):
        select(tree)
