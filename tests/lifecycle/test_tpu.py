"""The workers of a Cloud TPU slice: nobody is asked without chips, and the answers are understood."""

import pytest

from ssni_jax.lifecycle import environment, tpu


def device(folder, vendor, number):
    (folder / "0000:00:04.0").mkdir()
    (folder / "0000:00:04.0" / "vendor").write_text(f"{vendor}\n")
    (folder / "0000:00:04.0" / "device").write_text(f"{number}\n")


@pytest.mark.parametrize(
    ("vendor", "number", "expected"),
    [("0x1ae0", "0x0063", True), ("0x1ae0", "0x0042", False), ("0x8086", "0x0063", False)],
)
def test_a_chip_is_known_by_vendor_and_number(tmp_path, vendor, number, expected):
    assert not tpu.has_chips(tmp_path)
    device(tmp_path, vendor, number)
    assert tpu.has_chips(tmp_path) is expected


def test_a_machine_without_chips_asks_no_server(monkeypatch):
    monkeypatch.setattr(tpu, "has_chips", lambda: False)
    monkeypatch.setattr(tpu, "metadata", lambda name: pytest.fail("it asked"))
    assert tpu.workers_of_this_vm.__wrapped__() is None


ANSWERS = {
    "agent-worker-number": "1",
    "worker-network-endpoints": "unknown:unknown:10.0.0.1,unknown:unknown:10.0.0.2",
    "tpu-env": "ACCELERATOR_TYPE: 'v5litepod-16'\nMEGASCALE_NUM_SLICES: '2'\nMEGASCALE_SLICE_ID: '1'\n",
}


def test_a_worker_knows_its_number_in_all_slices(monkeypatch):
    monkeypatch.setattr(environment, "workers_of_this_vm", lambda: tpu.workers(ANSWERS.get))
    assert environment.membership({}) == ("tpu", 3, 4)
    assert environment.membership({"TPU_SKIP_MDS_QUERY": "1"}) is None


def test_a_virtual_machine_of_one_host_is_alone(monkeypatch):
    one = {"agent-worker-number": "0", "worker-network-endpoints": "host"}
    monkeypatch.setattr(environment, "workers_of_this_vm", lambda: tpu.workers(one.get))
    assert environment.membership({}) is None
    assert tpu.workers({}.get) is None
