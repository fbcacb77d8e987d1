"""Which images of a source an experiment takes, and checks that its fields share."""

from collections.abc import Sequence

import numpy as np

from ssni_jax.core.protocols import Predict
from ssni_jax.core.rng import checked_seed
from ssni_jax.data import Source
from ssni_jax.purify.selectors import asks_oracle


def chosen_ids(n_source: int, n_images: int | None, order_seed: int | None) -> list[int]:
    """The first `n_images` of a random order of all images, so that a source sorted by class gives all classes.

    A larger n_images adds images and changes none. An order_seed of None keeps the order of the source.
    """
    order = np.arange(n_source) if order_seed is None else np.random.RandomState(order_seed).permutation(n_source)
    return order[: n_source if n_images is None else n_images].tolist()


def check_n_images(n_images: int | None, images: Source) -> None:
    """Refuses a number of images that the source does not have."""
    if n_images is not None and not 0 < n_images <= len(images):
        raise ValueError(
            f"n_images must lie between 1 and the {len(images)} images of the source, got {n_images}: "
            "choose a number in that range, or None for all."
        )


def check_positive(value: object, *names: str) -> None:
    """Refuses counts below one, by name."""
    for name in names:
        if getattr(value, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(value, name)}.")


def check_oracle(name: str, predict: Predict) -> None:
    """Refuses an oracle under a name that does not say so: its results must not pass for those of a defence."""
    if asks_oracle(predict) and "oracle" not in name.lower():
        raise ValueError(
            f"the predictor is told the true perturbation by an Oracle, so it is no defence, and its name must contain "
            f'"oracle", got {name!r}: choose for example "DiffPure, oracle t".'
        )


def check_seeds(value: object, *names: str) -> None:
    """Refuses seeds that are not told from every other one, by name; None stands for no random order."""
    for name in names:
        if getattr(value, name) is not None:
            checked_seed(getattr(value, name), name)


def blocks(ids: Sequence[int], size: int) -> list[list[int]]:
    """The ids in blocks of `size`, the last one shorter."""
    return [list(ids[start : start + size]) for start in range(0, len(ids), size)]
