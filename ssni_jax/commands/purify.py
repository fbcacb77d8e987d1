"""`ssni purify`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tyro

from ssni_jax.api import Opened, purify_with
from ssni_jax.commands.config import read_experiment
from ssni_jax.data import ImageFolder, read_image, write_image
from ssni_jax.experiments import Evaluation
from ssni_jax.presets import preset
from ssni_jax.zoo import stored_denoisers

CHUNK = 1024


@dataclasses.dataclass(frozen=True)
class PurifyImages:
    """Purify an image, or every image of a folder, and print the noise level and score norm that each was given."""

    takes_overrides: ClassVar[bool] = False
    input: tyro.conf.Positional[Path]
    """A PNG or JPEG file, or a folder of them."""
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
        """Writes the purified images, folder structure kept, a chunk at a time."""
        defense = preset(self.preset) if self.config is None else read_experiment(self.config, Evaluation).defense
        height, _, channels = self._shape(defense)
        size = height if self.resize else None
        files = ImageFolder(str(self.input), size, channels).files if self.input.is_dir() else (self.input,)
        print(f"{'image':32}  {'t':>8}  {'score norm':>10}  {'calls':>5}  class")
        for start in range(0, len(files), CHUNK):
            chunk = files[start : start + CHUNK]
            purified = purify_with(
                defense, stacked([read_image(file, channels, size) for file in chunk], chunk), self.seed, start
            )
            for i, file in enumerate(chunk):
                write_purified(self._target(file), purified.images[i])
                print(line(file.name, purified, i))

    def _shape(self, defense: Any) -> tuple[int, int, int]:
        stored = stored_denoisers(defense)
        if not stored:
            raise ValueError("the defence has no stored denoiser: give it one as Pretrained(name or path).")
        return stored[0].image_shape

    def _target(self, file: Path) -> Path:
        if not self.input.is_dir():
            return self.output / f"{file.stem}.png" if self.output.is_dir() else self.output
        return (self.output / file.relative_to(self.input)).with_suffix(".png")


def stacked(images: list[np.ndarray], files: Sequence[Path]) -> np.ndarray:
    """The images as one array; the first of another size is named."""
    for image, file in zip(images, files, strict=True):
        if image.shape != images[0].shape:
            raise ValueError(
                f"{file} is {image.shape[0]} x {image.shape[1]} and {files[0].name} is {images[0].shape[0]} x "
                f"{images[0].shape[1]}: pass --resize to bring all to the network's size."
            )
    return np.stack(images)


def write_purified(path: Path, image: np.ndarray) -> None:
    """A PNG, its folder made if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


def line(name: str, purified: Opened, i: int) -> str:
    """One row of the printed table."""
    t = ", ".join(f"{value:.3f}" for value in purified.t[i]) or "-"
    norm = f"{purified.norm[i]:.1f}" if purified.norm[i] else "-"
    return f"{name:32}  {t:>8}  {norm:>10}  {purified.n_calls[i]:5.0f}  {purified.label[i]}"
