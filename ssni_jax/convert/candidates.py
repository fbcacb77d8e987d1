"""The state dicts inside a checkpoint: where they stand, and which of them hold averaged weights."""

import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ssni_jax.convert.wrappers import Tensors, is_counter, means_average, under_prefix, unwrapped, words
from ssni_jax.core.types import Tree

Path = tuple[str, ...]
# Keys under which training scripts save the weights of the last step, the most telling first.
USUAL = (
    *("state_dict", "model_state_dict", "model", "net", "params", "module", "network", "current_model_state"),
    *("model_state", "net_state_dict", "weights", "online_model"),
)
MOST_AVERAGES = 8  # of one network, of different decays
OPTIMIZERS = frozenset(["optimizer", "optimizers", "optim", "optims", "opt", "scheduler", "schedulers", "scaler"])


class Candidate(NamedTuple):
    """Tensors that may be a network's: the keys that lead to them, and the attribute they were split off by.

    `aside` are the names beside them that hold no weights, `left_out` those that `prefix` excludes.
    """

    path: Path
    tensors: Tensors
    averaged: bool
    prefix: str = ""
    aside: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How the command line names it."""
        parts = [f"--key {'.'.join(self.path)}" if self.path else "", f"--prefix {self.prefix}" if self.prefix else ""]
        return " ".join(part for part in parts if part) or "the file itself"


def candidates(tree: Tree, own: Collection[str] = (), prefix: str = "", within: Path = ()) -> list[Candidate]:
    """Every state dict below the keys `within`: a mapping in which a dotted name has a tensor, or else the tree itself.

    With `prefix`, what stands under that attribute in each of them.
    """
    mappings = dict(_mappings(tree, ()))
    dotted = {path: held for path, held in mappings.items() if any("." in name for name in tensors_of(held))}
    if not dotted and isinstance(tree, Mapping) and tensors_of(tree):
        dotted = {(): tree}
    candidates_at = functools.partial(_narrowed, prefix=prefix) if prefix else _split
    split = [
        candidate
        for path, held in dotted.items()
        if path[: len(within)] == within
        for candidate in candidates_at(path, held, _is_average(path, mappings.get(path[:-1], {})), own)
    ]
    return [candidate for candidate in split if _is_network(candidate, split)]


def _is_network(candidate: Candidate, split: Sequence[Candidate]) -> bool:
    """Whether tensors may be a whole network: a tenth as many as the most, or an average of a part of one."""
    if 10 * len(candidate.tensors) >= max(len(other.tensors) for other in split):
        return True
    others = (other for other in split if not other.averaged)
    return candidate.averaged and any(candidate.tensors.keys() & other.tensors.keys() for other in others)


def tensors_of(mapping: Mapping) -> dict[str, np.ndarray]:
    """The entries that are weights: tensors with a name, without counters and the extra state of layers."""
    named = {name: value for name, value in mapping.items() if isinstance(name, str) and isinstance(value, np.ndarray)}
    return {
        name: array
        for name, array in named.items()
        if not is_counter(name, array) and not name.endswith("_extra_state")
    }


def unnamed_averages(tree: Tree, above: Path = ()) -> list[str]:
    """Keys of averaged weights that are lists, and so without names."""
    n_tensors = sum(isinstance(value, np.ndarray) for value in tree) if isinstance(tree, list | tuple) else 0
    if n_tensors > 1 and means_average(*above):
        return [".".join(above)]
    return [key for name, value in _children(tree) for key in unnamed_averages(value, (*above, name))]


def _mappings(tree: Tree, path: Path) -> Iterator[tuple[Path, Mapping]]:
    """Every mapping with its path, outer ones first, without those of optimizers."""
    if isinstance(tree, Mapping):
        yield path, tree
    for name, value in _children(tree):
        if not OPTIMIZERS & words(name):
            yield from _mappings(value, (*path, name))


def _children(tree: Tree) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        yield from ((name, value) for name, value in tree.items() if isinstance(name, str))
    elif isinstance(tree, list | tuple):
        yield from ((str(i), value) for i, value in enumerate(tree) if isinstance(value, Mapping | list | tuple))


def _is_average(path: Path, beside: Mapping) -> bool:
    """Whether the weights at `path` are averaged, by their keys and by what stands beside them.

    Lightning's WeightAveraging and MMEngine's EMAHook save the average as the state_dict, and MMEngine the weights of
    the last step as ema_state_dict.
    """
    key, meta = path[-1] if path else "", beside.get("meta")
    of_mmengine = "message_hub" in beside or (isinstance(meta, Mapping) and "mmengine_version" in meta)
    by_mmengine = "ema_state_dict" in beside and of_mmengine
    by_lightning = {"current_model_state", "averaging_state"} <= set(beside)
    if (by_lightning or by_mmengine) and key == "state_dict":
        return True
    return means_average(*path) and not (by_mmengine and key == "ema_state_dict")


def _narrowed(path: Path, held: Mapping, averaged: bool, own: Collection[str], prefix: str) -> Iterator[Candidate]:
    """The tensors of a mapping under `prefix`, as the file writes it or without wrappers."""
    tensors, aside = _parted(held)
    names = tensors if under_prefix(tensors, prefix) else unwrapped(tensors).tensors
    kept = under_prefix(names, prefix)
    if kept:
        left_out = tuple(name for name in names if not name.startswith(prefix))
        bare = unwrapped(kept, own).tensors
        yield Candidate(path, bare, averaged or means_average(prefix), prefix, aside, left_out)


def _split(path: Path, held: Mapping, averaged: bool, own: Collection[str]) -> Iterator[Candidate]:
    """The tensors of a mapping; an average that is kept under an attribute beside its network is split off."""
    tensors, aside = _parted(held)
    bare, shared = unwrapped(tensors, own)
    averaged = averaged or means_average(*shared) or any("n_averaged" in name for name in aside)
    heads = sorted({name.partition(".")[0] for name in bare if "." in name and means_average(name.partition(".")[0])})
    parts = _by_head(bare) if 0 < len(heads) <= MOST_AVERAGES else {}
    averages = [head for head in heads if head in parts and _is_twin(head, parts, bare)]
    for head in averages:
        yield Candidate(path, parts[head], True, f"{head}.", aside)
    rest = {name: array for name, array in bare.items() if name.partition(".")[0] not in averages}
    if rest:
        yield Candidate(path, unwrapped(rest, own).tensors, averaged and not averages, "", aside)


def _parted(held: Mapping) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The weights of a mapping, and the names of everything else in it."""
    tensors = tensors_of(held)
    return tensors, tuple(str(name) for name in held if name not in tensors)


def _by_head(bare: Tensors) -> dict[str, Tensors]:
    """The tensors of every attribute, without it and without wrappers inside it."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, array in bare.items():
        head, _, rest = name.partition(".")
        if rest:
            parts.setdefault(head, {})[rest] = array
    return {head: unwrapped(part).tensors for head, part in sorted(parts.items())}


def _is_twin(head: str, parts: Mapping[str, Tensors], bare: Tensors) -> bool:
    """Whether an attribute's tensors are those of the network beside it, by their names or without the dots in them."""
    rest = {name for name in bare if not name.startswith(f"{head}.")}
    others = [rest, *(set(part) for name, part in parts.items() if name != head)]
    names = set(parts[head])
    return any(names <= other or names <= {name.replace(".", "") for name in other} for other in others)
