"""Joining the workdirs of one run, which processes of several hosts have written, into a new one."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ssni_jax.files.atomic import write_bytes
from ssni_jax.files.checked import write_sealed
from ssni_jax.journal.calibration import merged_norms
from ssni_jax.journal.certification import merged_certificates, unfinished
from ssni_jax.journal.ensemble import Stages
from ssni_jax.journal.evaluation import SANITY, lacking, merged
from ssni_jax.journal.formats import ranges
from ssni_jax.journal.identity import first_difference, shown
from ssni_jax.journal.stored import CalibrationRun, CertificationRun, EvaluationRun
from ssni_jax.journal.sweep import SWEEP
from ssni_jax.journal.units import FOLDER, Journal, StoredUnit
from ssni_jax.journal.workdir import kind_of, read_run, workdirs

ARRAYS = ("adversarial", "stages")  # folders with one file of the name of a unit
PICTURES = "pictures"
RUNS = {"evaluation": EvaluationRun, "certification": CertificationRun, "calibration": CalibrationRun}
GROWING = ("ids", "sigmas")
MISSING: Mapping[str, Callable[[Mapping[str, Any], Sequence[StoredUnit]], Sequence[int]]] = {
    "evaluation": lambda run, units: lacking(sorted(set(run["ids"])), run.get("n_draws", 0), merged(units)),
    "certification": lambda run, units: unfinished(run["ids"], run["sigmas"], merged_certificates(units)),
    "calibration": lambda run, units: sorted(set(run["ids"]) - set(merged_norms(units))),
}


class Part(NamedTuple):
    """One workdir that is joined with others: its kind, and what it holds."""

    path: Path
    kind: str
    experiment: dict[str, Any]
    run: dict[str, Any]
    units: list[StoredUnit]

    @classmethod
    def of(cls, path: Path) -> "Part":
        """The content of a workdir, refused where it is damaged."""
        kind = kind_of(path)
        if kind not in MISSING:
            raise ValueError(f"{path} is a {kind}, which is no list of images: join evaluations and certifications.")
        experiment, run = read_run(path, RUNS[kind])
        return cls(path, kind, experiment, run, Journal(path, experiment["hash"]).units())


def merge(out: Path, paths: Sequence[Path], allows_gaps: bool = False) -> None:
    """Writes into the new directory `out` what the workdirs hold, or those of the same name in several parents.

    Everything is checked before anything is written, and nothing is taken from the workdirs. Refused are other
    experiments, damaged files, an image that two of them have, and planned images that none has. experiment.json comes
    last, so that a merge that was killed leaves no workdir, and can be repeated.
    """
    joined = {place: [Part.of(path) for path in group] for place, group in _groups(out, paths).items()}
    for place, parts in joined.items():
        _check_same(parts)
        _check_distinct(parts)
        _check_new(place, parts)
        _check_complete(parts, allows_gaps)
    for place, parts in joined.items():
        _write(place, parts, out)
    sweeps = [path / SWEEP for path in paths if (path / SWEEP).exists()]
    if sweeps:
        write_bytes(out / SWEEP, sweeps[0].read_bytes())


def _groups(out: Path, paths: Sequence[Path]) -> dict[Path, list[Path]]:
    """The workdirs to be joined, by the place of the result."""
    own = {path: workdirs(path) for path in paths}
    for path, places in own.items():
        if not places:
            raise FileNotFoundError(f"{path} holds no run: pass the --workdir of an `ssni evaluate` or `certify`.")
    if any(places == [path] for path, places in own.items()):
        return {out: list(paths)}
    names = dict.fromkeys(place.name for places in own.values() for place in places)
    return {out / name: [place for places in own.values() for place in places if place.name == name] for name in names}


def _check_same(parts: Sequence[Part]) -> None:
    first = parts[0]
    for part in parts[1:]:
        here, there = ({**one.experiment, "hash": None} for one in (part, first))
        difference = first_difference(here, there)
        if difference is not None:
            key, here, there = difference
            raise ValueError(
                f"{part.path} was made with {key} = {shown(here)} and {first.path} with {shown(there)}: join only "
                "workdirs of one experiment."
            )


def _check_distinct(parts: Sequence[Part]) -> None:
    """Refuses an image that two workdirs have in the same stage."""
    homes: dict[tuple[Any, ...], Path] = {}
    for part in parts:
        own = {}
        for unit in part.units:
            for record in unit.records:
                own[unit.header.get("stage"), record["id"], record.get("sigma"), record.get("first")] = unit.path
        twice = sorted(homes.keys() & own.keys(), key=str)
        if twice:
            raise ValueError(
                f"image {twice[0][1]} is in {homes[twice[0]]} and in {own[twice[0]]}, with {len(twice)} such records: "
                "leave out one of the two workdirs, or move one of the files away."
            )
        homes |= own


def _check_new(place: Path, parts: Sequence[Part]) -> None:
    names = {unit.path.name for part in parts for unit in part.units}
    others = sorted(path.name for path in (place / FOLDER).glob("*.jsonl") if path.name not in names)
    if (place / "experiment.json").exists() or others:
        what = f"{FOLDER}/{others[0]}" if others else "a run"
        raise FileExistsError(f"{place} holds {what} already: give a directory that does not exist yet.")


def _check_complete(parts: Sequence[Part], allows_gaps: bool) -> None:
    """Refuses planned images that no workdir has, and plans of which none has all."""
    plan = _plan(parts)
    for part in parts:
        others = [name for name in GROWING if not set(part.run.get(name, ())) <= set(plan.get(name, ()))]
        others += ["n_draws"] if part.run.get("n_draws", 0) > plan.get("n_draws", 0) else []
        if others:
            raise ValueError(f"{part.path} was to have other {others[0]} than the rest: run all with the same flags.")
    units = [unit for part in parts for unit in part.units]
    missing = MISSING[parts[0].kind](plan, units)
    if missing and not allows_gaps:
        raise ValueError(
            f"{len(missing)} of {len(plan['ids'])} planned images are complete in no workdir "
            f"({ranges(sorted(missing))}): give the workdirs that have them, or join what there is with --allow-gaps."
        )


def _plan(parts: Sequence[Part]) -> dict[str, Any]:
    """The run with the largest plan."""
    sizes = [(len(part.run["ids"]), part.run.get("n_draws", 0), len(part.run.get("sigmas", ()))) for part in parts]
    return parts[sizes.index(max(sizes))].run


def _write(place: Path, parts: Sequence[Part], out: Path) -> None:
    """Copies all files, the records after the arrays they belong to."""
    for part in parts:
        names = [unit.path.stem for unit in part.units]
        files = [Path(folder) / f"{name}.npz" for folder in ARRAYS for name in names]
        files += [Path(PICTURES) / path.name for path in sorted((part.path / PICTURES).glob("*.npz"))]
        files += [Path(SANITY), *(Path(FOLDER) / f"{name}.jsonl" for name in names)]
        _copy(part.path, place, files)
    run = _plan(parts)
    write_sealed(place / "run.json", {**run, **_stages(parts, run), "command": _command(run["command"], out)})
    _copy(parts[0].path, place, [Path("experiment.json")])


def _copy(source: Path, target: Path, files: Iterable[Path]) -> None:
    """The files that the source has; those of a merge that was killed are replaced."""
    for file in files:
        if (source / file).exists():
            write_bytes(target / file, (source / file).read_bytes())


def _stages(parts: Sequence[Part], run: Mapping[str, Any]) -> dict[str, Any]:
    """What the attacks of an ensemble left standing, counted anew over all images."""
    attack = parts[0].experiment.get("attack")
    if not run.get("stages") or not isinstance(attack, dict) or "falls_at" not in attack:
        return {}
    names = [row["attack"] for row in max((part.run.get("stages", []) for part in parts), key=len)]
    units = [unit for part in parts for unit in part.units]
    return {"stages": Stages(names, attack["falls_at"], run["ids"], units).table()}


def _command(command: str, out: Path) -> str:
    """The command that resumes, in the new directory."""
    words = shlex.split(command)
    if "--workdir" in words[:-1]:
        words[words.index("--workdir") + 1] = str(out)
    return shlex.join(words)
