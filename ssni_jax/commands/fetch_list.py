"""`ssni fetch-list`."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import tyro

from ssni_jax.commands.config import build, with_choices
from ssni_jax.convert.public_files import PUBLIC_FILES, Download, PublicFile
from ssni_jax.experiments.choices import Chosen
from ssni_jax.published import published_in


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
        chosen = [
            with_choices(value, overrides, f"ssni fetch-list {self.config}") for value in build(self.config).values()
        ]
        named = [value.choices.networks if isinstance(value, Chosen) else value for value in chosen]
        networks = published_in(named)
        if not networks:
            print(f"{self.config} needs no public file.")
        for network in sorted(networks, key=lambda network: network.is_stored):
            print("\n".join([*paragraph(network.public, network.folder, network.is_stored), ""]))
        for norms in {value.choices.norms for value in chosen if isinstance(value, Chosen)} - {None}:
            state = "are there" if norms.file.is_file() else f"are missing; once the network is stored: {norms.command}"
            print(f"Reference norms {norms.file} {state}")


def paragraph(public: PublicFile, folder: str, is_stored: bool | None = None) -> Iterator[str]:
    """What there is to know about one public network, a line each."""
    state = {None: "", True: f": stored in {folder}", False: f": missing in {folder}"}[is_stored]
    yield f"{public.name}{state}"
    for download in public.downloads:
        yield f"  file     {download.file} ({_size(download)}, sha256 {download.sha256 or 'not published'})"
        yield f"  from     {download.url}"
    yield f"  licence  {public.licence}"
    yield f"  then     {public.convert_line(folder)}"


def _size(download: Download) -> str:
    return "size not published" if download.n_bytes is None else f"{download.n_bytes:,} bytes"
