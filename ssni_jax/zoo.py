"""Stored networks by name: those that ship with the package, and any that `ssni train` wrote."""

import dataclasses
import functools
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax

from ssni_jax.convert import Place, place, read_about, read_arrays, stored_file
from ssni_jax.core.describe import rebuild
from ssni_jax.core.types import Tree
from ssni_jax.networks import (
    AdmUNetConfig,
    ConsistencyCoefficients,
    EdmCoefficients,
    IddpmCoefficients,
    InceptionConfig,
    LpipsConfig,
    Preconditioned,
    PreprocessedClassifier,
    Preprocessing,
    ResNetConfig,
    Snapped,
    SongUNetConfig,
    SqueezeNetConfig,
    VeCoefficients,
    VitConfig,
    VpCoefficients,
    WideResNetConfig,
)
from ssni_jax.networks.network import Network, abstract
from ssni_jax.purify import Calibration
from ssni_jax.schedules import VE, VP, CosineVP, DiscreteVP

NETWORKS = (
    *(SongUNetConfig, AdmUNetConfig),
    *(WideResNetConfig, ResNetConfig, SqueezeNetConfig, VitConfig, InceptionConfig, LpipsConfig),
)
AROUND = (
    EdmCoefficients,
    VpCoefficients,
    VeCoefficients,
    IddpmCoefficients,
    ConsistencyCoefficients,
    Snapped,
    Preprocessing,
)
KINDS = {kind.__name__: kind for kind in (*NETWORKS, *AROUND, VP, VE, DiscreteVP, CosineVP)}


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A stored network: the name of a bundled one, or a path without its .safetensors ending.

    It stands in a configuration where the network will be; `resolve` puts the network there. Calling it loads and calls
    the network, for a quick look: under jit its weights would become constants. `dtype` is what it computes in, such as
    "bfloat16"; None as it was stored. Parameters, and with them the fingerprint, are the same in either.
    """

    name: str
    dtype: str | None = None

    @property
    def path(self) -> Path:
        return bundled_path() / self.name if self.name in bundled() else Path(self.name)

    @property
    def fingerprint(self) -> str:
        return self.about()["fingerprint"]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images a stored denoiser takes."""
        architecture = self.about()["architecture"]
        return architecture["resolution"], architecture["resolution"], architecture["in_channels"]

    def about(self) -> dict[str, Any]:
        """Architecture, licence, provenance and hashes."""
        if self.name not in bundled() and not stored_file(self.path, ".json").is_file():
            raise FileNotFoundError(
                f"There is no stored network {self.name!r}: give one of {', '.join(bundled())}, "
                "or the path of a .safetensors file without its ending."
            )
        return read_about(self.path)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.load()(*args, **kwargs)

    def load(self, sharding: Place = None) -> Tree:
        """A denoiser, a classifier of [0, 1] images, or the bare network, as it was stored.

        `sharding` is one for all parameters, such as `whole(mesh)`, or a function from their shapes to one for each,
        such as `partial(sharded_over_data, mesh)`: each device then reads its own part of the file. Without it the
        network is on the default device. Loaded once a process for each sharding.
        """
        return _load(self, sharding)

    def calibration(self) -> Calibration:
        """The reference score norms stored beside the network by `ssni calibrate`."""
        return read_calibration(stored_file(self.path, ".calibration.json"))


def resolve(tree: Tree, sharding: Place = None) -> Tree:
    """The tree with every `Pretrained` replaced by its network, placed as by `Pretrained.load`."""
    return jax.tree.map(lambda leaf: leaf.load(sharding) if isinstance(leaf, Pretrained) else leaf, tree)


def stored_denoisers(tree: Tree) -> list[Pretrained]:
    """The stored denoisers of a predictor whose networks are not in place yet."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, Pretrained)]
    return [leaf for leaf in leaves if leaf.about().get("coefficients")]


def check_fit(predict: Tree, image_shape: tuple[int, ...]) -> None:
    """Refuses images of another size or number of channels than a stored denoiser of the predictor takes."""
    for stored in stored_denoisers(predict):
        if tuple(image_shape) != stored.image_shape:
            raise ValueError(
                f"the images are {_shown(image_shape)} (height x width x channels), and the network {stored.name} "
                f"purifies {_shown(stored.image_shape)}: resize the images, or choose a network for their size."
            )


def bundled_path() -> Path:
    """The folder of the weights that ship with the package."""
    return Path(str(files("ssni_jax") / "weights"))


@functools.cache
def bundled() -> tuple[str, ...]:
    """Names of the networks that ship with the package."""
    return tuple(sorted(path.stem for path in bundled_path().glob("*.safetensors")))


def read_calibration(path: Path) -> Calibration:
    """A calibration file, or a sentence saying how to make one."""
    if not path.is_file():
        raise FileNotFoundError(f"There is no calibration at {path}: write one with `ssni calibrate`.")
    try:
        return Calibration.from_json(json.loads(path.read_text()))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON ({error}): write it again with `ssni calibrate`.") from None


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


@functools.cache
def _load(stored: Pretrained, sharding: Place) -> Tree:
    about = stored.about()
    config = rebuild(about["architecture"], KINDS)
    config = config if stored.dtype is None else dataclasses.replace(config, dtype=stored.dtype)
    graphdef, shapes = abstract(config.make)
    return wrapped(Network(graphdef, place(read_arrays(stored.path), shapes, sharding)), about)


def wrapped(network: Network, about: dict[str, Any]) -> Tree:
    """The network as what it was stored for: a denoiser, a classifier of [0, 1] images, or itself."""
    if about.get("coefficients"):
        return Preconditioned(network, rebuild(about["coefficients"], KINDS))
    if about.get("preprocessing"):
        return PreprocessedClassifier(network, rebuild(about["preprocessing"], KINDS))
    return network
