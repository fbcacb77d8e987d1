"""A sweep: cells are ordinary evaluations, resumed, and shared between sweeps."""

import pytest

from ssni_jax.attacks import Linf, Objective, Pgd
from ssni_jax.cli import main
from ssni_jax.core.pytree import pytree
from ssni_jax.data import Digits
from ssni_jax.experiments import Cell, Evaluation, Sweep, across
from ssni_jax.files.atomic import read_json
from ssni_jax.jobs.sweep import place_cells, run_cells
from ssni_jax.journal.status import is_complete, status
from ssni_jax.journal.sweep import load_sweep, write_sweep
from ssni_jax.lifecycle import Stopper
from ssni_jax.purify import predictor
from tests.configs.toy import templates
from tests.kit import Linear

BARE = predictor(Linear(templates()))
FIELDS = {"images": Digits("calibration"), "n_images": 4, "batch_size": 4, "n_pictures": 0}
SMALL, LARGE, OTHER = Linf(0.1), Linf(0.3), Linf(0.2)


@pytree
class Refuses:
    """A loss that cannot be computed."""

    def __call__(self, trace, y):
        raise ValueError("no loss")


def pgd(threat):
    return Pgd(threat, 0.05, 2), Objective()


def transfer(**fields):
    evaluation = Evaluation("", BARE, **{**FIELDS, "attack": None, **fields})
    return Cell("bare", "transfer", evaluation, "Linf", 0.3, images_of="bare, pgd, Linf 0.3")


def sweep_of(*threats, more=()):
    return Sweep("toy", (*across({"bare": BARE}, {"pgd": pgd}, threats, **FIELDS), *more))


def run(sweep, workdir, runs, stopper=None, wanted=None):
    """What `ssni sweep` does with a sweep."""

    def write(placed):
        ids = sweep.cells[0].evaluation.ids
        write_sweep(workdir, sweep.name, "ssni sweep toy.py", ids, [cell.facts() for cell in placed])

    labels = wanted or [cell.label for cell in sweep.cells]
    run_cells(place_cells(sweep.cells, runs), labels, runs, stopper or Stopper("x"), write)
    return load_sweep(workdir)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A complete sweep of two radii and a transfer attack."""
    workdir = tmp_path_factory.mktemp("sweep")
    run(sweep_of(SMALL, LARGE, more=[transfer()]), workdir, workdir)
    return workdir


def test_every_cell_is_an_evaluation_in_a_directory_of_its_own(finished):
    cells = load_sweep(finished).cells
    assert [cell.label for cell in cells] == ["bare, pgd, Linf 0.1", "bare, pgd, Linf 0.3", "bare, transfer, Linf 0.3"]
    assert len({cell.path for cell in cells}) == 3 and all(len(cell.run.records) == 4 for cell in cells)
    for cell in cells:
        assert cell.path.name.endswith(read_json(cell.path / "experiment.json")["hash"])
    assert is_complete(finished) and "3 of 3 cells complete" in status(finished)


def test_a_transfer_cell_judges_the_images_of_the_cell_it_names(finished):
    _, attacked, transferred = load_sweep(finished).cells
    labels = [[record["draws"] for record in cell.run.records] for cell in (attacked, transferred)]
    assert labels[0] == labels[1]
    assert transferred.run.experiment["adversarial"]["path"] == str(attacked.path)


def test_sweeps_share_what_they_have_in_common_and_a_changed_cell_begins_anew(finished, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in finished.glob("*/units/*")}
    changed = across({"bare": BARE}, {"longer": lambda threat: (Pgd(threat, 0.05, 3), Objective())}, [LARGE], **FIELDS)
    renamed = across({"plain": BARE}, {"pgd": pgd}, [LARGE], **FIELDS)
    other = run(Sweep("other", (*sweep_of(SMALL).cells, *renamed, *changed)), tmp_path, finished)
    ours = [cell.path for cell in load_sweep(finished).cells]
    assert [cell.path in ours for cell in other.cells] == [True, True, False]
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_stopped_sweep_says_how_to_resume_and_some_cells_run_alone(tmp_path):
    sweep, stopper = sweep_of(OTHER, LARGE), Stopper("x")
    stopper.asked = 15
    with pytest.raises(SystemExit) as stop:
        run(sweep, tmp_path, tmp_path, stopper)
    assert stop.value.code == 75
    assert "not begun" in status(tmp_path) and "resume with: ssni sweep toy.py" in status(tmp_path)
    resumed = run(sweep, tmp_path, tmp_path, wanted=["bare, pgd, Linf 0.3"])
    assert [cell.missing for cell in resumed.cells] == [4, 0] and not is_complete(tmp_path)


def test_a_failing_cell_is_named(tmp_path, capsys):
    def broken(threat):
        return Pgd(threat, 0.05, 1), Objective(hold=False, loss=Refuses())

    sweep = Sweep("toy", across({"bare": BARE}, {"broken": broken}, [SMALL], **FIELDS))
    with pytest.raises(ValueError, match="no loss"):
        run(sweep, tmp_path, tmp_path)
    assert "cell 1 of 1 failed, bare, broken, Linf 0.1" in capsys.readouterr().err


def test_the_report_compares_the_cells(finished):
    main(["report", str(finished)])
    results, page = read_json(finished / "results.json")["sweep"], (finished / "report.html").read_text()
    assert [row["eps"] for row in results["rows"]] == [0.1, 0.3, 0.3]
    (worst,) = results["worst_cases"]
    assert worst["attacks"] == ["pgd", "transfer"] and worst["n"] == 4
    assert all(f"n {row['n']}" in page and row["attack"] in page for row in results["rows"])
    assert (finished / "heat_map.png").exists()


def test_a_sweep_is_checked_when_it_is_built():
    cells = sweep_of(LARGE).cells
    wrong = {
        "at least one cell": (),
        "Two cells are called": (*cells, *cells),
        "no earlier cell": (transfer(), *cells),
        "judges 5 images": (*cells, transfer(n_images=5)),
        "different sources": (*cells, *across({"bare": BARE}, {"x": pgd}, [LARGE], **FIELDS | {"order_seed": None})),
    }
    for sentence, given in wrong.items():
        with pytest.raises(ValueError, match=sentence):
            Sweep("toy", given)
    with pytest.raises(ValueError, match="budgets is empty"):
        across({"bare": BARE}, {"pgd": pgd}, [], **FIELDS)
    with pytest.raises(ValueError, match="No cell of toy contains 'fab'"):
        Sweep("toy", cells).only("fab")
    assert [cell.label for cell in Sweep("toy", (*cells, transfer())).only("Transfer")] == [
        "bare, pgd, Linf 0.3",
        "bare, transfer, Linf 0.3",
    ]


def test_the_same_evaluation_twice_is_refused(tmp_path):
    twice = across({"bare": BARE}, {"pgd": pgd, "again": pgd}, [SMALL], **FIELDS)
    with pytest.raises(ValueError, match="are the same evaluation"):
        place_cells(twice, tmp_path)
