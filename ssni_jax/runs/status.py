"""Where the runs of a directory stand, in a few lines of text."""

from pathlib import Path
from typing import Any

from ssni_jax.runs.formats import percent, percent_interval, ranges
from ssni_jax.runs.summary import summarise
from ssni_jax.runs.workdir import Results, load_all


def status(path: str | Path) -> str:
    """Done and total, running accuracies with 95 % intervals, and how to resume, for each workdir in `path`."""
    return "\n".join(describe(results) for results in load_all(path))


def is_complete(path: str | Path) -> bool:
    """Whether every planned image of every workdir in `path` has its record."""
    return not any(results.missing for results in load_all(path))


def describe(results: Results) -> str:
    """The lines of one workdir."""
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


def _outlook(results: Results) -> str:
    if not results.missing:
        return "complete"
    return f"missing {ranges(results.missing)}; resume with: {results.run['command']}"
