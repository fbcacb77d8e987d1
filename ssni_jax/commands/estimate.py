"""`--estimate` of evaluate, certify and train: what a run takes on a target, before it begins."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax

from ssni_jax.core.bounds import SHARE, check_number
from ssni_jax.dist.targets import HardwareTarget, target_named
from ssni_jax.jobs.plan import UTILISATION, ProgramPlan, RunPlan

WIDTHS = (22, 12, 12, 12, 12)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimates:
    """The flags of commands that can say what they take before they begin."""

    estimate: bool = False
    """Only say what the run takes: memory per device, rows that fit, network calls, operations, hours."""
    target: str = "here"
    """For --estimate: tpu:v5e:4x4, gpu:h100:8, or here. With jax[tpu] or jax[cuda] installed it compiles for the
    target without the chip; otherwise memory is estimated from shapes."""
    utilisation: float = UTILISATION
    """For --estimate: the share of the data sheet's bfloat16 operations per second that the hours assume."""
    probe: bool = False
    """For --estimate here: time two steps of the purifier, and derive the hours from that."""

    def show(
        self, make_plan: Callable[[HardwareTarget], RunPlan], measure: Callable[[RunPlan], float] | None = None
    ) -> None:
        """Prints the plan for the target; `measure` gives seconds per denoiser call and row of a probe."""
        check_number("utilisation", self.utilisation, SHARE)
        target = target_named(self.target)
        if self.probe and not target.is_here:
            raise ValueError(f"a probe runs on the devices that are here, not on {self.target}: leave out --target.")
        plan = make_plan(target)
        if jax.process_index() == 0:
            print("\n".join(described(plan, self.utilisation)))
        if self.probe and measure is not None:
            seconds = measure(plan)
            calls = sum(calls.denoiser for calls in plan.calls.values())
            hours = plan.n_images * calls * seconds / 3600
            print(f"Probe: {1000 * seconds:.3g} ms per network call and image, two steps timed: {duration(hours)}.")


def described(plan: RunPlan, utilisation: float) -> Iterator[str]:
    """The plan in lines."""
    target, largest = plan.target, plan.largest
    memory = "" if target.n_bytes is None else f", {size(target.n_bytes)} each"
    where = "this machine" if target.is_here else target.name
    yield f"{plan.name} on {where}: {target.n_devices} devices{memory}"
    yield f"{plan.n_images} images, {plan.n_rows} rows per device"
    yield ""
    yield cells("program", "arguments", "temporary", "results", "total") + "collectives"
    for program in sorted(plan.programs, key=lambda program: -program.total):
        yield program_line(program)
    yield ""
    yield how_known(plan)
    yield f"Programs to compile: {len(plan.programs)}."
    if target.n_bytes is not None:
        verdict = "fits" if largest.total <= target.n_bytes else "does NOT fit"
        yield f"Largest: {largest.name}, {size(largest.total)} of {size(target.n_bytes)} per device, which {verdict}."
    if plan.rows_that_fit is not None:
        n = plan.rows_that_fit * target.n_devices
        yield f"Rows that fit in 90 % of a device: {plan.rows_that_fit}, a batch_size of {n}."
    yield "Per image: " + ", ".join(f"{name} {calls.denoiser:,.0f} network calls" for name, calls in plan.calls.items())
    yield f"  and {plan.flops_per_image / 1e12:,.4g} TFLOP; a gradient counts as the four forward calls it is worth."
    hours = plan.hours(utilisation)
    if hours is not None and target.flops is not None:
        peak = f"{target.n_devices} x {target.flops / 1e12:.0f} TFLOP/s"
        chips = f"{duration(hours * target.n_devices)} of one chip"
        yield f"Time: {duration(hours)} ({chips}), if {utilisation:.0%} of {peak} are reached (--utilisation)."


def duration(hours: float) -> str:
    """A time in the unit that fits."""
    for unit, length in (("days", 72), ("hours", 1.0), ("minutes", 1 / 60)):
        if hours >= length:
            return f"{hours / (24 if unit == 'days' else length):,.3g} {unit}"
    return f"{3600 * hours:.2g} seconds"


def how_known(plan: RunPlan) -> str:
    """Whether the memory was counted by a compiler or estimated."""
    seconds = sum(program.seconds for program in plan.programs)
    if all(program.is_compiled for program in plan.programs):
        return f"Memory: counted by the target's compiler in {seconds:.0f} s."
    extra = "tpu" if plan.target.name.startswith("tpu") else "cuda"
    return (
        f"Memory: ESTIMATED from shapes, within about a factor of 2; pip install 'ssni_jax[{extra}]' to compile for it."
    )


def program_line(program: ProgramPlan) -> str:
    """One program of the table."""
    sizes = (program.arguments, program.temporary, program.results, program.total)
    return cells(program.name, *map(size, sizes)) + ("" if program.collectives is None else str(program.collectives))


def cells(*texts: str) -> str:
    """Texts in columns."""
    first, *others = texts
    widths = iter(WIDTHS)
    return (
        first.ljust(next(widths))
        + "".join(text.rjust(width) for text, width in zip(others, widths, strict=False))
        + "  "
    )


def size(n_bytes: float) -> str:
    """Bytes in a readable unit."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= factor:
            return f"{n_bytes / factor:.3g} {unit}"
    return f"{n_bytes:.0f} B"


def needed(workdir: Any) -> Any:
    """The --workdir of a run, refused where it was left out."""
    if workdir is None:
        raise ValueError("--workdir says where the records go: give a directory, or --estimate to plan without one.")
    return workdir
