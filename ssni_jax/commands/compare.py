"""`ssni compare`."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import tyro

from ssni_jax.core.types import Tree
from ssni_jax.evals.comparison import (
    NamedImages,
    aligned,
    compare_sets,
    open_images,
    pairs_of,
    score_pairs,
    summary,
)
from ssni_jax.evals.features import Features, extract, joined
from ssni_jax.evals.quality import psnr, ssim
from ssni_jax.experiments.selection import check_positive
from ssni_jax.files.atomic import write_bytes
from ssni_jax.networks import PreprocessedClassifier
from ssni_jax.zoo import Pretrained

DIGITS, NO_FEATURES = (8, 8, 1), "none"
INCEPTIONS = {"fid-inception": "inception-fid", "torchvision-inception": "inception-torchvision"}
UNITS = {"psnr": " dB"}


@dataclasses.dataclass(frozen=True)
class Compare:
    """Measure how close images came to others: PSNR, SSIM and LPIPS of pairs, FID and KID of the two sets.

    Files of the same name, whatever their ending, are a pair: compare a folder of clean images with what
    `ssni purify` made of it. PSNR (dB) and SSIM are higher, LPIPS lower for images more alike. FID and KID need no
    pairs: they compare the distributions of a network's features, and 0 is equal. They mean something only beside
    numbers of the same network, so its name is printed with them; published ones have inception-fid features.
    """

    takes_overrides: ClassVar[bool] = False
    reference: tyro.conf.Positional[Path]
    """A folder or zip archive of image files, or an .npz file with an array `images`, whose rows are named 0, 1, 2."""
    other: tyro.conf.Positional[Path]
    """The images to judge, in either form."""
    features: str | None = None
    """A stored classifier whose pooled features FID and KID compare, or "none" for neither; 8 x 8 digits have one."""
    lpips: str | None = None
    """A stored LPIPS network, as `ssni convert --family lpips` writes it."""
    size: int | None = None
    """Resize and centre-crop the images of folders to this size."""
    batch_size: int = 64
    seed: int = 0
    """Of the random subsets that KID averages over."""
    json: Path | None = None
    """A file for all numbers."""

    def run(self, overrides: Sequence[str]) -> None:
        """Prints the table; warnings about what the numbers cannot say stand below it."""
        check_positive(self, "batch_size")
        numbers = compare(self)
        print("\n".join([*table(numbers), *warnings(numbers)]))
        if self.json is not None:
            write_bytes(self.json, (json.dumps(numbers, indent=1) + "\n").encode())


def compare(options: Compare) -> dict[str, Any]:
    """All numbers, as the JSON file holds them."""
    reference, other = (open_images(path, options.size) for path in (options.reference, options.other))
    shape = same_shape(options, reference, other)
    stored = chosen_features(options.features, shape)
    scored = score_pairs(metrics(options.lpips), reference, other, options.batch_size)
    numbers: dict[str, Any] = {
        "reference": {"path": str(options.reference), "n": len(reference.names)},
        "other": {"path": str(options.other), "n": len(other.names)},
        "n_pairs": len(pairs_of(reference, other)[0]),
        **{name: summary(values) for name, values in scored.items()},
    }
    if options.lpips is not None:
        numbers["lpips_network"] = about_network(Pretrained(options.lpips))
    if stored is not None:
        sides = zip((reference, other), aligned(reference, other), strict=True)
        a, b = (set_features(stored, images, ids, options.batch_size) for images, ids in sides)
        numbers["sets"] = {**compare_sets(a, b, options.seed), "network": about_network(stored)}
    return numbers


def same_shape(options: Compare, reference: NamedImages, other: NamedImages) -> tuple[int, int, int]:
    """The shape of an image of both."""
    a, b = reference.source.image_shape, other.source.image_shape
    if a != b:
        shown = [" x ".join(map(str, shape)) for shape in (a, b)]
        raise ValueError(
            f"{options.reference} has images of {shown[0]} and {options.other} of {shown[1]} (height x width x "
            "channels): pass --size to resize folders, or bring both to one shape."
        )
    return a


def metrics(lpips: str | None) -> dict[str, Callable[..., jax.Array]]:
    """The metrics of pairs, compiled."""
    pixels = {"psnr": jax.jit(psnr), "ssim": jax.jit(ssim)}
    return pixels if lpips is None else {**pixels, "lpips": partial(jax.jit(perceptual), loaded_lpips(lpips))}


def loaded_lpips(name: str) -> Tree:
    """A stored LPIPS network."""
    stored = Pretrained(name)
    kind = stored.about()["architecture"]["kind"]
    if kind != "LpipsConfig":
        raise ValueError(f"--lpips {name} is a {kind}, not LPIPS: write one with `ssni convert --family lpips`.")
    return stored.load()


def perceptual(network: Tree, a: jax.Array, b: jax.Array) -> jax.Array:
    """LPIPS of images in [0, 1]; grey ones are repeated for its three channels."""
    seen = [2 * jnp.broadcast_to(x, (*x.shape[:3], 3)) - 1 for x in (a, b)]
    return network(*seen)


def chosen_features(name: str | None, shape: tuple[int, int, int]) -> Pretrained | None:
    """The classifier whose features are compared."""
    if name == NO_FEATURES:
        return None
    if name is None and shape != DIGITS:
        shown = " x ".join(map(str, shape))
        raise ValueError(
            f"no features are bundled for images of {shown}: pass --features PATH, a network that `ssni convert FILE "
            "--family fid-inception --out DIR` or another family of classifiers wrote, or --features none for the "
            "metrics of pairs alone."
        )
    return Pretrained(name or "digits-classifier")


def set_features(stored: Pretrained, images: NamedImages, ids: Sequence[int], batch_size: int) -> Features:
    """Features of a set under the name of the network."""
    classifier, about = stored.load(), stored.about()
    n_channels = about["architecture"].get("in_channels", 3)
    if not isinstance(classifier, PreprocessedClassifier):
        raise ValueError(f"--features {stored.name} is a {about['architecture']['kind']}: give a classifier.")
    if images.source.image_shape[-1] not in (1, n_channels):
        raise ValueError(f"--features {stored.name} sees grey images, and these have colours: give another network.")
    name = INCEPTIONS.get(about.get("family", ""), f"classifier {Path(stored.name).name}")
    return joined(extract(name, classifier, images.batches(ids, batch_size, n_channels)))


def about_network(stored: Pretrained) -> dict[str, str]:
    """Which network, so that a number can be traced to it."""
    return {"name": stored.name, "fingerprint": stored.fingerprint}


def table(numbers: dict[str, Any]) -> list[str]:
    """A line a metric."""
    sides = [f"{name:9}  {numbers[name]['path']}  ({numbers[name]['n']} images)" for name in ("reference", "other")]
    lines = [*sides, f"{numbers['n_pairs']} pairs of the same name", ""]
    for name in ("psnr", "ssim", "lpips"):
        if name in numbers:
            lines.append(paired_line(name, numbers[name]))
    return lines + (set_lines(numbers["sets"]) if "sets" in numbers else [])


def paired_line(name: str, values: dict[str, Any]) -> str:
    """Mean and standard deviation over the pairs; equal images are counted apart from a mean in dB."""
    unit = UNITS.get(name, "")
    equal = f", {values['n_infinite']} pairs are equal" if values["n_infinite"] else ""
    if values["mean"] is None:
        return f"{name.upper():6} infinite: all {values['n_infinite']} pairs are equal"
    return f"{name.upper():6} {values['mean']:.4f}{unit}  (std {values['std']:.4f} over {values['n']} pairs{equal})"


def set_lines(sets: dict[str, Any]) -> list[str]:
    """FID and KID, each with the features that it is of."""
    of = f"of {sets['features']} features, {sets['n_dimensions']} dimensions"
    lines = [f"FID    {sets['fid']:.4f}  ({of})"]
    if sets["kid"] is not None:
        kernel = sets["kid"]
        subsets = f"std {kernel['std']:.5f} over {kernel['n_subsets']} subsets of {kernel['size']} images"
        lines.append(f"KID    {kernel['mean']:.5f}  ({of}; {subsets})")
    return lines


def warnings(numbers: dict[str, Any]) -> list[str]:
    """What the numbers cannot say."""
    lines = []
    if not numbers["n_pairs"]:
        lines.append("No file name is in both: PSNR, SSIM and LPIPS need pairs.")
    elif numbers["n_pairs"] < max(numbers["reference"]["n"], numbers["other"]["n"]):
        lines.append("Some images have no partner; the metrics of pairs leave them out, those of sets do not.")
    sets = numbers.get("sets")
    if sets is not None and min(sets["n"]) <= sets["n_dimensions"]:
        lines.append(
            f"FID is biased: {min(sets['n'])} images cannot fill {sets['n_dimensions']} dimensions, so a covariance is "
            "singular. Compare it with FID of as many images only; KID is unbiased."
        )
    return lines
