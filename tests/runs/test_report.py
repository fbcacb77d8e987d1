"""The report is one file that fetches nothing and holds the numbers of the table."""

import json
import re
from html.parser import HTMLParser

import pytest

from ssni_jax.evals.statistics import paired_difference
from ssni_jax.runs.formats import DASH, number, percent, percent_interval, points
from ssni_jax.runs.records import RecordWriter
from ssni_jax.runs.report import compare, write_report
from ssni_jax.runs.summary import robust_scores, summarise
from ssni_jax.runs.workdir import load_all, load_results, open_workdir, write_run


@pytest.fixture
def parent(workdir):
    for kind in ("diffpure", "ssni-n", "undefended"):
        path = workdir(kind, n=24)
    return path.parent


class Links(HTMLParser):
    """Everything a browser would fetch, and whether tags nest."""

    VOID = ("meta", "img", "link", "br")

    def __init__(self):
        super().__init__()
        self.found, self.open = [], []

    def handle_starttag(self, tag, attrs):
        fetching = ("src", "href", "xlink:href", "data", "srcset", "poster")
        self.found += [value for name, value in attrs if name in fetching]
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


def test_the_page_is_one_file_that_fetches_nothing(parent):
    text = write_report(parent).read_text()
    links = parse(text)
    assert links.open == []
    assert links.found
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links.found)
    assert not re.search(r"@import|url\((?!#)|<script|<link", text)


def test_the_page_holds_every_number_of_the_table(parent):
    text = write_report(parent).read_text()
    for results in load_all(parent):
        row = summarise(results.defense, results.records)
        for name in ("clean", "robust"):
            assert f"<td>{percent(row[name])}<small>{percent_interval(row[name + '_ci'])}</small></td>" in text
        assert f"<td>{number(row['nfe_per_image'])}</td><td>{number(row['seconds_per_image'])}</td>" in text
        assert results.run["command"] in text
        assert results.run["config_hash"] in text
    assert "&#34;eps&#34;: 0.03" in text


def test_defences_are_compared_with_the_first_of_fixed_level(parent):
    text = write_report(parent).read_text()
    ours, theirs = load_results(parent / "ssni-n"), load_results(parent / "diffpure")
    test = paired_difference(robust_scores(ours.records), robust_scores(theirs.records))
    assert "against <b>diffpure</b>" in text
    assert f"<td>{points(test.difference)}<small>" in text


def test_only_common_images_are_paired(workdir):
    ours, theirs = load_results(workdir("ssni-n", n=24, done=10)), load_results(workdir("diffpure", n=24))
    assert compare(ours, theirs)["n"] == compare(theirs, ours)["n"] == 10
    assert compare(ours, theirs)["clean"] == compare(ours, theirs._replace(records=theirs.records[:10]))["clean"]


def test_the_order_is_undefended_fixed_adaptive(parent):
    write_report(parent)
    rows = json.loads((parent / "results.json").read_text())["rows"]
    assert [row["defense"] for row in rows] == ["undefended", "diffpure", "ssni-n"]


def test_an_incomplete_run_says_so_at_the_top(workdir):
    text = write_report(workdir("ssni-n", n=24, done=9)).read_text()
    assert "This report is incomplete" in text[: text.index("Results")]
    assert "9 of 24 images done" in text
    assert f"missing 9{DASH}23" in text
    assert "report is incomplete" not in write_report(workdir("diffpure")).read_text()


def test_the_attack_and_its_gradient_are_named_once_when_equal(parent):
    text = write_report(parent).read_text()
    assert text.count("<code>Pgd(eps=0.03, n_steps=20)</code>, gradient: surrogate of 5 steps") == 1
    assert "Attack: " in text


def test_one_workdir_makes_a_report_without_comparisons(workdir):
    text = write_report(workdir("ssni-n", n=12, side=32, channels=3)).read_text()
    assert "Differences on the same images" not in text
    assert "Score norm and noise level" in text


def test_a_run_without_any_record_still_makes_a_page(workdir):
    text = write_report(workdir("ssni-n", n=12, done=0)).read_text()
    assert "0 of 12 images done" in text
    assert f"<td>{DASH}<small>[0.0, 100.0]</small></td>" in text


def test_an_image_of_which_everything_is_nan_is_reported(workdir, record):
    path, nan = workdir("ssni-n", n=3, done=0), float("nan")
    broken = {
        "clean_t": [nan],
        "adversarial_t": [nan],
        "clean_norm": nan,
        "adversarial_norm": nan,
        "linf": nan,
        "l2": nan,
    }
    with RecordWriter(path) as writer:
        writer.append([record(0, valid=False, **broken), record(1), record(2, clean_t=[0.02])])
    text = write_report(path).read_text()
    assert "1 image of ssni-n gave NaN and counts as wrong" in text
    assert f"<td>{percent(2 / 3)}<small>" in text
    assert "<td>0.035</td>" in text


def test_text_from_a_config_cannot_become_markup(tmp_path):
    path = open_workdir(tmp_path / "run", {"note": "<script>alert(1)</script>"})
    write_run(path, [0], "ssni evaluate '<b>'", defense="<i>x</i>")
    text = write_report(path).read_text()
    assert "<script>" not in text
    assert "<i>x</i>" not in text
    assert parse(text).open == []
