"""Configs of an evaluation with one thing that is wrong; none of them may run."""

import contextlib
import random
from pathlib import Path

import pytest

from ssni_jax.commands import calibrate, evaluate

NUMBERS = ("float('nan')", "float('inf')", "-1", "-0.5", "'8/255'", "None", "()", "True", "10**30", "[0.1]", "object()")
COUNTS = ("0", "-1", "2.5", "'12'", "()", "float('nan')", "True", "object()")
FIELDS = {
    "eps": ("dataclasses.replace(toy, attack=Pgd(Linf({})))", (*NUMBERS, "8", "255")),
    "step_size": ("dataclasses.replace(toy, attack=Pgd(Linf(0.1), {}))", NUMBERS),
    "L2 eps": ("dataclasses.replace(toy, attack=Pgd(L2({})))", (*NUMBERS, "30.0", "128")),
    "n_steps": ("dataclasses.replace(toy, attack=Pgd(Linf(0.1), n_steps={}))", (*COUNTS, "None")),
    "t_star": ("defended(diffpure_ddpm(Shrink(), t_star={}))", (*NUMBERS, "100", "1.5")),
    "bias": ("levelled(SsniSigmoid(14.0, 2.0, bias={}))", (*NUMBERS[:2], "5", "'x'", "-100", "(1,)", "[]")),
    "tau": ("levelled(SsniSigmoid(14.0, {}))", (*NUMBERS, "0")),
    "solver steps": ("defended(diffpure_ddpm(Shrink(), n_steps={}))", (*COUNTS, "None")),
    **{
        name: (f"dataclasses.replace(toy, {name}={{}})", (*COUNTS, *(("None",) if name not in optional else ())))
        for optional in [("n_images", "judge_every")]
        for name in ("n_images", "n_draws", "batch_size", "n_slots", "judge_every")
    },
    "seed": ("dataclasses.replace(toy, seed={})", ("-1", "2**32", "2**64", "1.5", "'a'", "None", "True", "()")),
    "order_seed": ("dataclasses.replace(toy, order_seed={})", ("-1", "2**32", "2**64", "0.5", "'a'", "True")),
    "defense": (
        "dataclasses.replace(toy, defense={})",
        ("None", "'x'", "3", "toy.defense.purify", "Pgd", "[]"),
    ),
    "images": (
        "dataclasses.replace(toy, images={})",
        ("None", "'digits'", "3", "Digits", "[1]", "ImageFolder('no')"),
    ),
    "attack": ("dataclasses.replace(toy, attack={})", ("'pgd'", "3", "Pgd", "Linf(0.1)", "[]")),
    "objective": ("dataclasses.replace(toy, objective={})", ("None", "'ce'", "3", "Pgd()")),
}
STATEMENTS = (
    "1 / 0",
    "{}['x']",
    "[][3]",
    "raise SystemExit(0)",
    "raise SystemExit",
    "import sys; sys.exit('bye')",
    "f = lambda: f()\nf()",
    "None.x",
    "assert False",
    "open('nowhere')",
    "import nowhere",
    "undefined",
    "raise Exception",
    "raise Exception('a\\nb')",
    "'\\ud800'.encode()",
    "int('x')",
    "x = (",
    "def f(:",
    "b'\\xff'.decode()",
    "raise MemoryError",
    "raise NotImplementedError",
    "from ssni_jax.recipes import nothing",
    "diffpure_ddpm()",
    "diffpure_ddpm(Shrink(), t=1)",
    "Pgd(1, 2, 3, 4, 5, 6, 7, 8)",
    "import jax.numpy as jnp; jnp.zeros((2, 3)) @ jnp.zeros((2, 3))",
    "Pretrained('nowhere').calibration()",
    "quit()",
)
HEAD = """import dataclasses
from ssni_jax.attacks import L2, Linf, Pgd
from ssni_jax.data import Digits, ImageFolder
from ssni_jax.purify import Defense, SsniSigmoid
from ssni_jax.recipes import diffpure_ddpm
from ssni_jax.zoo import Pretrained
from tests.configs.toy import Shrink, classify
from tests.configs.toy import evaluation as toy

def defended(purifier):
    return dataclasses.replace(toy, defense=Defense(purifier, classify))

def levelled(level):
    base = diffpure_ddpm(Shrink())
    return defended(dataclasses.replace(base, rounds=(dataclasses.replace(base.rounds[0], level=level),)))

"""


def planted(rng: random.Random, folder: Path) -> tuple[Path, str]:
    """Writes a config; gives its path and what is wrong in it."""
    path = folder / "config.py"
    if rng.random() < 0.25:
        wrong = rng.choice(STATEMENTS)
        path.write_text(f"{HEAD}{wrong}\nexperiment = toy\n")
        return path, wrong
    if rng.random() < 0.1:
        content = rng.choice((b"", b"\xff\xfe", b"experiment = 3", b"\0", b"experiment = None", b"x" * 100))
        path.write_bytes(content)
        return path, repr(content)
    name = rng.choice(list(FIELDS))
    template, values = FIELDS[name]
    value = rng.choice(values)
    path.write_text(f"{HEAD}experiment = {template.format(value)}\n")
    return path, f"{name} = {value}"


@contextlib.contextmanager
def stopping():
    """Commands that would begin to evaluate or to calibrate are complete instead."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "run_evaluation", complete)
        patch.setattr(calibrate, "calibrate", complete)
        yield


def complete(*_: object) -> None:
    """Ends a command in success."""
    raise SystemExit(0)
