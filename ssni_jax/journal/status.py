"""The runs of a directory, and how far they are in a few lines of text."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssni_jax.journal.calibration import Calibrated, load_calibrated
from ssni_jax.journal.certification import Certified, certified_so_far, load_certified
from ssni_jax.journal.evaluation import Evaluated, load_evaluated
from ssni_jax.journal.formats import invalid, number, percent, percent_interval, ranges
from ssni_jax.journal.rows import no_match, summarise
from ssni_jax.journal.sweep import describe_sweep, is_sweep, load_sweep
from ssni_jax.journal.training import Trained, is_number, load_trained
from ssni_jax.journal.workdir import kind_of, workdirs

LOAD: dict[str, Callable[[Path], Any]] = {
    "evaluation": load_evaluated,
    "certification": load_certified,
    "training": load_trained,
    "calibration": load_calibrated,
}
SHOWN = ("evaluation", "certification", "training")  # in a report, in this order


class Runs(NamedTuple):
    """The runs of one workdir, or of every workdir right below a parent, by kind, in the order of their directories."""

    evaluations: list[Evaluated]
    certifications: list[Certified]
    trainings: list[Trained]


def load_runs(path: str | Path) -> Runs:
    """Everything in `path` that a report shows; raises FileNotFoundError where there is nothing."""
    kinds = {workdir: kind_of(workdir) for workdir in workdirs(path)}
    if not set(kinds.values()) & set(SHOWN):
        raise FileNotFoundError(
            f"{path} holds no evaluation, certification or training; pass the --workdir of an `ssni evaluate`,"
            " `ssni certify` or `ssni train`, or its parent."
        )
    runs = {name: [LOAD[name](workdir) for workdir, kind in kinds.items() if kind == name] for name in SHOWN}
    return Runs(*(_distinct(runs[name]) for name in SHOWN))


def status(path: str | Path) -> str:
    """For each workdir in `path`: how many images are complete, the accuracies so far, and how to resume."""
    if is_sweep(path):
        return "\n".join(describe_sweep(load_sweep(path)))
    return "\n".join(describe(results) for results in load_any(path))


def is_complete(path: str | Path) -> bool:
    """Whether every workdir in `path` has all planned records, and every network is trained."""
    if is_sweep(path):
        return not any(cell.missing for cell in load_sweep(path).cells)
    return not any(results.missing for results in load_any(path))


def load_any(path: str | Path) -> list[Any]:
    """The contents of each workdir in `path`, whatever its kind."""
    paths = workdirs(path)
    if not paths:
        raise FileNotFoundError(f"{path} holds no run; pass the --workdir of an `ssni evaluate`, `certify` or `train`.")
    return [LOAD[kind_of(workdir)](workdir) for workdir in paths]


def describe(results: Any) -> str:
    """The lines of one workdir."""
    describers = {Trained: _trained, Certified: _certified, Evaluated: _evaluated, Calibrated: _calibrated}
    return "\n".join(describers[type(results)](results))


def _trained(training: Trained) -> list[str]:
    last = training.metrics[-1] if training.metrics else {}
    lines = [f"{training.name}: step {training.step} of {training.n_steps}"]
    lines += [f"  loss {number(last['loss'])}"] if is_number(last.get("loss")) else []
    return [*lines, f"  {f'resume with: {training.command}' if training.missing else 'complete'}"]


def _certified(results: Certified) -> list[str]:
    n, sigmas = len(results.run["ids"]), ", ".join(f"{sigma:g}" for sigma in results.run["sigmas"])
    lines = [f"{results.name}: {n - len(results.missing)} of {n} images at sigma {sigmas}"]
    lines += [f"  {certified_so_far(results.name, results.records)}"] if results.records else []
    n_invalid = len({record["id"] for record in results.records if record["n_invalid"]})
    lines += [f"  {n_invalid} images had NaN logits and abstain"] if n_invalid else []
    return [*lines, f"  {_outlook(results)}"]


def _calibrated(results: Calibrated) -> list[str]:
    n = len(results.run["ids"])
    return [f"{results.name}: {n - len(results.missing)} of {n} norms", f"  {_outlook(results)}"]


def _evaluated(results: Evaluated) -> list[str]:
    row, n = summarise(results.name, results.records), len(results.run["ids"])
    lines = [f"{results.name}: {n - len(results.missing)} of {n} images"]
    if results.records:
        lines += [line(row, "clean", "clean")]
        lines += [line(row, name, text) for name, text in judgements(row)]
    lines += [f"  {warning}"] if (warning := no_match(row)) else []
    lines += [stage_line(stage) for stage in results.run.get("stages", [])]
    if row["n_invalid"] or row["n_invalid_adversarial"]:
        counts = f"{row['n_invalid']} clean and {row['n_invalid_adversarial']} adversarial images"
        lines.append(f"  {counts} had NaN logits, which count as wrong")
    return [*lines, f"  {_outlook(results)}"]


def judgements(row: dict[str, Any]) -> list[tuple[str, str]]:
    """The judgements of adversarial images that are informative for this row, with their names."""
    n = row["n_draws"]
    if not n:
        return []
    of_draws = [(f"robust_{name}", f"{name} of {n}") for name in ("vote", "majority", "worst")]
    more = [("robust_worst_iterate", "worst iterate"), ("fixed_key", "fixed key")]
    shown = [("robust", "robust" if n == 1 else "one draw"), *(of_draws if n > 1 else [])]
    return [*shown, *((name, text) for name, text in more if row[name] is not None)]


def line(row: dict[str, Any], name: str, text: str) -> str:
    """One accuracy with its interval."""
    return f"  {text:15} {percent(row[name]):>7}  {percent_interval(row[name + '_ci'])}{invalid(row, name)}"


def stage_line(stage: Mapping[str, Any]) -> str:
    """What one attack of an ensemble left standing."""
    share = percent(stage["standing"] / stage["n"] if stage["n"] else None)
    cost = f"{stage['ran']} images attacked, {number(float(stage['queries']))} draws"
    invalid = f", {stage['invalid']} without a finite loss" if stage.get("invalid") else ""
    return f"  after {stage['attack']:9} {share:>7}  {cost}{invalid}"


def _outlook(results: Any) -> str:
    if not results.missing:
        return "complete"
    return f"missing {ranges(sorted(results.missing))}; resume with: {results.run['command']}"


def _distinct(runs: Sequence[Any]) -> list[Any]:
    """Runs of equal names, of a sweep over seeds for example, get the name of their directory added."""
    names = [run.name for run in runs]
    return [
        run._replace(name=f"{name} ({run.path.name})") if names.count(name) > 1 else run
        for run, name in zip(runs, names, strict=True)
    ]
