"""CompiledPrograms are shared where nothing that they depend on differs, also between threads."""

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import pytest

from ssni_jax.attacks import Linf, Pgd
from ssni_jax.jobs import programs
from ssni_jax.jobs.programs import CompiledPrograms

X = jnp.ones(3)


def counting(traced):
    def scaled(attack, x):
        traced.append(1)
        return attack.threat.eps * x * attack.n_steps

    return jax.jit(scaled)


def test_values_that_differ_in_numbers_share_a_program_and_counts_do_not():
    shared, traced = CompiledPrograms(), []
    for eps, n_steps in ((0.1, 2), (0.2, 2), (0.2, 3)):
        attack = Pgd(Linf(eps), n_steps=n_steps)
        program = shared.compiled("scaled", counting(traced), attack, X)
        assert float(program(attack, X)[0]) == pytest.approx(eps * n_steps)
    assert len(traced) == 2


def test_another_precision_is_another_program():
    shared, traced = CompiledPrograms(), []
    for precision in (None, "highest"):
        with jax.default_matmul_precision(precision):
            shared.compiled("scaled", counting(traced), Pgd(), X)
    assert len(traced) == 2


def test_two_threads_compile_a_program_once():
    shared, traced = CompiledPrograms(), []
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: shared.compiled("scaled", counting(traced), Pgd(), X), range(2)))
    assert len(traced) == 1 and results[0] is results[1]


def test_a_program_that_fails_is_tried_again_and_old_ones_are_forgotten(monkeypatch):
    shared, traced = CompiledPrograms(), []
    with pytest.raises(AttributeError):
        shared.compiled("scaled", counting(traced), 1.0, X)
    with pytest.raises(AttributeError):
        shared.compiled("scaled", counting(traced), 1.0, X)
    assert len(traced) == 2
    monkeypatch.setattr(programs, "LARGEST", 1)
    for n_steps in (1, 2, 1):
        shared.compiled("scaled", counting(traced), Pgd(n_steps=n_steps), X)
    assert len(traced) == 5
