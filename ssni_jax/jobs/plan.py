"""What an experiment takes on a target before it runs: memory, rows that fit, network calls, operations, hours.

The programs are those that the job itself compiles, on shapes in the place of weights and images. Where the target's
compiler is not installed, their memory is estimated from shapes, and the plan says so.
"""

import dataclasses
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ssni_jax.core.types import Tree
from ssni_jax.dist import rows, sharded_over_data, whole
from ssni_jax.dist.targets import MEMORY_SHARE, HardwareTarget
from ssni_jax.evals.collectives import Collectives, collectives
from ssni_jax.evals.footprint import temporary_bytes
from ssni_jax.evals.network_calls import Calls
from ssni_jax.evals.sharing import SharedJit, pattern_of
from ssni_jax.networks import Network
from ssni_jax.zoo import stored_denoisers

NAMES = {
    "predict": "prediction",
    "init": "attack's start",
    "advance": "attack's iterations",
    "result": "attack's result",
    "summary": "attack's curve",
}
UTILISATION = 0.3  # of the data sheet's operations per second, for hours that nothing was measured for


@dataclasses.dataclass(frozen=True)
class ProgramPlan:
    """The memory of one program on each device, in bytes; `collectives` are known of compiled programs alone."""

    name: str
    arguments: int
    temporary: int
    results: int
    seconds: float
    collectives: Collectives | None = None

    @property
    def is_compiled(self) -> bool:
        """Whether the compiler counted, and not an estimate from shapes."""
        return self.collectives is not None

    @property
    def total(self) -> int:
        """All that the program holds at once."""
        return self.arguments + self.temporary + self.results


@dataclasses.dataclass(frozen=True)
class RunPlan:
    """What an experiment takes on a target."""

    name: str
    target: HardwareTarget
    n_images: int
    n_rows: int
    programs: tuple[ProgramPlan, ...]
    rows_that_fit: int | None
    calls: dict[str, Calls]
    flops_per_image: float

    @property
    def largest(self) -> ProgramPlan:
        """The program that needs the most memory."""
        return max(self.programs, key=lambda program: program.total)

    def hours(self, utilisation: float) -> float | None:
        """Hours at this share of the target's operations per second; None where those are not known."""
        if self.target.flops is None:
            return None
        return self.n_images * self.flops_per_image / (self.target.n_devices * self.target.flops * utilisation) / 3600


class Facts(NamedTuple):
    """The number and shape of the images, which a plan needs even where the data are elsewhere."""

    n_images: int
    image_shape: tuple[int, int, int]


class CompiledPlans:
    """Takes the place of `CompiledPrograms`: keeps what the compiler says of every program."""

    def __init__(self) -> None:
        self.plans: dict[Hashable, ProgramPlan] = {}

    def compiled(self, name: Hashable, function: SharedJit, *args: Any) -> Any:
        """The program compiled for arguments like these, which may be shapes."""
        begun, key = time.monotonic(), (name, pattern_of(args)[1], _types(args))
        program = function.lower(*args).compile()
        memory = program.memory_analysis()
        self.plans[key] = ProgramPlan(
            shown(name),
            memory.argument_size_in_bytes,
            memory.temp_size_in_bytes,
            memory.output_size_in_bytes - memory.alias_size_in_bytes,
            time.monotonic() - begun,
            collectives(program.as_text()),
        )
        return program


class EstimatedPlans:
    """Takes the place of `CompiledPrograms` where there is no compiler: estimates every program from its shapes."""

    def __init__(self) -> None:
        self.plans: dict[Hashable, ProgramPlan] = {}

    def compiled(self, name: Hashable, function: SharedJit, *args: Any) -> Any:
        """The shapes of the program's results, and no program."""
        begun, key = time.monotonic(), (name, pattern_of(args)[1], _types(args))
        temporary, results = temporary_bytes(function.function, *args)
        sizes = (n_bytes(args), temporary, n_bytes(results))
        self.plans[key] = ProgramPlan(shown(name), *sizes, time.monotonic() - begun)
        return Outlined(results)


class Outlined(NamedTuple):
    """A program that was not compiled."""

    out_info: Any


def rows_that_fit(
    target: HardwareTarget,
    n_rows: int,
    programs: Sequence[ProgramPlan],
    estimates: Callable[[int], Sequence[ProgramPlan]],
) -> int | None:
    """Rows per device whose largest program fills `MEMORY_SHARE` of it.

    Estimates at this and another number of rows tell how memory grows; the programs, which may be compiled, tell how
    far the estimates are off.
    """
    if target.n_bytes is None:
        return None
    other = max(1, n_rows // 2) if n_rows > 1 else 2
    room, fitting = MEMORY_SHARE * target.n_bytes, []
    for program, here, there in zip(programs, estimates(n_rows), estimates(other), strict=True):
        slope = (here.total - there.total) / (n_rows - other)
        slope *= program.temporary / here.temporary if here.temporary else 1.0
        if slope > 0:
            fitting.append(n_rows + (room - program.total) / slope)
    return max(0, int(min(fitting))) if fitting else None


def facts_of(experiment: Any) -> Facts:
    """From the data where they are at hand, else from the experiment and its denoiser."""
    n, shape = experiment.n_images, None
    try:
        n = len(experiment.ids)
        shape = tuple(experiment.images.image_shape)
    except OSError as error:
        side = getattr(getattr(experiment.images, "resizing", None), "side", None)
        stored = stored_denoisers(experiment.defense)
        shape = (side, side, 3) if side else stored[0].image_shape if stored else None
        if n is None or shape is None:
            raise ValueError(f"{error} To plan without the data, give --n-images and a stored denoiser.") from error
    return Facts(n, shape)


def batch_shapes(mesh: Mesh, shape: Sequence[int], n: int) -> tuple[Any, Any, Any]:
    """Keys, images and labels of a batch, as shapes."""
    place, key = rows(mesh), jax.eval_shape(lambda: jax.random.key(0))
    return (
        jax.ShapeDtypeStruct((n,), key.dtype, sharding=place),
        jax.ShapeDtypeStruct((n, *shape), jnp.float32, sharding=place),
        jax.ShapeDtypeStruct((n,), jnp.int32, sharding=place),
    )


def placed(tree: Tree, mesh: Mesh, *, divided: bool = False) -> Tree:
    """The shapes of a value's arrays on every device of a mesh; what stands twice still does.

    With `divided` every network lies in parts over the devices, as under --fsdp.
    """
    known: dict[int, Any] = {}

    def at(leaf: Any, place: Any) -> Any:
        return known.setdefault(id(leaf), jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place))

    def place(leaf: Any) -> Any:
        if isinstance(leaf, Network) and divided:
            return Network.placed(leaf.graphdef, jax.tree.map(at, leaf.state, sharded_over_data(mesh, leaf.state)))
        if isinstance(leaf, Network):
            return dataclasses.replace(leaf, state=jax.tree.map(place, leaf.state))
        return at(leaf, whole(mesh)) if isinstance(leaf, jax.ShapeDtypeStruct) else leaf

    return jax.tree.map(place, tree, is_leaf=lambda leaf: isinstance(leaf, Network))


def shown(name: Hashable) -> str:
    """The name of a program in a table."""
    key = str(name[0] if isinstance(name, tuple) else name)
    return NAMES.get(key, key)


def _types(args: Any) -> tuple[Any, ...]:
    return tuple(jax.typeof(leaf) for leaf in jax.tree.leaves(args))


def n_bytes(tree: Any) -> int:
    """Bytes of the different arrays of a value."""
    leaves = {id(leaf): leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "shape")}
    return sum(int(np.prod(leaf.shape)) * getattr(leaf.dtype, "itemsize", 8) for leaf in leaves.values())
