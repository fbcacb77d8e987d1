"""The workers of a Cloud TPU slice, of which the environment of a TPU VM says nothing: its metadata server does."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

GOOGLE = "0x1ae0"
CHIPS = {"0x0027", "0x0056", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076"}  # v2 or v3, plc, v4, v5p, v5e, v6e, 7x
DEVICES = Path("/sys/bus/pci/devices")
ANSWER_S = 3.0


class Workers(NamedTuple):
    """The number of this worker in its slice, how many the slice has, and the variables that tell of further slices."""

    number: int
    n: int
    about: dict[str, str]


@functools.cache
def workers_of_this_vm() -> Workers | None:
    """What the metadata server says of this TPU VM; None, and nobody asked, on a machine without TPU chips."""
    return workers(metadata) if has_chips() else None


def has_chips(devices: Path = DEVICES) -> bool:
    """Whether a TPU chip is on the bus of this machine."""
    return any(_text(path / "vendor") == GOOGLE and _text(path / "device") in CHIPS for path in devices.glob("*"))


def workers(ask: Callable[[str], str | None]) -> Workers | None:
    """The workers of the slice by what `ask` says of an attribute; None where it knows of no slice."""
    number, endpoints = ask("agent-worker-number"), ask("worker-network-endpoints")
    if number is None or endpoints is None or not number.strip().isdecimal():
        return None
    return Workers(int(number), len(endpoints.split(",")), dict(_variables(ask("tpu-env") or "")))


def metadata(name: str) -> str | None:
    """An attribute of this virtual machine; None where there is no server that knows it."""
    import urllib.request

    host = os.environ.get("GCE_METADATA_IP", "metadata.google.internal")
    url = f"http://{host}/computeMetadata/v1/instance/attributes/{name}"
    request = urllib.request.Request(url, headers={"Metadata-Flavor": "Google"})
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with suppress(OSError), direct.open(request, timeout=ANSWER_S) as answer:
        return answer.read().decode()
    return None


def _variables(text: str) -> Iterator[tuple[str, str]]:
    """The lines NAME: 'value' of the attribute tpu-env."""
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            yield name.strip(), value.strip().strip("'")


def _text(path: Path) -> str:
    with suppress(OSError):
        return path.read_text().strip()
    return ""
