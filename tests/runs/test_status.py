"""Status says how far, how well so far, and how to go on."""

from ssni_jax.journal.formats import DASH
from ssni_jax.journal.rows import summarise
from ssni_jax.journal.status import is_complete, status
from ssni_jax.journal.workdir import load_results


def test_an_unfinished_run_says_how_to_resume(workdir):
    path = workdir("ssni-n", n=24, done=16)
    text = status(path)
    assert "ssni-n: 16 of 24 images" in text
    assert f"missing 16{DASH}23; resume with: ssni evaluate configs/ssni-n_digits.py --workdir runs/ssni-n" in text
    assert not is_complete(path)


def test_a_finished_run_says_complete_and_shows_its_numbers(workdir):
    path = workdir("diffpure", n=24)
    row = summarise("diffpure", load_results(path).records)
    text = status(path)
    assert "complete" in text
    assert f"{100 * row['clean']:.1f} %" in text
    assert f"[{100 * row['robust_ci'][0]:.1f}, {100 * row['robust_ci'][1]:.1f}]" in text
    assert is_complete(path)


def test_a_parent_lists_every_run_and_is_complete_only_with_all(workdir):
    parent = workdir("diffpure", n=4).parent
    assert is_complete(parent)
    workdir("ssni-n", n=4, done=0)
    text = status(parent)
    assert "diffpure: 4 of 4" in text
    assert "ssni-n: 0 of 4" in text
    assert not is_complete(parent)
