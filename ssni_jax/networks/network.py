"""A network as a value: an nnx module split into structure and arrays, and those arrays under flat string keys."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Key

from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.types import Tree

MakeModule = Callable[..., nnx.Module]


@pytree
class Network:
    """An nnx module as a pure, jit-able function: its arrays are data, its structure is static."""

    graphdef: Any = static()
    state: Tree

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return nnx.merge(self.graphdef, self.state)(*args, **kwargs)

    def method(self, name: str) -> Callable[..., Any]:
        """Another of the module's functions than its call, pure too."""
        module = nnx.merge(self.graphdef, self.state)
        if not hasattr(module, name):
            raise ValueError(
                f"A {type(module).__name__} has no {name}: give a classifier such as a WideResNet or ResNet."
            )
        return getattr(module, name)


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
