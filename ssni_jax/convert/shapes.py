"""What names and shapes show of a network's config."""

import re

from ssni_jax.convert.family import Tensors


def shape_of(tensors: Tensors, name: str) -> tuple[int, ...]:
    """The shape of the tensor `name`, without which nothing can be inferred; a ValueError where it is absent."""
    if name not in tensors:
        present = ", ".join(list(tensors)[:3]) or "nothing"
        raise ValueError(f"the file has no {name} (it begins with {present}): choose the family that it belongs to")
    return tuple(tensors[name].shape)


def matches(tensors: Tensors, pattern: str) -> list[str]:
    """The first group of every name that is `pattern` from end to end, in the file's order."""
    return [match[1] for name in tensors if (match := re.fullmatch(pattern, name))]


def count(tensors: Tensors, pattern: str) -> int:
    """How many names match the regular expression `pattern` from end to end."""
    return sum(re.fullmatch(pattern, name) is not None for name in tensors)


def n_columns(tensors: Tensors, name: str) -> int:
    """Inputs of torch's linear layer `name`, 0 without it: the number of classes or of augmentations."""
    return tensors[name].shape[1] if name in tensors else 0
