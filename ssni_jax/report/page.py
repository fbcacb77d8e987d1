"""One self-contained HTML page about the runs of a directory: nothing is fetched when it is opened."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ssni_jax.files.atomic import write_bytes, write_json
from ssni_jax.journal import formats
from ssni_jax.journal.certification import Certified
from ssni_jax.journal.found import Found, find
from ssni_jax.journal.training import Trained
from ssni_jax.journal.workdir import Results
from ssni_jax.report.figures.curves import write_curves
from ssni_jax.report.figures.pareto import write_pareto
from ssni_jax.report.markdown import markdown
from ssni_jax.report.sections.certification import certified_section, compare_certified
from ssni_jax.report.sections.evaluation import evaluated_section, in_table_order
from ssni_jax.report.sections.training import trained_section

HIDDEN_FACTS = ("ids", "command", "level_curve", "defense", "kind", "sigmas")


def write_report(path: str | Path) -> Path:
    """Writes report.html and results.json into a workdir or the parent of several; gives the page.

    Certifications also make certified.md, their tables, and pareto.png, the plot for a paper; trainings curves.png.
    """
    path = Path(path)
    title, found = path.resolve().name, find(path)
    found = found._replace(evaluations=in_table_order(found.evaluations))
    compared = compare_certified(found.certifications) if found.certifications else None
    content = {
        "evaluated": evaluated_section(found.evaluations) if found.evaluations else None,
        "certified": certified_section(found.certifications, compared) if compared else None,
        "trained": trained_section(found.trainings),
    }
    rows = content["evaluated"]["rows"] if content["evaluated"] else []
    write_json(path / "results.json", {"rows": rows, "certified": compared.methods if compared else []})
    if compared:
        write_bytes(path / "certified.md", markdown(title, compared.methods, compared.distance).encode())
    if compared and compared.panels:
        write_pareto(path / "pareto.png", compared.panels, compared.names)
    if any(training.metrics for training in found.trainings):
        write_curves(path / "curves.png", found.trainings)
    page = path / "report.html"
    write_bytes(page, render(title, found, content).encode())
    return page


def render(title: str, found: Found, content: dict[str, Any]) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("ssni_jax.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["f"] = formats
    runs = [*found.evaluations, *found.certifications, *found.trainings]
    return environment.get_template("report.html").render(
        title=title,
        kicker="Robustness report" if found.evaluations or found.certifications else "Training report",
        incomplete=unfinished(runs),
        facts=[_facts(each) for each in runs],
        **content,
    )


def unfinished(runs: Sequence[Results | Certified | Trained]) -> list[dict[str, str]]:
    """What is missing of the runs that have not ended, and how to go on."""
    texts = [(run, _missing(run)) for run in runs]
    return [{"text": text, "command": _command(run)} for run, text in texts if text]


def _missing(run: Results | Certified | Trained) -> str | None:
    if isinstance(run, Trained):
        return None if not run.missing else f"{run.name}: step {run.step} of {run.n_steps} trained"
    if not run.missing:
        return None
    n = len(run.run["ids"])
    done = f"{_name(run)}: {n - len(run.missing)} of {n} images done"
    return f"{done}, missing {formats.ranges(run.missing)}"


def _facts(run: Results | Certified | Trained) -> dict[str, Any]:
    """What is needed to repeat one run."""
    facts = {} if isinstance(run, Trained) else {"images": formats.ranges(run.run["ids"]), **run.run}
    shown = {name: value for name, value in facts.items() if name not in HIDDEN_FACTS}
    return {
        "name": _name(run),
        "command": _command(run),
        "run": formats.flat(shown) if shown else [],
        "config": json.dumps(run.experiment, indent=2),
    }


def _name(run: Results | Certified | Trained) -> str:
    return run.defense if isinstance(run, Results) else run.name


def _command(run: Results | Certified | Trained) -> str:
    return run.command if isinstance(run, Trained) else run.run["command"]
