"""Slices of splits in the syntax of tensorflow-datasets, and with its rounding."""

import random

import pytest

from ssni_jax.data.splits import Slice, split_slice

SIZES = {"train": 1000, "test": 7, "val-2": 33}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("test", ("test", 0, 7)),
        ("train[:500]", ("train", 0, 500)),
        ("train[-500:]", ("train", 500, 1000)),
        ("train[10%:]", ("train", 100, 1000)),
        ("train[10%:20%]", ("train", 100, 200)),
        ("train[-10%:-5%]", ("train", 900, 950)),
        ("train[1_0:2_0]", ("train", 10, 20)),
        ("val-2[:50%]", ("val-2", 0, 16)),
        ("test[50%:]", ("test", 4, 7)),
        (" test[ 1 : 100% ] ", None),
        ("train[0.1%:0.25%]", ("train", 1, 2)),
    ],
)
def test_a_slice_is_the_rows_that_tfds_reads(text, expected):
    """16.5 rounds to 16 and 3.5 to 4, as Python rounds."""
    if expected is None:
        with pytest.raises(ValueError, match="both ends in rows or both in percent"):
            split_slice(text, SIZES, "x")
    else:
        assert split_slice(text, SIZES, "x") == Slice(*expected)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("train+test", "is a sum, and one split is read at a time: give one of NAME"),
        ("tset", "x has no split 'tset': choose one of train, test, val-2"),
        ("test(3)", r"is not understood: give NAME, NAME\[:5000\]"),
        ("test[3]", "is not understood"),
        ("test[:]", "slice without ends"),
        ("test[a:]", "is not understood"),
        ("test[:1:2]", "is not understood"),
        ("test[:8]", "goes beyond the 7 rows"),
        ("test[-8:]", "goes beyond the 7 rows"),
        ("test[:150%]", "goes beyond the 7 rows"),
        ("test[3:3]", "holds no rows of 7"),
        ("test[:0.5]", "counts rows in fractions"),
    ],
)
def test_another_form_is_refused_with_the_forms_that_there_are(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        split_slice(text, SIZES, "x")


@pytest.mark.slow
def test_tfds_itself_takes_the_same_rows():
    splits = pytest.importorskip("tensorflow_datasets.core.splits")
    rng = random.Random(0)
    for _ in range(500):
        n, unit = rng.randrange(1, 2000), rng.choice(("", "%"))
        most = 100 if unit else n
        low, high = (rng.choice(("", f"{rng.randrange(-most, most + 1)}{unit}")) for _ in range(2))
        text = f"train[{low}:{high}]" if low or high else "train"
        info = {"train": splits.SplitInfo("train", [n], 0)}
        (rows,) = splits.AbstractSplit.from_spec(text).to_absolute(info)
        start, stop = rows.from_ or 0, n if rows.to is None else rows.to
        if start < stop:
            assert split_slice(text, {"train": n}, "x") == ("train", start, stop), text
        else:
            with pytest.raises(ValueError, match="holds no rows"):
                split_slice(text, {"train": n}, "x")
