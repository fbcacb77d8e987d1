"""Mean, standard deviation, size and crop of a classifier's images: settings of every family, because no file has them.

An image is resized to `input_size` x `input_size`, of which the middle `crop` x `crop` is kept: torchvision's
Resize(256) and CenterCrop(224) of a square image are input_size=256 and crop=224.
"""

import math
from typing import Any

from ssni_jax.convert.family import Options
from ssni_jax.networks.classifier import Preprocessing

# Images here are in [0, 1]; numbers beyond these are those of pixels from 0 to 255.
LARGEST_MEAN, LARGEST_STD = 1.0, 10.0


def settings(usual: Preprocessing = Preprocessing(), **open_options: None) -> Options:
    """The options of a family whose released checkpoints have the preprocessing `usual`.

    `open_options` are those that `preprocessing` is given the value of, since they depend on the file.
    """
    return {
        "mean": usual.mean,
        "std": usual.std,
        "input_size": usual.size,
        "crop": usual.crop,
        "interpolation": usual.interpolation,
        "antialias": usual.antialias,
        **open_options,
    }


def preprocessing(options: Options, n_channels: int) -> Preprocessing:
    """The preprocessing that the options describe, for a network that takes `n_channels` channels."""
    return Preprocessing(
        mean=_channels("mean", options["mean"], n_channels, LARGEST_MEAN),
        std=_channels("std", options["std"], n_channels, LARGEST_STD),
        size=_pixels("input_size", options["input_size"]),
        interpolation=options["interpolation"],
        antialias=_flag("antialias", options["antialias"]),
        crop=_pixels("crop", options["crop"]),
    )


def without_resizing(around: Preprocessing) -> Options:
    """The options that mean nothing where images keep their size, as None."""
    return {} if around.size is not None else {"interpolation": None, "antialias": None}


def check_size(around: Preprocessing, resolution: int) -> Preprocessing:
    """The preprocessing of a network that takes images of one size only."""
    size = around.size if around.crop is None else around.crop
    if size != resolution:
        raise ValueError(
            f"images of {size} pixels would reach a network that takes {resolution} x {resolution}: "
            f"set crop={resolution}, or input_size={resolution} without a crop"
        )
    return around


def _channels(name: str, values: Any, n_channels: int, largest: float) -> tuple[float, ...]:
    numbers = values if isinstance(values, tuple | list) else (values,)
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in numbers):
        raise ValueError(f"{name} is {values!r}, but it must be numbers such as {name}=(0.5,0.5,0.5)")
    if len(numbers) not in (1, n_channels):
        raise ValueError(f"{name} has {len(numbers)} values for {n_channels} channels: give one each, or one for all")
    if max(map(abs, numbers)) > largest:
        raise ValueError(f"{name} is {values!r}, and images are in [0, 1]: divide values of 0 to 255 by 255")
    return tuple(float(number) for number in numbers)


def _pixels(name: str, value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(f"{name} is {value!r}, but it must be a number of pixels, or None to keep the size")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value!r}, but it must be True or False")
    return value
