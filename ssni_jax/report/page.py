"""One self-contained HTML page about the runs of a directory: nothing is fetched when it is opened."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ssni_jax.files.atomic import write_bytes, write_json
from ssni_jax.files.remote import as_path
from ssni_jax.journal import formats
from ssni_jax.journal.certification import Certified
from ssni_jax.journal.evaluation import Evaluated
from ssni_jax.journal.status import load_runs
from ssni_jax.journal.sweep import Swept, is_sweep, load_sweep
from ssni_jax.journal.training import Trained
from ssni_jax.report.figures.curves import write_curves
from ssni_jax.report.figures.heat_map import heat_map
from ssni_jax.report.figures.pareto import write_pareto
from ssni_jax.report.figures.style import write_png
from ssni_jax.report.markdown import markdown
from ssni_jax.report.sections.certification import certified_section, compare_certified
from ssni_jax.report.sections.evaluation import evaluated_section, in_table_order
from ssni_jax.report.sections.sweep import swept_section, unfinished_cells
from ssni_jax.report.sections.training import trained_section

SHARED_FACTS = ("version", "jax", "python", "devices", "data", "seed", "matmul_precision")
HIDDEN_FACTS = ("ids", "command", "level_curves", "defense", "kind", "sigmas")


def write_report(path: str | Path) -> Path:
    """Writes report.html and results.json into a workdir or the parent of several; returns the path of the page.

    Certifications also write certified.md with their tables and pareto.png, the plot for a paper; trainings write
    curves.png, and the page of a sweep comes with heat_map.png.
    """
    path = as_path(path)
    return _write_swept(load_sweep(path)) if is_sweep(path) else _write_runs(path)


def _write_runs(path: Path) -> Path:
    title, runs = path.resolve().name, load_runs(path)
    runs = runs._replace(evaluations=in_table_order(runs.evaluations))
    compared = compare_certified(runs.certifications) if runs.certifications else None
    content = {
        "evaluated": evaluated_section(runs.evaluations) if runs.evaluations else None,
        "certified": certified_section(runs.certifications, compared) if compared else None,
        "trained": trained_section(runs.trainings),
        "swept": None,
    }
    numbers = content["evaluated"]["numbers"] if content["evaluated"] else {"rows": [], "over_seeds": []}
    write_json(path / "results.json", {**numbers, "certified": compared.methods if compared else []})
    if compared:
        write_bytes(path / "certified.md", markdown(title, compared.methods, compared.distance).encode())
    if compared and compared.panels:
        write_pareto(path / "pareto.png", compared.panels, compared.names)
    if any(training.metrics for training in runs.trainings):
        write_curves(path / "curves.png", runs.trainings)
    shown = [*runs.evaluations, *runs.certifications, *runs.trainings]
    kicker = "Robustness report" if runs.evaluations or runs.certifications else "Training report"
    page = path / "report.html"
    write_bytes(page, render(title, kicker, unfinished(shown), [_facts(run) for run in shown], content).encode())
    return page


def _write_swept(sweep: Swept) -> Path:
    """The page of a sweep; each of its cells has the details in a directory of its own."""
    if not any(cell.run is not None and cell.run.records for cell in sweep.cells):
        raise FileNotFoundError(f"No cell of {sweep.path} has a record yet; run: {sweep.command}")
    content = {"evaluated": None, "certified": None, "trained": [], "swept": swept_section(sweep)}
    cells = {"rows": content["swept"]["rows"], "worst_cases": content["swept"]["worst_cases"]}
    write_json(sweep.path / "results.json", {"rows": [], "certified": [], "sweep": cells})
    write_png(sweep.path / "heat_map.png", heat_map(cells["rows"], is_paper=True))
    facts = {"name": sweep.name, "command": sweep.command, "run": _shared_facts(sweep), "config": None}
    page = sweep.path / "report.html"
    text = render(sweep.name, "Robustness report", unfinished_cells(sweep), [facts], content)
    write_bytes(page, text.encode())
    return page


def _shared_facts(sweep: Swept) -> list[tuple[str, str]]:
    """Versions and devices in which the cells agree."""
    runs = [dict(formats.flat({k: cell.run.run[k] for k in SHARED_FACTS})) for cell in sweep.cells if cell.run]
    return [pair for pair in runs[0].items() if all(run.get(pair[0]) == pair[1] for run in runs)]


def render(title: str, kicker: str, incomplete: Sequence[dict], facts: Sequence[dict], content: dict[str, Any]) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("ssni_jax.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["f"] = formats
    return environment.get_template("report.html").render(
        title=title, kicker=kicker, incomplete=incomplete, facts=facts, **content
    )


def unfinished(runs: Sequence[Evaluated | Certified | Trained]) -> list[dict[str, str]]:
    """What is missing of incomplete runs, and the command that resumes each."""
    texts = [(run, _missing(run)) for run in runs]
    return [{"text": text, "command": _command(run)} for run, text in texts if text]


def _missing(run: Evaluated | Certified | Trained) -> str | None:
    if isinstance(run, Trained):
        return None if not run.missing else f"{run.name}: step {run.step} of {run.n_steps} trained"
    if not run.missing:
        return None
    n = len(run.run["ids"])
    return f"{run.name}: {n - len(run.missing)} of {n} images complete, missing {formats.ranges(run.missing)}"


def _facts(run: Evaluated | Certified | Trained) -> dict[str, Any]:
    """What is needed to repeat one run."""
    facts = {} if isinstance(run, Trained) else {"images": formats.ranges(sorted(run.run["ids"])), **run.run}
    shown = {name: value for name, value in facts.items() if name not in HIDDEN_FACTS}
    return {
        "name": run.name,
        "command": _command(run),
        "run": formats.flat(shown) if shown else [],
        "config": json.dumps(run.experiment, indent=2),
    }


def _command(run: Evaluated | Certified | Trained) -> str:
    return run.command if isinstance(run, Trained) else run.run["command"]
