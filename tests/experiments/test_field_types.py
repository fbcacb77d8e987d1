"""A field of another type than its annotation is refused by name when the experiment is built."""

import dataclasses

import numpy as np
import pytest

from ssni_jax.attacks import Linf, Pgd
from ssni_jax.data import Digits, Npz
from ssni_jax.experiments import Cell, Sweep, Training
from ssni_jax.experiments.field_types import check_types
from ssni_jax.networks import WideResNetConfig
from ssni_jax.presets import preset
from ssni_jax.training import ClassificationLoss
from tests.configs import toy


def changed(value, **fields):
    """The value with other fields, as a program builds it that checks no annotation."""
    copy = object.__new__(type(value))
    for field in dataclasses.fields(value):
        content = fields[field.name] if field.name in fields else getattr(value, field.name)
        object.__setattr__(copy, field.name, content)
    return copy


DEFENSE = preset("digits-diffpure")
SWEEP = Sweep("all", (Cell("a", "b", toy.evaluation),))
TRAINING = Training("x", WideResNetConfig(10, 1, 10, 1), ClassificationLoss(), Digits("train"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"n_images": "12"}, "n_images must be a whole number or None, got '12'"),
        ({"n_images": 12.0}, "n_images must be a whole number or None, got 12.0"),
        ({"n_draws": 2.5}, "n_draws must be a whole number, got 2.5"),
        ({"batch_size": None}, 'batch_size must be a whole number or "auto", got None'),
        ({"seed": "a"}, "seed must be a whole number, got 'a'"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"name": 3}, "name must be a text, got 3"),
        ({"defense": DEFENSE.purify}, "defense must be a predictor .*got a Purifier"),
        ({"defense": "digits-ssni-n"}, "defense must be a predictor .*got 'digits-ssni-n'"),
        ({"defense": 3}, "defense must be a predictor .*got 3"),
        ({"defense": [DEFENSE]}, "defense must be a predictor .*got a list"),
        ({"defense": type(DEFENSE)}, r"got the class Defense itself: call it, Defense\(\.\.\.\)"),
        ({"images": "test"}, "images must be a source of images .*got 'test'"),
        ({"images": Digits}, "images must be a source of images .*got the class Digits itself"),
        ({"attack": "pgd"}, "attack must be an attack such as .* or an Ensemble or None, got 'pgd'"),
        ({"attack": Pgd}, "attack must be .*got the class Pgd itself"),
        ({"attack": Linf(0.1)}, "attack must be .*got a Linf"),
        ({"objective": None}, "objective must be an Objective, got None"),
        ({"keep_images": "png"}, 'keep_images must be "float32" or "uint8", got \'png\''),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_field_of_a_wrong_type_is_named_with_its_value(fields, words):
    with pytest.raises(ValueError, match=words):
        changed(toy.evaluation, **fields).__post_init__()


@pytest.mark.parametrize(
    ("value", "fields", "words"),
    [
        (toy.certification, {"sigmas": 0.25}, r"sigmas must be a tuple.*: write \(0\.25,\)"),
        (toy.certification, {"sigmas": ("a",)}, r"sigmas\[0\] must be a number, got 'a'"),
        (toy.certification, {"stopping": "early"}, "stopping must be a stopping rule"),
        (toy.calibration, {"deviation": 3.0}, "deviation must be a Deviation, got 3.0"),
        (SWEEP, {"cells": 3}, "cells must be a tuple, each entry a Cell, got 3"),
        (SWEEP, {"cells": (3,)}, r"cells\[0\] must be a Cell, got 3"),
        (SWEEP.cells[0], {"evaluation": None}, "evaluation must be an Evaluation, got None"),
        (TRAINING, {"network": "wrn"}, "network must be the config of a network, got 'wrn'"),
        (TRAINING, {"ema_decay": "0.9"}, "ema_decay must be a number, got '0.9'"),
        (TRAINING, {"name": "../x"}, "name must be a file name .*got '../x'"),
    ],
)
def test_every_kind_of_experiment_checks_its_fields(value, fields, words):
    with pytest.raises(ValueError, match=words):
        changed(value, **fields).__post_init__()


def test_a_number_of_numpy_and_a_list_of_levels_are_taken():
    check_types(changed(toy.evaluation, n_images=np.int64(3)))
    check_types(changed(toy.certification, sigmas=[np.float32(0.25), 1]))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"threat": 0.1}, r"attack\.threat must be a Threat, got 0\.1"),
        ({"threat": Linf}, r"attack\.threat must be a Threat, got the class Linf itself"),
        ({"threat": changed(Linf(0.1), eps="0.1")}, r"attack\.threat\.eps must be a number, got '0\.1'"),
        ({"n_steps": None}, r"attack\.n_steps must be a whole number, got None"),
    ],
)
def test_a_number_or_a_text_deep_inside_is_named_with_its_place(fields, words):
    with pytest.raises(ValueError, match=words):
        check_types(changed(toy.evaluation, attack=changed(Pgd(), **fields)))


def test_a_url_deep_inside_is_no_local_path():
    fields = {field.name: field.default for field in dataclasses.fields(Npz)}
    images = changed(object.__new__(Npz), **fields | {"path": "gs://b/x.npz"})
    with pytest.raises(ValueError, match=r"images\.path cannot be gs://b/x"):
        check_types(changed(toy.evaluation, images=images))
