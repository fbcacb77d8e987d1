"""Which weights of a file are converted: the averaged ones where it has them, and never others than the record says."""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, NamedTuple

from ssni_jax.convert.candidates import USUAL, Candidate, Path, candidates, unnamed_averages
from ssni_jax.convert.reading.errors import shown
from ssni_jax.convert.wrappers import Tensors, means_average
from ssni_jax.core.types import Tree

Weights = Literal["ema", "raw"]
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
LISTED = 8


@dataclasses.dataclass(frozen=True)
class Choice:
    """What is wanted of a file: averaged ("ema") or last ("raw") weights, those at `key` ("a.b"), and of them those
    whose names begin with the attribute `prefix` ("a.b.")."""

    weights: Weights = "ema"
    key: str = ""
    prefix: str = ""

    def __post_init__(self):
        if self.prefix and not self.prefix.endswith((".", "/")):
            object.__setattr__(self, "prefix", f"{self.prefix}.")


class Selection(NamedTuple):
    """The tensors that a file's network is made of, and what they are.

    `weights` is what was taken: "raw" also where the file has no average. `aside` holds no weights; `left_out` are
    tensors that `prefix` excludes; `borrowed` are statistics that the average lacks, from the raw weights.
    """

    tensors: Tensors
    weights: Weights
    key: str = ""
    prefix: str = ""
    aside: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    borrowed: tuple[str, ...] = ()


def state_dict(tree: Tree) -> Tensors:
    """The tensors of a file's network under their bare names, averaged ones where it has them."""
    return select(tree).tensors


def select(tree: Tree, choice: Choice = Choice(), own: Collection[str] = ()) -> Selection:
    """The state dict that `choice` asks for; a ValueError where several qualify.

    `own` are attributes that look like wrappers and are part of the network's names.
    """
    path = path_of(tree, choice.key)
    present = candidates(tree, own, choice.prefix, path)
    if not present:
        raise ValueError(_nothing(tree, choice))
    averages, raws = [c for c in present if c.averaged], _raw(present)
    if choice.weights == "raw":
        return _selection(_one(raws, f"it holds averaged weights only ({_labels(averages)}): pass --weights ema"), tree)
    if averages:
        return _averaged(_one(averages), raws, tree)
    if not path:
        _check_no_average(tree, choice)
    return _selection(_one(raws), tree)


def _check_no_average(tree: Tree, choice: Choice) -> None:
    """Refuses a file whose averaged weights are not among those that can be taken."""
    elsewhere = [candidate for candidate in candidates(tree) if candidate.averaged] if choice.prefix else []
    if elsewhere:
        remedy = "pass --weights raw, or another --prefix"
        raise ValueError(f"its averaged weights ({_labels(elsewhere)}) are not under {choice.prefix!r}: {remedy}")
    lists = unnamed_averages(tree)
    if lists:
        raise ValueError(f"its averaged weights at {shown(lists[0])} are a list without names: pass --weights raw")


def _nothing(tree: Tree, choice: Choice) -> str:
    """Why there is nothing to convert."""
    if choice.prefix and (present := candidates(tree)):
        heads = sorted({f"{name.partition('.')[0]}." for candidate in present for name in candidate.tensors})
        return f"no name in it begins with {choice.prefix!r}: its names begin with {listed(heads)}"
    if choice.key:
        return f"it has no state dict at {choice.key!r}: its keys are {listed(_keys(tree))}"
    values = [tree, *(tree.values() if isinstance(tree, Mapping) else ())]
    classes = [value["class_name"] for value in values if isinstance(value, Mapping) and "class_name" in value]
    if classes:
        return (
            f"the file holds a whole pickled model ({shown(classes[0])}), not a state dict: save its state_dict() "
            "instead, torch.save(model.state_dict(), 'weights.pth')"
        )
    return "the file holds no plain state dict: choose the family that its project belongs to"


def _raw(present: Sequence[Candidate]) -> list[Candidate]:
    """The weights of the last step; those that an average keeps a copy of count only where there are no others."""
    raws = [candidate for candidate in present if not candidate.averaged]
    return [candidate for candidate in raws if not means_average(*candidate.path)] or raws


def _one(present: Sequence[Candidate], nothing: str = "") -> Candidate:
    """The only candidate, or that of the most usual key if no other holds the same network."""
    if not present:
        raise ValueError(nothing)
    first, *others = sorted(present, key=_rank)
    if _rank(first) < len(USUAL):
        others = [other for other in others if _is_rival(first.tensors, other.tensors)]
    if others:
        kind = "averaged weights" if first.averaged else "weights"
        raise ValueError(f"it holds {kind} more than once: choose with {_labels([first, *others])}")
    return first


def _is_rival(tensors: Tensors, others: Tensors) -> bool:
    """Whether two state dicts may be of one network: the other has all names of the one that has fewer."""
    return tensors.keys() <= others.keys() or others.keys() <= tensors.keys()


def _rank(candidate: Candidate) -> int:
    """The place of the candidate's key among the usual ones; an average has none."""
    key = candidate.path[-1] if candidate.path else ""
    return USUAL.index(key) if key in USUAL and not candidate.averaged else len(USUAL)


def _labels(present: Sequence[Candidate]) -> str:
    return " or ".join(shown(candidate.label) for candidate in present[:LISTED])


def _averaged(average: Candidate, raws: Sequence[Candidate], tree: Tree) -> Selection:
    """The averaged weights; statistics of normalisation, which some averages leave out, are those of the network."""
    if raws and not any("." in name for name in average.tensors):
        lost = f"the averaged weights ({shown(average.label)}) have lost the dots of their names"
        raise ValueError(f"{lost}, so they cannot be told apart: pass --weights raw")
    for raw in raws:
        lacking = sorted(raw.tensors.keys() - average.tensors.keys())
        if average.tensors.keys() < raw.tensors.keys() and all(name.endswith(STATISTICS) for name in lacking):
            tensors = {**raw.tensors, **average.tensors}
            return _selection(average._replace(tensors=tensors), tree)._replace(borrowed=tuple(lacking))
    return _selection(average, tree)


def _selection(candidate: Candidate, tree: Tree) -> Selection:
    path, tensors, averaged, prefix, aside, left_out = candidate
    others = tuple(str(key) for key in tree if key != path[0]) if path and isinstance(tree, Mapping) else ()
    names = tuple(dict.fromkeys(aside + others))
    return Selection(tensors, "ema" if averaged else "raw", ".".join(path), prefix, names, left_out)


def inside(tree: Tree, key: str) -> Tree:
    """What stands at `key` in the tree, the tree itself without a key."""
    for name in path_of(tree, key):
        tree = tree[name] if isinstance(tree, Mapping) else tree[int(name)]
    return tree


def path_of(tree: Tree, key: str) -> Path:
    """The keys that "a.b" or "a/b" stands for; a ValueError names the keys that there are."""
    path = _path(tree, key) if key else ()
    if path is None:
        raise ValueError(f"it has nothing at {key!r}: its keys are {listed(_keys(tree)) or 'none'}")
    return path


def _path(tree: Tree, key: str) -> Path | None:
    children = _children(tree)
    if key in children:
        return (key,)
    # Keys may hold dots themselves, so longer ones come first.
    for end in reversed([i for i, sign in enumerate(key) if sign in "./"]):
        rest = _path(children[key[:end]], key[end + 1 :]) if key[:end] in children else None
        if rest is not None:
            return (key[:end], *rest)
    return None


def _children(tree: Tree) -> Mapping[str, Tree]:
    if isinstance(tree, Mapping):
        return tree
    return {str(i): value for i, value in enumerate(tree)} if isinstance(tree, list | tuple) else {}


def _keys(tree: Tree) -> list[str]:
    """The outer keys, and those of the state dicts further inside."""
    outer = [str(key) for key in _children(tree)]
    inner = (".".join(candidate.path) for candidate in candidates(tree))
    return [*outer, *dict.fromkeys(key for key in inner if key and key not in outer)]


def listed(names: Sequence[str], n: int = LISTED) -> str:
    """The first names of a list that may be long or hostile."""
    return ", ".join(map(shown, names[:n])) + (f" and {len(names) - n} more" if len(names) > n else "")
