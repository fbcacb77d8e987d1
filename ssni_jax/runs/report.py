"""One self-contained HTML page about one evaluated defence or several: nothing is fetched when it is opened."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ssni_jax.evals.statistics import paired_difference
from ssni_jax.runs import formats, pictures, plots
from ssni_jax.runs.atomic import write_bytes, write_json
from ssni_jax.runs.records import Record
from ssni_jax.runs.summary import clean_scores, known, mean_t, robust_scores, summarise
from ssni_jax.runs.workdir import Results, load_all

HIDDEN_FACTS = ("ids", "command", "level_curve", "defense")


def write_report(path: str | Path) -> Path:
    """Writes report.html, and results.json with its `rows`, into a workdir or the parent of several; gives the page."""
    path = Path(path)
    results = sorted(load_all(path), key=_kind)
    rows = [summarise(each.defense, each.records) for each in results]
    write_json(path / "results.json", {"rows": rows})
    page = path / "report.html"
    write_bytes(page, render(path.resolve().name, results, rows).encode())
    return page


def render(title: str, results: Sequence[Results], rows: Sequence[dict[str, Any]]) -> str:
    """The page as text."""
    environment = Environment(
        loader=PackageLoader("ssni_jax.runs", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["f"] = formats
    baseline = next((each for each in results if _kind(each) == 1), results[0])
    return environment.get_template("report.html").render(
        title=title,
        results=results,
        rows=rows,
        baseline=baseline.defense,
        baseline_is_fixed=_kind(baseline) == 1,
        comparisons=[compare(each, baseline) for each in results if each is not baseline],
        bars=plots.accuracy_bars(rows),
        panels=[panel for each in results if (panel := _panel(each))],
        attacks=_attacks(results),
        grids=pictures.grids(results),
        facts=[_facts(each) for each in results],
    )


def compare(results: Results, baseline: Results) -> dict[str, Any]:
    """Paired tests of one defence against another, over the images that both have."""
    ours, theirs = ({record["id"]: record for record in each.records} for each in (results, baseline))
    common = sorted(ours.keys() & theirs.keys())
    a, b = [ours[id] for id in common], [theirs[id] for id in common]
    return {
        "defense": results.defense,
        "n": len(common),
        "clean": paired_difference(clean_scores(a), clean_scores(b)),
        "robust": paired_difference(robust_scores(a), robust_scores(b)),
    }


def _kind(results: Results) -> int:
    """0 without a noise level, 1 with the same for every image, 2 with one for each image: the order of the table."""
    levels = known(mean_t(record[key]) for record in results.records for key in ("clean_t", "adversarial_t"))
    return 0 if not levels else 1 if max(levels) - min(levels) < 1e-6 else 2


def _panel(results: Results) -> dict[str, Any] | None:
    """Figures of the score norm and the noise level, for a defence that measures them."""
    records = results.records
    norms = known(record["clean_norm"] for record in records)
    figures = [plots.score_norms(records)] if norms else []
    if _kind(results) == 2:
        figures.append(plots.noise_levels(records))
        figures += [plots.level_curve(records, results.run.get("level_curve"))] if norms else []
    return {"defense": results.defense, "figures": figures, "n_larger": _n_larger(records)} if figures else None


def _n_larger(records: Sequence[Record]) -> tuple[int, int]:
    """For how many images the norm is larger under attack, and of how many both norms are known."""
    pairs = [(record["clean_norm"], record["adversarial_norm"]) for record in records]
    measured = [(before, after) for before, after in pairs if before is not None and after is not None]
    return sum(after > before for before, after in measured), len(measured)


def _attacks(results: Sequence[Results]) -> list[dict[str, str]]:
    """Each different attack, how its gradient was taken, and the defences it was aimed at."""
    aimed: dict[tuple[str, str], list[str]] = {}
    for each in results:
        if "attack" in each.run:
            how = formats.compact(each.run["attack"]), str(each.run.get("gradient", "not stated"))
            aimed.setdefault(how, []).append(each.defense)
    return [{"attack": a, "gradient": g, "defenses": ", ".join(names)} for (a, g), names in aimed.items()]


def _facts(results: Results) -> dict[str, Any]:
    """What is needed to repeat one run."""
    facts = {name: value for name, value in results.run.items() if name not in HIDDEN_FACTS}
    return {
        "defense": results.defense,
        "command": results.run["command"],
        "ids": formats.ranges(results.run["ids"]),
        "run": formats.flat(facts),
        "config": json.dumps(results.experiment, indent=2),
    }
