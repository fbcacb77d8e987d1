"""`ssni fetch-list`."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import tyro

from ssni_jax.commands.config import FIELDS, build, parsed_choices
from ssni_jax.convert import stored_file
from ssni_jax.convert.public_files import PUBLIC_FILES, Download, PublicFile
from ssni_jax.published import Published, published_in
from ssni_jax.purify import ScoreNorm


@dataclasses.dataclass(frozen=True)
class FetchList:
    """Public files that a config needs: address, size, sha256, licence, and the commands that make them usable.

    Nothing is downloaded. Flags choose the row of a config with choices, such as --classifier wrn-70-16.
    """

    takes_overrides: ClassVar[bool] = True
    config: tyro.conf.Positional[Path | None] = None
    """A .py file of a config; without one, every public file that the configs of this project read."""

    def run(self, overrides: Sequence[str]) -> None:
        """Prints a paragraph per network, the missing ones first."""
        if self.config is None:
            print("\n\n".join("\n".join(paragraph(public, "weights")) for public in PUBLIC_FILES.values()))
            return
        flags = [flag for flag in overrides if flag != FIELDS]
        values = list(build(self.config).items())
        experiments = [parsed_choices(value, flags, f"ssni fetch-list {self.config}") for _, value in values]
        networks = published_in(experiments)
        if not networks:
            print(f"{self.config} needs no public file.")
        for network in sorted(networks, key=lambda network: network.is_stored):
            print("\n".join([*paragraph(network.public, network.folder, network.is_stored), ""]))
        print("\n".join(calibrations(experiments)))


def paragraph(public: PublicFile, folder: str, is_stored: bool | None = None) -> Iterator[str]:
    """What there is to know about one public network, a line each."""
    state = {None: "", True: f": stored in {folder}", False: f": missing in {folder}"}[is_stored]
    yield f"{public.name}{state}"
    for download in public.downloads:
        yield f"  file     {download.file} ({_size(download)}, sha256 {download.sha256 or 'not published'})"
        yield f"  from     {download.url}"
    yield f"  licence  {public.licence}"
    yield f"  then     {public.convert_line(folder)}"


def calibrations(value: Any) -> Iterator[str]:
    """The commands for reference norms that are missing beside published networks."""
    for network, n_levels in sorted(set(_measured(value))):
        file = stored_file(Path(network), ".calibration.json")
        if not file.exists():
            yield f"Reference norms are missing in {file}; once the network is stored:"
            yield f"  ssni calibrate {network} --n-levels {n_levels} --images published source:npz --source.path FILE"


def _measured(value: Any) -> Iterator[tuple[str, int]]:
    """Published networks that a score norm asks, and its number of levels."""
    if isinstance(value, ScoreNorm) and isinstance(value.denoise, Published):
        yield str(value.denoise.path), value.n_levels
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = [getattr(value, field.name) for field in dataclasses.fields(value)]
    for part in value if isinstance(value, list | tuple) else ():
        yield from _measured(part)


def _size(download: Download) -> str:
    return "size not published" if download.n_bytes is None else f"{download.n_bytes:,} bytes"
