"""Whether images, labels and networks of an experiment fit each other; told from shapes, before any work."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from ssni_jax.attacks import L1, L2, Linf
from ssni_jax.core.rng import sample_keys
from ssni_jax.core.types import Tree
from ssni_jax.data import Source
from ssni_jax.data.labels import check_labels
from ssni_jax.experiments.reference_norms import ReferenceNorms
from ssni_jax.experiments.selection import check_n_images
from ssni_jax.experiments.training import Training
from ssni_jax.training import ClassificationLoss
from ssni_jax.zoo import Pretrained, check_fit, outline

T = TypeVar("T")


def fitted(experiment: T) -> T:
    """An evaluation or certification whose images have the channels of its networks.

    ValueError where images have another shape than the networks take, or labels that the classifier does not have.
    """
    predict, images = experiment.defense, seen_by(experiment.defense, experiment.images)  # type: ignore[attr-defined]
    check_labels(images, ())
    check_fit(predict, images.image_shape)
    check_budgets(getattr(experiment, "attack", None), images.image_shape)
    check_n_images(experiment.n_images, images)  # type: ignore[attr-defined]
    check_labels(images, experiment.ids, n_classes_of(predict, images.image_shape))  # type: ignore[attr-defined]
    return dataclasses.replace(experiment, images=images)  # type: ignore[type-var]


def fitted_norms(experiment: ReferenceNorms) -> ReferenceNorms:
    """A calibration whose images have the channels, and by then the shape, of the network that measures them."""
    images = seen_by(experiment.deviation, experiment.images)
    if not experiment.any_size:
        check_fit(experiment.deviation, images.image_shape)
    check_n_images(experiment.n_images, images)
    return dataclasses.replace(experiment, images=images)


def fitted_training(experiment: Training) -> Training:
    """A training whose images have the channels of its network, and labels where the loss looks at them."""
    channels = getattr(experiment.network, "in_channels", None)
    images = _with_channels(experiment.images, channels)
    n_classes = getattr(experiment.loss, "n_classes", 0)
    if isinstance(experiment.loss, ClassificationLoss):
        n_classes = getattr(experiment.network, "n_classes", None)
    if n_classes != 0:
        check_labels(images, range(len(images)), n_classes)
    return dataclasses.replace(experiment, images=images)


def seen_by(tree: Tree, images: Source) -> Source:
    """The images in as many channels as the stored networks of a value take, where the source leaves that open."""
    return _with_channels(images, n_channels_of(tree))


def _with_channels(images: Any, channels: int | None) -> Any:
    if getattr(images, "source", None) is not None:
        return dataclasses.replace(images, source=_with_channels(images.source, channels))
    if not hasattr(images, "channels") or images.channels is not None:
        return images
    return dataclasses.replace(images, channels=channels or 3)


def check_budgets(attack: Any, image_shape: Sequence[int]) -> None:
    """Refuses a radius or a step size inside a value that no two images of this shape are apart."""
    threat = attack if isinstance(attack, Linf | L2 | L1) else getattr(attack, "threat", None)
    if isinstance(threat, Linf | L2 | L1):
        n = math.prod(image_shape)
        most = {Linf: 1.0, L2: math.sqrt(n), L1: n}[type(threat)]
        for name in ("eps", "step_size"):
            value = getattr(attack, name, None)
            if isinstance(value, int | float) and value > most:
                raise ValueError(
                    f"{name} = {value:g} is more than any change of an image can be in {type(threat).__name__}, which "
                    f"is {most:g}: pixels go from 0 to 1, so give it in that unit, such as {type(threat)().eps:.3g}."
                )
    fields = dataclasses.fields(attack) if dataclasses.is_dataclass(attack) else ()
    for part in attack if isinstance(attack, tuple) else (getattr(attack, field.name) for field in fields):
        check_budgets(part, image_shape)


def n_channels_of(tree: Tree) -> int | None:
    """Channels of the images that the stored networks of a value take; None without one that says so."""
    stored = [leaf.about()["architecture"] for leaf in jax.tree.leaves(tree) if isinstance(leaf, Pretrained)]
    channels = [architecture["in_channels"] for architecture in stored if "in_channels" in architecture]
    return max(channels, default=None)


def n_classes_of(predict: Tree, image_shape: Sequence[int]) -> int:
    """Classes of a predictor's logits; its networks are neither read nor run.

    ValueError where the classifier does not take such images, or gives no logits [B, classes].
    """
    leaves, structure = jax.tree.flatten(predict)
    shapes = tuple(leaf if isinstance(leaf, Pretrained) else jax.ShapeDtypeStruct(*_type(leaf)) for leaf in leaves)
    return _n_classes(structure, shapes, tuple(image_shape))


def _type(leaf: Any) -> tuple[tuple[int, ...], Any]:
    return (leaf.shape, leaf.dtype) if hasattr(leaf, "shape") else ((), jnp.float32)


@functools.cache
def _n_classes(structure: Any, leaves: tuple[Any, ...], image_shape: tuple[int, ...]) -> int:
    predict = outline(jax.tree.unflatten(structure, leaves))
    keys, x = sample_keys(jax.random.key(0), jnp.arange(1)), jax.ShapeDtypeStruct((1, *image_shape), jnp.float32)
    try:
        logits = jax.eval_shape(lambda predict, x: predict.undefended()(keys, x), predict, x)
    except (TypeError, ValueError) as error:
        shown = " x ".join(map(str, image_shape))
        raise ValueError(f"the classifier does not take images of {shown}: {' '.join(str(error).split())}") from error
    shape = getattr(logits, "shape", ())
    if len(shape) != 2 or shape[0] != 1 or shape[1] < 2:
        raise ValueError(f"the classifier gives an array of shape {shape} for one image: give logits [B, classes].")
    return shape[1]
