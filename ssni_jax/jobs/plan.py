"""What an experiment takes on a target before it runs: memory, rows that fit, network calls, operations, hours.

The programs are those that the job itself compiles, on shapes in the place of weights and images. Where the target's
compiler is not installed, their memory is estimated from shapes, and the plan says so.
"""

import dataclasses
import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ssni_jax.attacks import Ensemble
from ssni_jax.core.rng import sample_keys
from ssni_jax.core.types import Tree
from ssni_jax.dist import make_mesh, rows, whole
from ssni_jax.dist.targets import MEMORY_SHARE, Target
from ssni_jax.evals.collectives import Collectives, collectives
from ssni_jax.evals.cost import network_flops, timed
from ssni_jax.evals.footprint import temporary_bytes
from ssni_jax.evals.network_calls import Calls, attack_calls, prediction_calls
from ssni_jax.evals.prediction import make_predict, n_votes
from ssni_jax.evals.sharing import SharedJit, pattern_of
from ssni_jax.experiments import Evaluation
from ssni_jax.jobs.ensemble_job import EnsembleJob
from ssni_jax.jobs.evaluation_job import EvaluationJob
from ssni_jax.journal.units import Journal
from ssni_jax.zoo import outline, stored_denoisers

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
class Plan:
    """What an experiment takes on a target."""

    name: str
    target: Target
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
        results = jax.eval_shape(function.function, *args)
        temporary = temporary_bytes(function.function, *args)
        sizes = (_bytes(args), temporary, _bytes(results))
        self.plans[key] = ProgramPlan(shown(name), *sizes, time.monotonic() - begun)
        return Outlined(results)


class Outlined(NamedTuple):
    """A program that was not compiled."""

    out_info: Any


def plan_evaluation(experiment: Evaluation, target: Target, facts: Facts) -> Plan:
    """The plan of an evaluation with its batch size, and the largest batch that would fit."""
    predict, attack = outline(experiment.defense), outline(experiment.attack)
    n_rows = -(-min(experiment.batch_size, facts.n_images) // target.n_devices)
    programs = _programs(experiment, target, facts, n_rows)
    other = max(1, n_rows // 2) if n_rows > 1 else 2
    smaller = _programs(experiment, target, facts, other)
    calls = {"prediction": prediction_calls(predict)}
    if attack is not None:
        calls["attack"] = attack_calls(predict, attack, experiment.objective)
        calls["judgement"] = calls["prediction"].times(-(-experiment.n_draws // n_votes(predict)))
    denoiser, classifier = network_flops(predict, facts.image_shape)
    total = sum(calls.values(), Calls(0, 0))
    flops = total.denoiser * denoiser + total.classifier * classifier
    fitting = rows_that_fit(target, (n_rows, programs), (other, smaller))
    return Plan(experiment.name, target, facts.n_images, n_rows, tuple(programs), fitting, calls, flops)


def rows_that_fit(
    target: Target, one: tuple[int, Sequence[ProgramPlan]], other: tuple[int, Sequence[ProgramPlan]]
) -> int | None:
    """Rows per device whose largest program fills `MEMORY_SHARE` of it, by a straight line through two batch sizes."""
    if target.n_bytes is None:
        return None
    fitting = []
    for first, second in zip(one[1], other[1], strict=True):
        slope = (first.total - second.total) / (one[0] - other[0])
        fixed = first.total - slope * one[0]
        fitting.append((MEMORY_SHARE * target.n_bytes - fixed) / slope if slope > 0 else np.inf)
    least = min(fitting, default=np.inf)
    return None if np.isinf(least) else max(0, int(least))


def seconds_per_call(experiment: Evaluation) -> Callable[[Plan], float]:
    """A probe of the purifier in two steps: seconds per network call and row on the devices that are here."""

    def measure(plan: Plan) -> float:
        mesh, facts = make_mesh(), facts_of(experiment)
        _, x, _ = _rows(mesh, facts.image_shape, plan.n_rows * mesh.shape["data"])
        predict = jax.tree.map(_zeros, placed(outline(experiment.defense), mesh)).with_steps(2)
        arguments = predict, sample_keys(jax.random.key(0), jnp.arange(len(x))), jnp.zeros(x.shape)
        program = make_predict(mesh, experiment.n_slots)
        seconds = timed(program, *arguments, repeats=3).seconds
        return seconds / (len(x) * prediction_calls(predict).denoiser)

    return measure


def _zeros(leaf: Any) -> Any:
    is_shape = isinstance(leaf, jax.ShapeDtypeStruct)
    return jax.device_put(np.zeros(leaf.shape, leaf.dtype), leaf.sharding) if is_shape else leaf


def facts_of(experiment: Any) -> Facts:
    """From the data where they are at hand, else from the experiment and its denoiser."""
    try:
        n, shape = len(experiment.ids), tuple(experiment.images.image_shape)
    except OSError as error:
        stored, n = stored_denoisers(experiment.defense), experiment.n_images
        sizes = [purify.size for purify in experiment.defense.purifiers if purify.size is not None]
        side = getattr(experiment.images, "size", None) if sizes else None
        if n is None or not stored:
            raise ValueError(f"{error} Without the data, give --n-images, and a stored denoiser.") from error
        shape = stored[0].image_shape if side is None else (side, side, 3)
    return Facts(n, shape)


def _programs(experiment: Evaluation, target: Target, facts: Facts, n_rows: int) -> list[ProgramPlan]:
    """All programs at so many rows per device."""
    mesh = target.mesh()
    plans: Any = EstimatedPlans() if mesh is None else CompiledPlans()
    mesh = make_mesh(devices=jax.devices()[:1]) if mesh is None else mesh
    predict, attack = (placed(outline(value), mesh) for value in (experiment.defense, experiment.attack))
    kind = EnsembleJob if isinstance(experiment.attack, Ensemble) else EvaluationJob
    job = kind(experiment, predict, attack, Journal(Path(), ""), "", plans, mesh)
    job.compile_all(*_rows(mesh, facts.image_shape, n_rows * mesh.shape["data"]))
    return list(plans.plans.values())


def _rows(mesh: Mesh, shape: Sequence[int], n: int) -> tuple[Any, Any, Any]:
    """Keys, images and labels of a batch, as shapes."""
    place, key = rows(mesh), jax.eval_shape(lambda: jax.random.key(0))
    return (
        jax.ShapeDtypeStruct((n,), key.dtype, sharding=place),
        jax.ShapeDtypeStruct((n, *shape), jnp.float32, sharding=place),
        jax.ShapeDtypeStruct((n,), jnp.int32, sharding=place),
    )


def placed(tree: Tree, mesh: Mesh) -> Tree:
    """The shapes of a value's arrays on every device of a mesh; what stands twice still does."""
    known: dict[int, Any] = {}

    def place(leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        return known.setdefault(id(leaf), jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole(mesh)))

    return jax.tree.map(place, tree)


def shown(name: Hashable) -> str:
    """The name of a program in a table."""
    key = str(name[0] if isinstance(name, tuple) else name)
    return NAMES.get(key, key)


def _types(args: Any) -> tuple[Any, ...]:
    return tuple(jax.typeof(leaf) for leaf in jax.tree.leaves(args))


def _bytes(tree: Any) -> int:
    """Bytes of the different arrays of a value."""
    leaves = {id(leaf): leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "shape")}
    return sum(int(np.prod(leaf.shape)) * getattr(leaf.dtype, "itemsize", 8) for leaf in leaves.values())
