"""`ssni purify`."""

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np
import tyro

from ssni_jax.api import Opened, batches, purify_with
from ssni_jax.commands.config import read_experiment
from ssni_jax.commands.purified import (
    Input,
    Ledger,
    Result,
    noise_id,
    opened_input,
    set_of,
    targets,
    without_overwriting,
)
from ssni_jax.core.describe import describe
from ssni_jax.data import write_image
from ssni_jax.data.images import as_array
from ssni_jax.experiments import Evaluation
from ssni_jax.journal.identity import digest_of
from ssni_jax.presets import preset
from ssni_jax.zoo import Pretrained, stored_denoisers


@dataclasses.dataclass(frozen=True)
class PurifyImages:
    """Purify an image, or every image of a folder, and print the noise level and score norm that each was given.

    The results of a folder appear as they are made, and purified.jsonl beside them holds the printed numbers; the same
    command skips what is done. An image's noise follows from the seed and its name, not from the other images.
    """

    takes_overrides: ClassVar[bool] = False
    input: tyro.conf.Positional[Path]
    """An image file, or a folder or zip archive of them: PNG, JPEG, WebP, BMP, TIFF."""
    output: tyro.conf.Positional[Path]
    """The PNG file to write, or the folder to write PNG files into."""
    preset: str = "digits-ssni-n"
    """A ready-made defence over bundled weights."""
    config: Path | None = None
    """A config file of `ssni evaluate`, whose defence is used instead of the preset."""
    resize: bool = False
    """Resize and centre-crop images to the network's size instead of refusing others."""
    seed: int = 0

    def run(self, overrides: Sequence[str]) -> None:
        """Checks all images, then writes the purified ones, folder structure kept."""
        defense = preset(self.preset) if self.config is None else read_experiment(self.config, Evaluation).defense
        height, width, channels = shape_of(defense)
        images = opened_input(self.input, channels, None if self.resize else (height, width))
        if set_of(self.input):
            check_folder(self.input, self.output)
            ledger = Ledger(self.output, self.digest(defense))
            places = {name: self.output / target for name, target in targets(images.names).items()}
        else:
            ledger, places = None, {images.names[0]: self.place_of_one()}
        without_overwriting(images, places.values())
        left = list(images.names) if ledger is None else ledger.missing(images, places)
        if len(left) < len(images.names):
            print(f"{len(images.names) - len(left)} of {len(images.names)} images are purified already")
        if left:
            print(f"{'image':32}  {'t':>8}  {'score norm':>10}  {'calls':>5}  class")
        for results in self.purified(defense, images, left, height if self.resize else None):
            for result in results:
                write_purified(places[result.name], result.image)
                print(line(result), flush=True)
            if ledger is not None:
                ledger.add(results, images, places)

    def purified(self, defense: Any, images: Input, names: Sequence[str], size: int | None) -> Iterator[list[Result]]:
        """The results of a batch at a time."""
        compiled = set()
        channels = shape_of(defense)[-1]
        for start, stop, n_rows in batches(len(names), jax.device_count()):
            if n_rows not in compiled:
                print(f"compiling for {n_rows} images at a time; the next run finds it compiled", file=sys.stderr)
                compiled.add(n_rows)
            chunk = names[start:stop]
            x = np.stack([as_array(images.container.read(name), images.shown(name), channels, size) for name in chunk])
            yield results_of(chunk, purify_with(defense, x, self.seed, [noise_id(name) for name in chunk]))

    def digest(self, defense: Any) -> str:
        """What the results depend on besides the image: the defence and its networks, seed and size."""
        stored = [leaf.fingerprint for leaf in jax.tree.leaves(defense) if isinstance(leaf, Pretrained)]
        return digest_of([describe(defense), stored, self.seed, self.resize])

    def place_of_one(self) -> Path:
        """The file for the result of one image."""
        place = self.output / f"{self.input.stem}.png" if self.output.is_dir() else self.output
        if place.suffix.lower() != ".png":
            raise ValueError(f"{place} would hold a PNG file: give a name that ends in .png, or an existing folder.")
        return place


def shape_of(defense: Any) -> tuple[int, int, int]:
    """Height, width and channels of the images that a defence purifies."""
    stored = stored_denoisers(defense)
    if not stored:
        raise ValueError("the defence has no stored denoiser: give it one as Pretrained(name or path).")
    return stored[0].image_shape


def check_folder(source: Path, output: Path) -> None:
    """Refuses an output folder that is no folder, or lies in the input, whose next run would read it."""
    if output.exists() and not output.is_dir():
        raise ValueError(f"{output} is a file, and the results of {source} need a folder: give another output.")
    if source.is_dir() and output.resolve().is_relative_to(source.resolve()):
        raise ValueError(f"{output} lies in the input folder {source}: give an output folder outside of it.")


def results_of(names: Sequence[str], purified: Opened) -> list[Result]:
    """One result per image."""
    rows = zip(names, purified.images, purified.t, purified.norm, purified.n_calls, purified.label, strict=True)
    return [
        Result(name, image, t.tolist(), float(norm), float(calls), int(label))
        for name, image, t, norm, calls, label in rows
    ]


def write_purified(path: Path, image: np.ndarray) -> None:
    """A PNG, its folder made if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


def line(result: Result) -> str:
    """One row of the printed table."""
    t = ", ".join(f"{value:.3f}" for value in result.t) or "-"
    norm = f"{result.norm:.1f}" if result.norm else "-"
    return f"{result.name:32}  {t:>8}  {norm:>10}  {result.calls:5.0f}  {result.label}"
