"""Where the runs of a directory stand, in a few lines of text."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssni_jax.journal.certification import Certified, load_certified
from ssni_jax.journal.certified_rows import summarise_certified
from ssni_jax.journal.formats import number, percent, percent_interval, ranges
from ssni_jax.journal.rows import summarise
from ssni_jax.journal.training import Trained, is_number, load_trained
from ssni_jax.journal.workdir import Results, kind_of, load_results, workdirs

N_SHOWN = 4  # radii in a line


def status(path: str | Path) -> str:
    """Done and total, running accuracies with 95 % intervals, and how to resume, for each workdir in `path`."""
    return "\n".join(describe(results) for results in load_any(path))


def is_complete(path: str | Path) -> bool:
    """Whether every planned image of every workdir in `path` has its record, and every network is trained."""
    return not any(results.missing for results in load_any(path))


def load_any(path: str | Path) -> list[Results | Certified | Trained]:
    """What each workdir in `path` holds: evaluations, certifications and trainings alike."""
    found = workdirs(path)
    if not found:
        raise FileNotFoundError(f"{path} holds no run; pass the --workdir of an `ssni evaluate`, `certify` or `train`.")
    load = {"evaluation": load_results, "certification": load_certified, "training": load_trained}
    return [load[kind_of(workdir)](workdir) for workdir in found]


def describe(results: Results | Certified | Trained) -> str:
    """The lines of one workdir."""
    if isinstance(results, Trained):
        return describe_trained(results)
    return describe_certified(results) if isinstance(results, Certified) else describe_evaluated(results)


def describe_trained(training: Trained) -> str:
    """The lines of one training."""
    last = training.metrics[-1] if training.metrics else {}
    lines = [f"{training.name}: step {training.step} of {training.n_steps}"]
    lines += [f"  loss {number(last['loss'])}"] if is_number(last.get("loss")) else []
    outlook = "complete" if training.is_exported else f"resume with: {training.command}"
    return "\n".join([*lines, f"  {outlook}"])


def describe_certified(results: Certified) -> str:
    """The lines of one certified method."""
    n = len(results.run["ids"])
    lines = [f"{results.name}: {n - len(results.missing)} of {n} images at sigma {_listed(results.run['sigmas'])}"]
    lines += [f"  {so_far(results)}"] if results.records else []
    n_invalid = len({record["id"] for record in results.records if record["n_invalid"]})
    lines += [f"  {n_invalid} images gave NaN and abstain"] if n_invalid else []
    return "\n".join([*lines, f"  {_outlook(results)}"])


def so_far(results: Certified) -> str:
    """Certified accuracy at the first radii, each at its best sigma."""
    best = summarise_certified(results.name, results.records)["envelope"][:N_SHOWN]
    shares = [f"{at['radius']:g}: {percent(at['accuracy'])} {percent_interval(at['ci'])}" for at in best]
    return "certified at radius " + "  ".join(shares)


def describe_evaluated(results: Results) -> str:
    """The lines of one evaluated defence."""
    row, done = summarise(results.defense, results.records), len(results.records)
    lines = [f"{results.defense}: {done} of {done + len(results.missing)} images"]
    if done:
        lines += [_accuracy(row, name) for name in ("clean", "robust")]
    if row["n_invalid"]:
        lines.append(f"  {row['n_invalid']} images gave NaN and count as wrong")
    lines.append(f"  {_outlook(results)}")
    return "\n".join(lines)


def _accuracy(row: dict[str, Any], name: str) -> str:
    return f"  {name:6} {percent(row[name]):>7}  {percent_interval(row[name + '_ci'])}"


def _outlook(results: Results | Certified) -> str:
    if not results.missing:
        return "complete"
    return f"missing {ranges(results.missing)}; resume with: {results.run['command']}"


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
