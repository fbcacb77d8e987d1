"""Reading ahead of the device: once per unit, at most two in memory."""

import time

from ssni_jax.jobs.run import ReadAhead, WorkUnit

UNITS = [WorkUnit("evaluated", (first, first + 1)) for first in range(0, 12, 2)]


class Reader:
    """Notes what it was asked to read."""

    def __init__(self):
        self.asked: list[WorkUnit] = []

    def __call__(self, unit):
        self.asked.append(unit)
        return unit.ids


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
