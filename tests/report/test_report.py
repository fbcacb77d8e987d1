"""The report is one file that fetches nothing and holds the numbers of the table."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest
from matplotlib.figure import Figure

from ssni_jax.evals.statistics import interval, paired_difference, wilson
from ssni_jax.files.atomic import write_json
from ssni_jax.journal.certification import load_certified
from ssni_jax.journal.certified_rows import summarise_certified
from ssni_jax.journal.evaluation import load_evaluated
from ssni_jax.journal.formats import DASH, SIGMA, number, percent, percent_interval, points, share
from ssni_jax.journal.judgements import JUDGEMENTS
from ssni_jax.journal.rows import summarise
from ssni_jax.journal.seeds import SeedRuns
from ssni_jax.journal.status import load_runs
from ssni_jax.journal.workdir import open_workdir, write_run
from ssni_jax.report.page import write_report
from ssni_jax.report.sections.evaluation import compare
from tests.workdirs import (
    attacked_record,
    certified_record,
    certified_records,
    certified_workdir,
    clean_record,
    evaluated_workdir,
    identity,
    random_workdir,
    trained_workdir,
)


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    """Three evaluations with their report, which tests read and never change."""
    folder = tmp_path_factory.mktemp("evaluations")
    for kind in ("diffpure", "ssni-n", "undefended"):
        random_workdir(folder / kind, kind, n=24)
    write_report(folder)
    return folder


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """One evaluation under three seeds, the last of which breaks three images, and another one, with their report."""
    folder = tmp_path_factory.mktemp("seeds")
    for seed, label in enumerate((3, 3, 8)):
        answers = [3, label, label, label]
        records = [attacked_record(id, draws=[answers[id]], iterates=[3, answers[id]]) for id in range(4)]
        evaluated_workdir(folder / f"run-{seed}", "ssni-n", records, seed=seed)
    evaluated_workdir(folder / "other", "diffpure", [attacked_record(id) for id in range(4)])
    write_report(folder)
    return folder


class Links(HTMLParser):
    """Everything a browser would fetch, and whether tags nest."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self):
        super().__init__()
        self.fetched, self.open = [], []

    def handle_starttag(self, tag, attrs):
        fetching = ("src", "href", "xlink:href", "data", "srcset", "poster")
        self.fetched += [value for name, value in attrs if name in fetching]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parse(text):
    links = Links()
    links.feed(text)
    return links


@pytest.fixture(autouse=True)
def empty_figures(monkeypatch):
    """Pages of a single test have empty figures: drawing them takes most of its time. The pages above are drawn."""

    def save(figure, file, *, format, **options):
        file.write("<svg></svg>" if format == "svg" else b"")

    monkeypatch.setattr(Figure, "savefig", save)


def test_the_page_is_one_file_that_fetches_nothing(parent):
    text = (parent / "report.html").read_text()
    links = parse(text)
    assert links.open == []
    assert links.fetched
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links.fetched)
    assert not re.search(r"@import|url\((?!#)|<script|<link", text)


def test_the_page_holds_every_number_of_the_table(parent):
    text = (parent / "report.html").read_text()
    for run in load_runs(parent).evaluations:
        row = summarise(run.name, run.records)
        for name in ("clean", "robust", "robust_vote", "robust_worst"):
            assert f"<td>{percent(row[name])}<small>{percent_interval(row[name + '_ci'])}</small></td>" in text
        assert f"<td>{number(row['nfe_per_image'])}</td><td>{number(row['seconds_per_image'])}</td>" in text
        assert run.run["command"] in text
        assert run.experiment["hash"] in text
    assert "&#34;eps&#34;: 0.03" in text


def test_a_page_of_several_draws_shows_one_draw_vote_and_worst_with_their_number(parent):
    text = (parent / "report.html").read_text()
    head = text[text.index("<thead>") : text.index("</thead>")]
    assert [head.count(f"<small>{name}</small>") for name in ("one draw", "vote of draws", "worst of draws")] == [1] * 3
    assert "<td>4</td><td>24</td>" in text
    assert "<td>1</td><td>24</td>" in text
    assert "Curves: accuracy against the number of submissions" in text
    assert "Curves: how the attacks converged" in text


def test_a_page_of_single_draws_has_neither_vote_nor_submissions(tmp_path):
    text = write_report(evaluated_workdir(tmp_path, "x", [attacked_record(0), attacked_record(1)])).read_text()
    assert "vote of draws" not in text
    assert "number of submissions" not in text
    assert "Curves: how the attacks converged" in text


def test_a_page_shows_the_worst_iterate_where_iterates_were_judged(seeds, parent):
    text = (seeds / "report.html").read_text()
    ends = percent_interval(wilson(3, 4))
    assert f"robust, every judged iterate right</th><td>{DASH}</td><td>75.0 %<small>{ends}</small><small>seeds" in text
    assert "ssni-n, judged" in text and "Marks: share" in text
    assert "judged iterate" not in (parent / "report.html").read_text()


def test_an_evaluation_without_an_attack_makes_a_page_of_clean_accuracy(tmp_path):
    path = evaluated_workdir(tmp_path / "run", "x", [clean_record(id) for id in range(3)])
    text = write_report(path).read_text()
    assert parse(text).open == []
    assert f"<td>{percent(1.0)}<small>" in text
    assert "robust" not in text[text.index("<thead>") : text.index("<h2>To repeat this</h2>")]
    assert "0.0 %" not in re.sub(r"<svg.*?</svg>|100\.0 %", "", text, flags=re.S)
    assert "after an attack" not in text
    assert "how the attacks converged" not in text


def test_attacked_and_clean_evaluations_stand_on_one_page(tmp_path):
    evaluated_workdir(tmp_path / "a", "a", [attacked_record(id) for id in range(3)])
    evaluated_workdir(tmp_path / "b", "b", [clean_record(id) for id in range(3)])
    text = write_report(tmp_path).read_text()
    assert parse(text).open == []
    assert f"<td>{DASH}</td><td>{DASH}</td><td>{DASH}</td><td>3</td>" in text  # no paired test of robust accuracy


def test_defences_are_compared_with_the_first_of_fixed_level(parent):
    text = (parent / "report.html").read_text()
    ours, theirs = load_evaluated(parent / "ssni-n"), load_evaluated(parent / "diffpure")
    test = paired_difference(*(JUDGEMENTS["robust"].scores(run.records) for run in (ours, theirs)))
    assert "against <b>diffpure</b>" in text
    assert f"<td>{points(test.difference)}<small>" in text


def test_runs_of_several_seeds_share_a_row_with_their_own_below_it(seeds):
    text = (seeds / "report.html").read_text()
    assert parse(text).open == []
    shared = f"<td>75.0 %<small>{percent_interval(wilson(3, 4))}</small><small>seeds 25.0{DASH}100.0 %</small></td>"
    assert "ssni-n<small>mean of 3 seeds</small></th><td>100.0 %" in text and shared in text
    places = [text.index(f"seed {seed}<small>ssni-n (run-{seed})</small>") for seed in range(3)]
    assert text.index("mean of 3 seeds") < places[0] and places == sorted(places)
    numbers = json.loads((seeds / "results.json").read_text())
    assert len(numbers["rows"]) == 4 and [row["seeds"] for row in numbers["over_seeds"]] == [[0, 1, 2]]
    assert (
        numbers["over_seeds"][0]["robust_seeds"]
        == numbers["over_seeds"][0]["robust_worst_iterate_seeds"]
        == [0.25, 1.0]
    )


def test_only_common_images_are_paired(workdir):
    ours, theirs = (load_evaluated(workdir(kind, n=24, recorded=n)) for kind, n in (("ssni-n", 10), ("diffpure", 24)))
    few, all, first = (SeedRuns("x", [run]) for run in (ours, theirs, theirs._replace(records=theirs.records[:10])))
    assert compare(few, all)["n"] == compare(all, few)["n"] == 10
    assert compare(few, all)["clean"] == compare(few, first)["clean"]


def test_the_order_is_undefended_fixed_adaptive(parent):
    rows = json.loads((parent / "results.json").read_text())["rows"]
    assert [row["defense"] for row in rows] == ["undefended", "diffpure", "ssni-n"]


def test_an_incomplete_run_says_so_at_the_top(workdir):
    text = write_report(workdir("ssni-n", n=24, recorded=9)).read_text()
    assert "This report is incomplete" in text[: text.index("Results")]
    assert "9 of 24 images complete" in text
    assert f"missing 9{DASH}23" in text
    assert "report is incomplete" not in write_report(workdir("diffpure")).read_text()


def test_the_attack_and_its_gradient_are_named_once_when_equal(parent):
    text = (parent / "report.html").read_text()
    attack = "<code>Pgd(threat=Linf(eps=0.03), n_steps=20)</code> of <code>Objective(n_draws=2)</code>"
    assert text.count(f"{attack}, gradient: surrogate of 5 steps") == 1
    assert "Attack: " in text


def test_the_sanity_of_an_attack_is_shown_where_it_was_checked(workdir):
    path = workdir("diffpure")
    assert "Sanity of the attack" not in write_report(path).read_text()
    check = {"name": "larger eps", "verdict": "fail", "sentence": "It rises <b>.", "numbers": {}}
    write_json(path / "sanity.json", {"n_images": 16, "checks": [check]})
    page = write_report(path).read_text()
    assert "Sanity of the attack" in page and "It rises &lt;b&gt;." in page and "on 16 images" in page
    parse(page)


def test_one_workdir_makes_a_report_without_comparisons(workdir):
    text = write_report(workdir("ssni-n", n=12, side=32, channels=3)).read_text()
    assert "Differences on the same images" not in text
    assert "Score norm and noise level" in text


def test_a_run_without_any_record_still_makes_a_page(workdir):
    text = write_report(workdir("ssni-n", n=12, recorded=0)).read_text()
    assert "0 of 12 images complete" in text
    assert f"ssni-n</th><td>{DASH}</td>" in text


def test_an_image_of_which_everything_is_nan_is_reported(tmp_path):
    nan = float("nan")
    broken = {
        f"{kind}_{name}": value for kind in ("clean", "adversarial") for name, value in (("t", [nan]), ("norm", nan))
    }
    broken |= {"linf": nan, "l2": nan, "attack_loss": nan, "clean_label": -1, "draws": [-1], "answers": [-1]}
    records = [attacked_record(0, **broken), attacked_record(1), attacked_record(2, clean_t=[0.02])]
    text = write_report(evaluated_workdir(tmp_path, "ssni-n", records)).read_text()
    assert "ssni-n had NaN logits on 1 clean and 1 adversarial images; these predictions count as wrong" in text
    cell = f'<td>66.7 %<small>{percent_interval(interval(2, 3))}</small><small class="wrong">1 invalid</small></td>'
    assert text.count(cell) == 2 + 4  # clean and one draw, and of further numbers those of the same draw and answer
    assert "<td>0.035</td>" in text


def test_text_from_a_config_cannot_become_markup(tmp_path):
    path = tmp_path / "run"
    open_workdir(path, identity(note="<script>alert(1)</script>"))
    write_run(path, [0], "ssni evaluate '<b>'", kind="evaluation", defense="<i>x</i>")
    text = write_report(path).read_text()
    assert "<script>" not in text
    assert "<i>x</i>" not in text
    assert parse(text).open == []


METHODS = ("consistency", "one-step", "plain")


@pytest.fixture(scope="module")
def certified(tmp_path_factory):
    """The report on three methods, the first of which is not finished."""
    parent = tmp_path_factory.mktemp("runs")
    for i, name in enumerate(METHODS):
        records = certified_records(strength=2 - i, seconds=0.006 / (i + 1))
        certified_workdir(parent / name, name, records, planned=40 if i else 43)
    return write_report(parent)


def test_the_page_of_certifications_fetches_nothing_and_holds_the_tables(certified):
    text = certified.read_text()
    links = parse(text)
    assert links.open == []
    assert all(link.startswith("#") for link in links.fetched)
    assert not re.search(r"@import|url\((?!#)|<script|<link", text)
    for name in METHODS:
        records = load_certified(certified.parent / name).records
        for best in summarise_certified(name, records)["envelope"]:
            cell = f"<td>{share(best['accuracy'])}<small>{percent_interval(best['ci'])}</small>"
            assert f"{cell}<small>{SIGMA} = {best['sigma']:g}</small></td>" in text
    assert "chosen afterwards" in text
    assert "Perceptual (lpips-squeeze)" in text
    assert "ssni_jax.networks.Perceptual (" not in text
    assert "Robustness report" in text


def test_certifications_leave_numbers_tables_and_a_picture_beside_the_page(certified):
    stored = json.loads((certified.parent / "results.json").read_text())
    assert stored["rows"] == []
    assert [method["method"] for method in stored["certified"]] == list(METHODS)
    assert len({tuple(method["radii"]) for method in stored["certified"]}) == 1
    assert (certified.parent / "pareto.png").read_bytes().startswith(b"\x89PNG")
    tables = (certified.parent / "certified.md").read_text()
    assert "optimistic" in tables
    assert tables.count("| one-step |") == 1 + 3 + 3  # best sigma, each sigma, cost at each sigma


def test_an_unfinished_certification_says_what_is_missing(certified):
    text = certified.read_text()
    assert f"consistency: 40 of 43 images complete, missing 40{DASH}42" in text
    assert "ssni certify configs/x.py --workdir runs/consistency" in text[: text.index("Certified accuracy")]


@pytest.mark.slow
def test_a_nan_in_a_certification_is_reported(tmp_path):
    records = [certified_record(0), certified_record(1, n_invalid=2, prediction=-1, radius=0.0)]
    text = write_report(certified_workdir(tmp_path / "run", "x", records, planned=2)).read_text()
    assert f"1 certificate (one image at one {SIGMA}) had NaN logits and counts as wrong" in text


def test_a_certification_without_any_record_still_makes_a_page(tmp_path):
    text = write_report(certified_workdir(tmp_path / "run", "x", [], planned=2)).read_text()
    assert "0 of 2 images complete" in text
    assert parse(text).open == []


def test_one_page_shows_whatever_kinds_there_are(workdir):
    parent = workdir("diffpure", n=4).parent
    certified_workdir(parent / "plain", "plain")
    trained_workdir(parent / "network")
    text = write_report(parent).read_text()
    headings = [text.index(f"<h2>{name}</h2>") for name in ("Results", "Certified accuracy", "Training")]
    assert headings == sorted(headings)
    assert text.count("<h2>To repeat this</h2>") == text.count("<h2>How the numbers are made</h2>") == 1
    assert parse(text).open == []
    assert json.loads((parent / "results.json").read_text())["rows"][0]["defense"] == "diffpure"


def test_an_evaluation_has_no_other_section(workdir):
    path = workdir("diffpure", n=4)
    text = write_report(path).read_text()
    assert "Certified accuracy" not in text
    assert "<h2>Training</h2>" not in text
    assert sorted(file.name for file in path.glob("*.md")) == []


def test_a_training_shows_its_curves_and_its_newest_pictures_inside_the_page(tmp_path):
    text = write_report(trained_workdir(tmp_path / "run")).read_text()
    links = parse(text)
    assert links.open == []
    assert [link for link in links.fetched if link.startswith("data:image/png;base64,")] == [
        "data:image/png;base64," + base64.b64encode(b"denoised 1000").decode(),
        "data:image/png;base64," + base64.b64encode(b"samples 500").decode(),
    ]
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links.fetched)
    assert "denoised, step 1000" in text
    assert "Curve: loss over steps" in text
    assert "step 300 of 2000 trained" in text
    assert "Training report" in text


def test_a_place_without_runs_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no evaluation, certification or training"):
        write_report(tmp_path)
