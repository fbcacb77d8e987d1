"""Accelerators by name, and the compilers for them, which run on a machine without the chip.

`tpu:v5e:4x4` needs `jax[tpu]`, `gpu:h100:8` needs `jax[cuda]`; without them a target is known by its data sheet alone.
"""

import dataclasses
import importlib.util
import math
import os
import re
from typing import Any

import jax
from jax.sharding import Mesh

from ssni_jax.dist.mesh import make_mesh

GIB, GB = 2**30, 10**9
HERE = "here"
MEMORY_SHARE = 0.9  # of a device's memory that a plan may fill


@dataclasses.dataclass(frozen=True)
class Chip:
    """One accelerator by its data sheet: memory, and dense bfloat16 operations per second.

    `dimensions` are those of a TPU topology; `card` holds the figures that XLA's GPU compiler asks for.
    """

    platform: str
    n_bytes: int
    flops: float
    dimensions: int = 0
    card: str = ""


def _card(name: str, n_bytes: int, *, cores: int, bandwidth: int, cache: int, clock: float, capability: int) -> str:
    """XLA's text form of a data center GPU of Ampere or later."""
    shared = 166_912 if capability == 8 else 232_448  # bytes per block, of 1,024 more per core
    return f"""
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: {shared} shared_memory_per_core: {shared + 1024}
  core_count: {cores} fpus_per_core: {64 if capability == 8 else 128}
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  memory_bandwidth: {bandwidth} l2_cache_size: {cache} clock_rate_ghz: {clock} device_memory_size: {n_bytes}
  cuda_compute_capability {{ major: {capability} }}
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 patch: 2 }}
runtime_version {{ major: 13 minor: 0 patch: 0 }}
device_description_str: "{name}"
"""


_H100 = {"cores": 132, "cache": 52_428_800, "clock": 1.98, "capability": 9}
CHIPS = {
    "v4": Chip("tpu", 32 * GIB, 275e12, 3),
    "v5e": Chip("tpu", 16 * GIB, 197e12, 2),
    "v5p": Chip("tpu", 95 * GIB, 459e12, 3),
    "v6e": Chip("tpu", 32 * GIB, 918e12, 2),
    "a100": Chip(
        "gpu", 80 * GB, 312e12,
        card=_card("NVIDIA A100-SXM4-80GB", 80 * GB, cores=108, bandwidth=2_039 * GB, cache=41_943_040, clock=1.41,
                   capability=8),
    ),
    "h100": Chip(
        "gpu", 80 * GB, 989e12, card=_card("NVIDIA H100 80GB HBM3", 80 * GB, bandwidth=3_352 * GB, **_H100)
    ),
    "h200": Chip("gpu", 141 * GB, 989e12, card=_card("NVIDIA H200", 141 * GB, bandwidth=4_800 * GB, **_H100)),
}  # fmt: skip
FORM = "give tpu:v5e:4x4, gpu:h100:8 (chip, and topology or number of cards), or here"


@dataclasses.dataclass(frozen=True)
class HardwareTarget:
    """Where a plan is for: the devices of this process, or chips that need not exist."""

    name: str
    n_devices: int
    n_bytes: int | None
    flops: float | None
    topology: str = ""

    @property
    def is_here(self) -> bool:
        """Whether the target is the devices of this process."""
        return self.name == HERE

    @property
    def chip(self) -> str:
        """The chip's name."""
        return HERE if self.is_here else self.name.split(":")[1]

    def mesh(self) -> Mesh | None:
        """A mesh over the target's devices, on which programs can be compiled; None without its compiler."""
        if self.is_here:
            return make_mesh()
        devices = _devices(self)
        return None if devices is None else make_mesh(devices=devices)


def target_named(text: str) -> HardwareTarget:
    """The target of that name; ValueError says which there are."""
    if text == HERE:
        devices = jax.devices()
        return HardwareTarget(HERE, len(devices), device_bytes(devices[0]), _flops(devices[0]))
    platform, _, rest = text.partition(":")
    name, _, shape = rest.partition(":")
    if name not in CHIPS or CHIPS[name].platform != platform or not re.fullmatch(r"\d+(x\d+)*", shape):
        raise ValueError(f"there is no target {text!r}: {FORM}; chips are {', '.join(CHIPS)}.")
    chip, sizes = CHIPS[name], [int(size) for size in shape.split("x")]
    n_wanted = chip.dimensions or 1
    if len(sizes) != n_wanted or min(sizes) < 1:
        form = "x".join("248"[:n_wanted]) if chip.platform == "tpu" else "8"
        raise ValueError(f"the target {text!r} must end with {n_wanted} positive number(s), such as {form}: {FORM}.")
    return HardwareTarget(text, math.prod(sizes), chip.n_bytes, chip.flops, shape)


def device_bytes(device: Any) -> int | None:
    """Memory of a device of this process; of a CPU its part of what the machine has available."""
    stats = device.memory_stats() or {}
    if device.platform == "cpu":
        return _available_bytes() // max(1, jax.local_device_count())
    return stats.get("bytes_limit")


def _available_bytes() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # systems that do not say
        return 4 * GIB


def _flops(device: Any) -> float | None:
    """Of a device of this process whose name is that of a known chip."""
    kind = device.device_kind.lower().replace(" lite", "e")
    return next((chip.flops for name, chip in CHIPS.items() if name in kind), None)


def _devices(target: HardwareTarget) -> list[Any] | None:
    """The devices of a topology; None where the compiler is not installed."""
    platform = CHIPS[target.chip].platform
    if importlib.util.find_spec("libtpu" if platform == "tpu" else "jax_cuda13_plugin") is None:
        return None
    try:
        devices = _topology(target)
    except RuntimeError as error:  # of the plugin, such as that the compiler is in use
        reason = " ".join(str(error).split())
        raise OSError(f"the compiler for {target.name} does not start ({reason}): plan on another machine.") from error
    return devices if len(devices) == target.n_devices else None  # v4 shows the two cores of a chip apart


def _topology(target: HardwareTarget) -> list[Any]:
    """The devices that the target's compiler knows for its topology."""
    from jax.experimental import topologies

    chip = CHIPS[target.chip]
    if chip.platform == "tpu":
        return list(topologies.get_topology_desc(f"{target.chip}:{target.topology}", platform="tpu").devices)
    card = {"topology": f"1x1x{target.n_devices}", "target_config": chip.card}
    return list(topologies.get_topology_desc(target.chip, platform="cuda", **card).devices)
