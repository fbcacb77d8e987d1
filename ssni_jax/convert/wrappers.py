"""Names of tensors without what wrappers put around a network: DataParallel, torch.compile, FSDP, Lightning, averages.

A wrapper is an attribute in the dotted name. Those whose name nothing else has are dropped wherever they stand;
`module` from the front of each name; names that a network may have given itself only where all tensors share them.
"""

import itertools
import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np

Tensors = Mapping[str, np.ndarray]

DEEPEST = 16  # wrappers around each other
ANYWHERE = frozenset(
    {"_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_fpw_module", "_module"}
)
IN_FRONT = frozenset({"module"})
OF_ALL = frozenset({"model", "net", "network", "online_model"})  # and averages
# A key or attribute with one of these words holds an average: timm's state_dict_ema, torchvision's and DeiT's
# model_ema, BasicSR's params_ema, ema and ema_model of others, swa_model, a Lightning callback named EMA.
AVERAGED = frozenset({"ema", "emas", "ewa", "swa", "avg", "averaged", "average", "averaging", "shadow", "polyak"})
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
# What stands between the weights and is none: numbers of averages, and of profilers at every layer.
OF_AVERAGES = frozenset({"n_averaged", "initted", "step", "steps", "decay", "num_updates", "updates"})
OF_PROFILERS = frozenset({"total_ops", "total_params"})


class Unwrapped(NamedTuple):
    """Tensors under their bare names, and the attributes that stood in front of all of them."""

    tensors: dict[str, np.ndarray]
    shared: tuple[str, ...]


def unwrapped(tensors: Tensors, own: Collection[str] = ()) -> Unwrapped:
    """The tensors without wrappers; attributes in `own` belong to the network and stay in front of its names once.

    A ValueError if two names become one.
    """
    names = {name: _bare(name.split(".")) for name in tensors}
    shared: list[str] = []
    while len(shared) < DEEPEST and (head := _shared(list(names.values()), own)) is not None:
        shared.append(head)
        names = {name: _bare(parts[1:]) for name, parts in names.items()}
    bare: dict[str, str] = {}
    for name, parts in names.items():
        other = bare.setdefault(".".join(parts), name)
        if other != name:
            raise ValueError(f"{other} and {name} are one name without their wrappers: pass --prefix for one of them")
    return Unwrapped({name: tensors[original] for name, original in bare.items()}, tuple(shared))


def _bare(parts: list[str]) -> list[str]:
    kept = (part for part in parts[:-1] if part not in ANYWHERE)
    return [*itertools.dropwhile(IN_FRONT.__contains__, kept), parts[-1]]


def _shared(names: list[list[str]], own: Collection[str]) -> str | None:
    """The wrapper that all names begin with, if there is one."""
    head, *others = {parts[0] if len(parts) > 1 else "" for parts in names} or {""}
    if others or not (head in OF_ALL or means_average(head)):
        return None
    belongs = head in own and not all(len(parts) > 2 and parts[1] == head for parts in names)
    return None if belongs else head


def words(name: str) -> set[str]:
    """The words of a key or attribute in lower case, whether underscores or capitals divide them."""
    return {word.lower() for word in WORD.findall(name)}


def means_average(*names: str) -> bool:
    """Whether a word of the names says that weights are averaged."""
    return any(words(name) & AVERAGED for name in names)


def is_counter(name: str, tensor: np.ndarray) -> bool:
    """Whether a tensor is a number of an average's or a profiler's, and no weight."""
    *above, last = name.split(".")
    if tensor.size > 1 or last not in OF_AVERAGES | OF_PROFILERS:
        return False
    return last in OF_PROFILERS or all(part in IN_FRONT | ANYWHERE or means_average(part) for part in above)


def under_prefix(tensors: Tensors, prefix: str) -> dict[str, np.ndarray]:
    """The tensors whose names begin with `prefix`, without it."""
    return {name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)}
