"""A checkpoint family: how the tensors of a released file become the parameters of one of our networks."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from ssni_jax.convert.selection import Choice, Selection, inside, select
from ssni_jax.convert.wrappers import Tensors
from ssni_jax.core.types import Tree
from ssni_jax.networks.network import abstract, flat

Options = Mapping[str, Any]
NO_OPTIONS: Options = MappingProxyType({})


class TensorSource(NamedTuple):
    """The tensors of a released file that make one parameter of ours, and how they make it."""

    names: tuple[str, ...]
    port: Callable[..., np.ndarray]


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a family makes of a file: our network, where each parameter comes from, and what stands around it.

    `source` is asked for every flat key of the network ("enc/32x32_conv/kernel"). `ignored` are names that are no
    weights. `around` is the coefficient function of a denoiser, the `Preprocessing` of a classifier, or None. `settled`
    are the values of options that were left open, None where the network has no use for one.
    """

    config: Any
    source: Callable[[str], TensorSource]
    ignored: Iterable[str] = ()
    around: Any = None
    settled: Options = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Family:
    """Checkpoints that share names and layout.

    `options` are settings of the original code that no tensor shows, under their original names, with the values of
    the released checkpoints. `select` finds the wanted tensors in what the reader returned. `declared` gives the
    options that a file itself states, in the part of it that the caller chose or among the tensors.
    """

    name: str
    checkpoints: str
    purpose: str
    licence: str
    plan: Callable[[Tensors, Options], Plan]
    options: Options = dataclasses.field(default_factory=dict)
    select: Callable[[Tree, Choice], Selection] = select
    declared: Callable[[Tree, Tensors], Options] = lambda part, tensors: NO_OPTIONS


class Converted(NamedTuple):
    """A network's config, what stands around it, and its parameters under our flat keys, float32.

    `selection` says which weights of the file these are, `assumed` the options that neither the file nor the caller
    gave.
    """

    config: Any
    around: Any
    arrays: dict[str, np.ndarray]
    selection: Selection
    assumed: Options


def convert(
    family: Family,
    tree: Tree,
    options: Options = NO_OPTIONS,
    choice: Choice = Choice(),
    backbone: Tensors = MappingProxyType({}),
) -> Converted:
    """The network in `tree`, as `read_checkpoint` returned it; a ValueError unless every tensor is accounted for.

    `backbone` are tensors of another file that belong to the network too.
    """
    selection = family.select(tree, choice)
    tensors = {**backbone, **selection.tensors}
    plan, assumed = planned(family, inside(tree, choice.key), tensors, options)
    return Converted(plan.config, plan.around, gather(plan, tensors), selection, assumed)


def planned(family: Family, part: Tree, tensors: Tensors, options: Options) -> tuple[Plan, Options]:
    """What the family makes of its tensors in a part of a file, and the options that it had to assume."""
    unknown = sorted(set(options) - set(family.options))
    if unknown:
        known = ", ".join(sorted(family.options)) or "none"
        raise ValueError(f"family {family.name} has no option {', '.join(unknown)}; its options: {known}")
    stated = {**family.declared(part, tensors), **options}
    plan = family.plan(tensors, {**family.options, **stated})
    settled = {**family.options, **plan.settled}
    return plan, {name: value for name, value in settled.items() if name not in stated and value is not None}


def fits(family: Family, tree: Tree, choice: Choice = Choice()) -> bool:
    """Whether the names of the chosen tensors are those of the family, all of them."""
    try:
        tensors = family.select(tree, choice).tensors
        plan, _ = planned(family, inside(tree, choice.key), tensors, NO_OPTIONS)
        return not any(unaccounted(sources_of(plan), tensors, plan))
    except (ValueError, KeyError, IndexError):
        return False


def sources_of(plan: Plan) -> dict[str, TensorSource]:
    """Where each parameter of the plan's network comes from."""
    return {key: plan.source(key) for key in flat(abstract(plan.config.make)[1])}


def unaccounted(sources: Mapping[str, TensorSource], tensors: Tensors, plan: Plan) -> tuple[list[str], list[str]]:
    """Names that the network needs and the file lacks, and names of the file that nobody reads."""
    used = {name for source in sources.values() for name in source.names}
    return sorted(used - set(tensors)), sorted(set(tensors) - used - set(plan.ignored))


def gather(plan: Plan, tensors: Tensors) -> dict[str, np.ndarray]:
    """All parameters of the plan's network; missing, unexpected and mis-shaped tensors are listed in one ValueError."""
    wanted = {key: tuple(leaf.shape) for key, leaf in flat(abstract(plan.config.make)[1]).items()}
    sources = sources_of(plan)
    missing, unexpected = unaccounted(sources, tensors, plan)
    arrays, misshaped = {}, []
    for key, source in sources.items():
        if not set(source.names) & set(missing):
            arrays[key], problem = _fitted(source, tensors, wanted[key])
            misshaped += problem
    _refuse(missing, unexpected, misshaped)
    return arrays


def _fitted(source: TensorSource, tensors: Tensors, shape: tuple[int, ...]) -> tuple[np.ndarray | None, list[str]]:
    parts = [np.asarray(tensors[name]) for name in source.names]
    try:
        array = source.port(*parts)
        # A 1x1 convolution may stand for one of our linear layers: its sizes of one come first and carry nothing.
        if array.size == np.prod(shape) and array.shape[array.ndim - len(shape) :] == shape:
            return np.ascontiguousarray(array.reshape(shape), np.float32), []
    except ValueError:
        array = None
    found = " + ".join(str(list(part.shape)) for part in parts)
    given = "" if array is None else f" gives {list(array.shape)}"
    return None, [f"{' + '.join(source.names)} {found}{given} instead of {list(shape)}"]


def _refuse(missing: list[str], unexpected: list[str], misshaped: list[str]) -> None:
    lists = (("missing", missing), ("unexpected", unexpected), ("mis-shaped", misshaped))
    problems = [f"{len(names)} {what}: {', '.join(names)}" for what, names in lists if names]
    if problems:
        raise ValueError(f"the file does not fit this family and these options ({'; '.join(problems)})")


def torch_source(module: str, leaf: str) -> TensorSource:
    """The parameter `leaf` (our name) of torch's `module`: kernels turned, norms' names translated."""
    return TensorSource((f"{module}.{TORCH_LEAVES[leaf]}",), kernel if leaf == "kernel" else as_is)


TORCH_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def as_is(array: np.ndarray) -> np.ndarray:
    """The tensor unchanged."""
    return array


def kernel(array: np.ndarray) -> np.ndarray:
    """torch's [out, in, ...space] as our [...space, in, out]."""
    return np.moveaxis(array, (0, 1), (-1, -2))


def buffers(tensors: Tensors, ending: str) -> tuple[str, ...]:
    """Names that end in `ending`: stored by torch, but no weights."""
    return tuple(name for name in tensors if name.endswith(ending))
