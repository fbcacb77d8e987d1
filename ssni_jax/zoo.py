"""Stored networks by name: those that ship with the package, and any that `ssni train` wrote."""

import dataclasses
import functools
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import jax

from ssni_jax.convert import Place, place, read_about, read_arrays, stored_file
from ssni_jax.core.annotations import misfit, misfit_of_fields
from ssni_jax.core.describe import describe, rebuild
from ssni_jax.core.protocols import NoiseSchedule
from ssni_jax.core.pytree import ADDED
from ssni_jax.core.types import Tree
from ssni_jax.files.checked import checked, read_checked
from ssni_jax.networks import (
    AdmUNetConfig,
    ConsistencyCoefficients,
    EdmCoefficients,
    FlowCoefficients,
    IddpmCoefficients,
    InceptionConfig,
    LpipsConfig,
    NoiseConditionedClassifier,
    NoiseVitConfig,
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
    *(WideResNetConfig, ResNetConfig, SqueezeNetConfig, VitConfig, NoiseVitConfig, InceptionConfig, LpipsConfig),
)
AROUND = (
    *(EdmCoefficients, VpCoefficients, VeCoefficients, IddpmCoefficients, ConsistencyCoefficients),
    *(FlowCoefficients, Snapped, Preprocessing),
)
KINDS = {kind.__name__: kind for kind in (*NETWORKS, *AROUND, VP, VE, DiscreteVP, CosineVP)}
ROLES = ("coefficients", "preprocessing", "conditioning")
LARGEST = 2**15  # pixels of a side, or channels
RESTORE, AGAIN = "restore it from its source", "write it again with `ssni calibrate`"


class StoredNetwork(TypedDict):
    """What is read of the JSON beside the weights."""

    architecture: dict[str, Any]
    sha256: str
    fingerprint: str
    coefficients: NotRequired[dict[str, Any] | None]
    preprocessing: NotRequired[dict[str, Any] | None]
    conditioning: NotRequired[dict[str, Any] | None]
    family: NotRequired[str]


class DeviationFacts(TypedDict):
    """The kind of a deviation; its settings are compared as they are."""

    kind: str
    n_levels: NotRequired[int]


class CalibrationFile(TypedDict):
    """What is read of a calibration; the first release had `n_levels` instead of a deviation."""

    norms: list[float]
    network: str
    data: str
    images: str
    seed: int
    deviation: NotRequired[DeviationFacts]
    n_levels: NotRequired[int]


@dataclasses.dataclass(frozen=True)
class Pretrained:
    """A stored network: the name of a bundled one, or a path without its .safetensors ending.

    It stands in a configuration where the network will be; `resolve` puts the network there. Calling it loads and calls
    the network, for a quick look: under jit its weights would become constants. `dtype` is what it computes in, such as
    "bfloat16"; None as it was stored. Parameters, and with them the fingerprint, are the same in either. `coefficients`
    stand around a denoiser instead of the stored ones.
    """

    name: str
    dtype: str | None = None
    coefficients: Any = dataclasses.field(default=None, metadata=ADDED)

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
        side, channels = (architecture.get(name) for name in ("resolution", "in_channels"))
        for name, size in (("resolution", side), ("in_channels", channels)):
            if misfit(size, int, name) or not 0 < size <= LARGEST:
                raise ValueError(
                    f"{stored_file(self.path, '.json')} must give a denoiser's {name} from 1 to {LARGEST}, got "
                    f"{size!r}: {RESTORE}."
                )
        return side, side, channels

    def about(self) -> dict[str, Any]:
        """Architecture, licence, provenance and hashes."""
        if self.name not in bundled() and not stored_file(self.path, ".json").is_file():
            raise FileNotFoundError(
                f"There is no stored network {self.name!r}: give one of {', '.join(bundled())}, "
                "or the path of a .safetensors file without its ending."
            )
        about = checked(stored_file(self.path, ".json"), read_about(self.path), StoredNetwork, RESTORE)
        return about if self.coefficients is None else {**about, "coefficients": describe(self.coefficients)}

    def with_continuous_labels(self, schedule: NoiseSchedule) -> "Pretrained":
        """The same network told 999 t of `schedule` instead of a table's index; other coefficients are left alone."""
        continuous = getattr(_around(self).get("coefficients"), "continuous", None)
        return self if continuous is None else dataclasses.replace(self, coefficients=continuous(schedule))

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


def outline(tree: Tree) -> Tree:
    """The tree with every `Pretrained` replaced by its network with shapes in the place of weights; none is read."""
    return jax.tree.map(lambda leaf: _outline(leaf) if isinstance(leaf, Pretrained) else leaf, tree)


def stored_denoisers(tree: Tree) -> list[Pretrained]:
    """The stored denoisers of a predictor whose networks are not in place yet."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, Pretrained)]
    return [leaf for leaf in leaves if leaf.about().get("coefficients")]


def check_fit(predict: Tree, image_shape: tuple[int, ...]) -> None:
    """Refuses images of another size or number of channels than a stored denoiser of the predictor takes."""
    sizes = {purify.size for purify in getattr(predict, "purifiers", ()) if getattr(purify, "size", None)}
    if sizes:  # the purifier resizes
        image_shape = (max(sizes), max(sizes), image_shape[-1])
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
    values = read_checked(path, CalibrationFile, AGAIN)
    try:
        return Calibration.from_json(values)
    except ValueError as error:
        raise ValueError(f"{path} is no calibration: {error}") from None


def _shown(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _load(stored: Pretrained, sharding: Place) -> Tree:
    return wrapped(_network(dataclasses.replace(stored, coefficients=None), sharding), _around(stored))


@functools.cache
def _network(stored: Pretrained, sharding: Place) -> Network:
    graphdef, shapes = _shape(stored)
    weights, file = read_arrays(stored.path), stored_file(stored.path, ".json")
    try:
        state = place(weights, shapes, sharding)
    except ValueError as error:
        raise ValueError(f"{file} and its weights do not belong together ({error}): {RESTORE}.") from error
    return Network.placed(graphdef, state)


def _outline(stored: Pretrained) -> Tree:
    return wrapped(_network_outline(dataclasses.replace(stored, coefficients=None)), _around(stored))


@functools.cache
def _network_outline(stored: Pretrained) -> Network:
    return Network(*_shape(stored))


def _around(stored: Pretrained) -> dict[str, Any]:
    """What stands around a stored network."""
    about, file = stored.about(), stored_file(stored.path, ".json")
    return {name: described(file, about, name) for name in ROLES if about.get(name)}


def _shape(stored: Pretrained) -> tuple[Any, Any]:
    """The graph of a stored network, and the shapes of its parameters."""
    file = stored_file(stored.path, ".json")
    config = described(file, stored.about(), "architecture")
    try:
        config = config if stored.dtype is None else dataclasses.replace(config, dtype=stored.dtype)
        return abstract(config.make)
    except Exception as error:  # whatever a wrong number makes of a network
        dtype = "" if stored.dtype is None else f" in {stored.dtype}"
        raise ValueError(f"the network of {file} cannot be built{dtype} ({error}): {RESTORE}.") from error


def described(file: Path, about: Mapping[str, Any], part: str) -> Any:
    """What a part of the JSON describes, such as the architecture; refused by name where it describes nothing."""
    try:
        value = rebuild(about[part], KINDS)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file} is damaged ({part}: {error}): {RESTORE}.") from error
    for held in (value, *(getattr(value, field.name) for field in dataclasses.fields(value))):
        wrong = misfit_of_fields(held) if dataclasses.is_dataclass(held) else None
        if wrong is not None:
            raise ValueError(f"{file} is damaged ({part}: {wrong}): {RESTORE}.")
    return value


def wrapped(network: Network, around: Mapping[str, Any]) -> Tree:
    """The network as what it was stored for: a denoiser, a classifier of [0, 1] images or of noisy ones, or itself."""
    if "coefficients" in around:
        return Preconditioned(network, around["coefficients"])
    if "preprocessing" in around:
        return PreprocessedClassifier(network, around["preprocessing"])
    if "conditioning" in around:
        return NoiseConditionedClassifier(network, around["conditioning"])
    return network
