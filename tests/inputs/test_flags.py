"""Flags: fractions are numbers, and a value that refuses its flags says so in its own sentence."""

import dataclasses

import pytest

from ssni_jax.attacks import Linf, Pgd
from ssni_jax.commands.numbers import as_number
from ssni_jax.commands.parsing import parsed


@dataclasses.dataclass(frozen=True)
class Options:
    """A few flags."""

    attack: Pgd = Pgd(Linf(0.1), 0.05)
    n: int = 3
    share: float | None = None

    def __post_init__(self):
        if self.n < 1:
            raise ValueError(f"n must be at least 1, got {self.n}.")


def options(*flags):
    return parsed(Options, default=Options(), args=flags)


NUMBERS = {"8/255": 8 / 255, " 1 / 4 ": 0.25, "-1/2": -0.5, "1e-3": 1e-3, "1e1/4": 2.5, "3": 3.0}


@pytest.mark.parametrize(("text", "number"), NUMBERS.items())
def test_a_fraction_is_a_number(text, number):
    assert as_number(text) == number


@pytest.mark.parametrize("text", ["8/0", "8/", "/255", "8/2/5", "", "eps", "1/x"])
def test_what_is_no_fraction_is_no_number(text):
    with pytest.raises(ValueError):
        as_number(text)


def test_fields_take_fractions():
    changed = options("--attack.threat.eps", "8/255", "--share", "1/3")
    assert changed.attack.threat.eps == 8 / 255 and changed.share == 1 / 3 and changed.attack.step_size == 0.05


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--attack.threat.eps", "8"), r"eps must lie between 0 and 1, got 8: did you mean 8/255\?"),
        (("--n", "0"), "n must be at least 1, got 0"),
        (("--attack.n-steps", "0"), "PGD needs at least one step, got n_steps=0"),
    ],
)
def test_a_refused_flag_is_one_sentence(flags, sentence, capsys):
    with pytest.raises(ValueError, match=sentence):
        options(*flags)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("flags", "words"), [(("--n", "x"), "--n"), (("--nonsense", "1"), "--nonsense")])
def test_flags_that_are_none_are_shown_with_help(flags, words, capsys):
    with pytest.raises(SystemExit) as end:
        options(*flags)
    assert end.value.code == 2 and words in capsys.readouterr().err
