"""Reading ahead of the device: once per unit, at most two in memory."""

import time

import numpy as np
import pytest

from ssni_jax.jobs import run
from ssni_jax.jobs.run import ReadAhead, WorkUnit

UNITS = [WorkUnit("evaluated", (first, first + 1)) for first in range(0, 12, 2)]


class Reader:
    """Notes what it was asked to read."""

    def __init__(self, content=lambda unit: unit.ids):
        self.asked: list[WorkUnit] = []
        self.content = content

    def __call__(self, unit):
        self.asked.append(unit)
        return self.content(unit)


def test_every_unit_is_read_once():
    load = Reader()
    with ReadAhead(load, UNITS) as read:
        assert [read(unit).result() for unit in UNITS] == [unit.ids for unit in UNITS]
    assert load.asked == UNITS


def test_the_next_unit_is_read_meanwhile():
    load = Reader()
    with ReadAhead(load, UNITS) as read:
        read(UNITS[0]).result()
        patience = time.monotonic() + 10
        while len(load.asked) < 2 and time.monotonic() < patience:
            time.sleep(0.01)
    assert load.asked == UNITS[:2]


def test_a_unit_read_in_vain_is_forgotten():
    load = Reader()
    with ReadAhead(load, UNITS) as read:
        read(UNITS[0]).result()
        read(UNITS[3]).result()
        assert set(read.readings) == {UNITS[4]}


def test_a_unit_beyond_the_bound_is_read_when_it_is_asked_for(monkeypatch):
    """The first two would otherwise lie in memory together, whatever they take."""
    monkeypatch.setattr(run, "AHEAD_BYTES", 100)
    load = Reader(lambda unit: {"image": np.zeros(101, np.uint8)})
    with ReadAhead(load, UNITS) as read:
        for n, unit in enumerate(UNITS, 1):
            assert read(unit).result()["image"].nbytes == 101
            read.pool.submit(int).result()  # after whatever is read ahead
            assert load.asked == UNITS[:n]


def test_an_error_of_a_reading_ahead_is_that_of_its_own_unit():
    def load(unit):
        if unit == UNITS[1]:
            raise ValueError("x.png cannot be read")
        return unit.ids

    with ReadAhead(load, UNITS) as read:
        assert read(UNITS[0]).result() == UNITS[0].ids
        with pytest.raises(ValueError, match=r"x\.png cannot be read"):
            read(UNITS[1]).result()
