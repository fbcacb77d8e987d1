"""The Markdown tables are tables, whatever methods are called."""

from ssni_jax.journal.certified_rows import summarise_certified
from ssni_jax.journal.formats import DASH, SIGMA
from ssni_jax.report.markdown import markdown
from tests.workdirs import certified_records


def cells(line):
    return line.replace("\\|", "").strip("|").split("|")


def test_every_row_has_as_many_cells_as_its_head():
    records, radii = certified_records(), [0.0, 0.5, 1.0]
    methods = [summarise_certified("a | b", records, radii), summarise_certified("c", records[:70], radii)]
    blocks = [block.splitlines() for block in markdown("runs", methods, "LPIPS").split("\n\n") if block[0] == "|"]
    assert len(blocks) == 1 + 3 + 1
    for block in blocks:
        assert len({len(cells(line)) for line in block}) == 1


def test_a_share_stands_with_its_interval_and_its_sigma():
    method = summarise_certified("x", certified_records())
    best = method["envelope"][0]
    low, high = (f"{100 * end:.1f}" for end in best["ci"])
    text = markdown("runs", [method])
    assert f"{100 * best['accuracy']:.1f} ({low}{DASH}{high}) {SIGMA} {best['sigma']:g}" in text
    assert "optimistic" in text


def test_methods_with_fewer_images_at_some_sigma_say_so():
    text = markdown("runs", [summarise_certified("x", certified_records()[:70])])
    assert f"30{DASH}40 |" in text
