"""What a refused conversion would have needed: another family, or a prefix that the names of the file have."""

from collections import Counter

from ssni_jax.convert.families import fitting
from ssni_jax.convert.family import Family, fits
from ssni_jax.convert.selection import Choice, select
from ssni_jax.core.types import Tree

DEPTH = 3  # attributes of a prefix
MOST_TRIED = 24


def hint(family: Family, tree: Tree, choice: Choice) -> str:
    """A sentence on what would fit, beginning with a space, or nothing."""
    others = [name for name in fitting(tree, choice) if name != family.name]
    if others:
        return f" Its names fit --family {' or '.join(others)}."
    if choice.prefix:
        return ""
    tried = (Choice(choice.weights, choice.key, prefix) for prefix in prefixes(tree, choice))
    fitted = " or ".join(f"--prefix {attempt.prefix!r}" for attempt in tried if fits(family, tree, attempt))
    return f" A part of its names fits: pass {fitted}." if fitted else ""


def prefixes(tree: Tree, choice: Choice) -> list[str]:
    """Leading attributes that many names share, the most frequent first."""
    try:
        names = list(select(tree, choice).tensors)
    except ValueError:
        return []
    split = [name.split(".") for name in names]
    heads = Counter(".".join(parts[:n]) for parts in split for n in range(1, min(len(parts), DEPTH + 1)))
    return [f"{head}." for head, n in heads.most_common(MOST_TRIED) if 10 * n >= len(names)]
