"""A network as a value: an nnx module split into structure and arrays, and those arrays under flat string keys."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx
from jax.sharding import PartitionSpec
from jaxtyping import Array, Key

from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Tree

MakeModule = Callable[..., nnx.Module]


@pytree
class Network:
    """An nnx module as a pure, jit-able function: its arrays are data, its structure is static.

    `split` has the axis of each array that is divided over the mesh axis "data", or None for a whole array; without
    it all are whole. In a function of one device's rows the parts are collected at each call, so that inside a loop a
    device holds the other devices' parts for one call only; every device must then call equally often.
    """

    graphdef: Any = static()
    state: Tree
    split: tuple[int | None, ...] | None = static(default=None)

    @classmethod
    def placed(cls, graphdef: Any, state: Tree) -> "Network":
        """A network whose arrays lie on devices, with the axes that their shardings divide."""
        axes = tuple(_axis(leaf) for leaf in jax.tree.leaves(state))
        return cls(graphdef, state, axes if any(axis is not None for axis in axes) else None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return nnx.merge(self.graphdef, self._whole_state())(*args, **kwargs)

    def specs(self) -> "Network":
        """The network with the division of each array in its place."""
        leaves, structure = jax.tree.flatten(self.state)
        axes = self.split or (None,) * len(leaves)
        specs = [PartitionSpec() if axis is None else PartitionSpec(*(None,) * axis, "data") for axis in axes]
        return Network(self.graphdef, jax.tree.unflatten(structure, specs), self.split)

    def _whole_state(self) -> Tree:
        """The arrays as a whole; outside of a function of one device's rows they are."""
        if self.split is None or "data" not in jax.sharding.get_abstract_mesh().manual_axes:
            return self.state
        leaves, structure = jax.tree.flatten(self.state)
        whole = [
            leaf if axis is None else jax.lax.all_gather(leaf, "data", axis=axis, tiled=True)
            for leaf, axis in zip(leaves, self.split, strict=True)
        ]
        return jax.tree.unflatten(structure, whole)

    def method(self, name: str) -> Callable[..., Any]:
        """Another of the module's functions than its call, pure too."""
        module = nnx.merge(self.graphdef, self._whole_state())
        if not hasattr(module, name):
            raise ValueError(
                f"A {type(module).__name__} has no {name}: give a classifier such as a WideResNet or ResNet."
            )
        return getattr(module, name)


def is_divided(tree: Tree) -> bool:
    """Whether a network in a tree has arrays that are divided over devices."""
    nodes = jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, Network))
    return any(isinstance(node, Network) and node.split is not None for node in nodes)


def _axis(leaf: Any) -> int | None:
    """The axis of an array that is divided over "data"."""
    spec = tuple(getattr(getattr(leaf, "sharding", None), "spec", None) or ())
    return spec.index("data") if "data" in spec else None


def make_network(module: nnx.Module) -> Network:
    """The module's present arrays as a Network; later changes to the module don't reach it."""
    return Network(*nnx.split(module))


def abstract(make: MakeModule) -> tuple[Any, Tree]:
    """Structure and array shapes of `make(rngs=...)`, nothing allocated: what checkpoints are read into."""
    return nnx.split(nnx.eval_shape(lambda: make(rngs=make_rngs(jax.random.key(0)))))


def initial_state(make: MakeModule, key: Key[Array, ""]) -> Tree:
    """Freshly initialised arrays of `make(rngs=...)`; pure, so jit it to compile the initialisers once and to shard."""
    return nnx.split(make(rngs=make_rngs(key)))[1]


class CountedStream(nnx.RngStream):
    """An nnx.RngStream counted in Python: for each key of a traced counter flax prints the whole program."""

    def __init__(self, key: Key[Array, ""]):
        super().__init__(key, tag="default")
        self.n_drawn = 0

    def __call__(self) -> Key[Array, ""]:
        self.n_drawn += 1
        return jax.random.fold_in(self.key[...], self.n_drawn - 1)


def make_rngs(key: Key[Array, ""]) -> nnx.Rngs:
    """The keys of `nnx.Rngs(key)`, for networks that are built inside a trace: it takes a third of the time."""
    rngs = nnx.Rngs()
    setattr(rngs, "default", CountedStream(key))  # noqa: B010  flax declares no attribute for its streams
    return rngs


def n_params(state: Tree) -> int:
    """Number of trained values, from arrays or shapes alike."""
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.filter_state(state, nnx.Param)))


def flat(state: Tree) -> dict[str, Any]:
    """The arrays (or shapes) of `state` under keys such as "enc/32x32_block0/conv0/kernel"."""
    return {_name(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]}


def unflat(abstract_state: Tree, arrays: Mapping[str, Any]) -> Tree:
    """`arrays` in the structure of `abstract_state`; a ValueError lists all missing, unexpected and mis-shaped keys."""
    wanted = flat(abstract_state)
    problems = [
        _listed("missing", [k for k in wanted if k not in arrays]),
        _listed("unexpected", [k for k in arrays if k not in wanted]),
        _listed("mis-shaped", [_mismatch(k, arrays[k], v) for k, v in wanted.items() if _differs(arrays.get(k), v)]),
    ]
    if any(problems):
        raise ValueError(f"the arrays do not fit the network: {'; '.join(filter(None, problems))}; check its config")
    return jax.tree.unflatten(jax.tree.structure(abstract_state), [arrays[k] for k in wanted])


def _name(path: tuple[Any, ...]) -> str:
    # The last entry is the variable's own, inside which the array lives.
    return "/".join(str(getattr(entry, "key", getattr(entry, "name", ""))) for entry in path[:-1])


def _differs(array: Any, wanted: Any) -> bool:
    return array is not None and tuple(array.shape) != tuple(wanted.shape)


def _mismatch(key: str, array: Any, wanted: Any) -> str:
    return f"{key} {list(array.shape)} instead of {list(wanted.shape)}"


def _listed(what: str, keys: list[str]) -> str:
    return f"{what} {', '.join(sorted(keys))}" if keys else ""
