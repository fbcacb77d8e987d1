"""Parquet files as the Hugging Face hub has them; skipped without pyarrow."""

import json
import sys

import numpy as np
import pytest

from ssni_jax.data import Parquet, Source, TfdsDirectory, take
from tests.data.prepared import photographs, write_tfds

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
IMAGES = photographs(7)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def written(root, images=IMAGES, lengths=(4, 3), classes=3, column="image"):
    """Two files in row groups of two rows, with the hub's description of the columns."""
    (root / "data").mkdir(parents=True)
    features = {"label": {"names": [f"class {i}" for i in range(classes)], "_type": "ClassLabel"}}
    described = {b"huggingface": json.dumps({"info": {"features": features}}).encode()} if classes else {}
    for i, end in enumerate(np.cumsum(lengths)):
        part = images[end - lengths[i] : end]
        structs = [{"bytes": content, "path": "a.jpg"} for content, _ in part]
        table = arrow.table({column: structs, "label": [label for _, label in part]})
        file = root / "data" / f"validation-{i:05}-of-{len(lengths):05}-0123abcd.parquet"
        parquet.write_table(table.replace_schema_metadata(described), file, row_group_size=2, write_page_checksum=True)
    return str(root)


def test_rows_and_fingerprint_are_those_of_the_prepared_data_set(tmp_path):
    path = written(tmp_path / "hub")
    source, prepared = (
        Parquet(path, size=20),
        TfdsDirectory(write_tfds(tmp_path / "t", IMAGES, "tfrecord", (7,)), size=20),
    )
    assert isinstance(source, Source) and (len(source), source.n_classes, source.image_shape) == (7, 3, (20, 20, 3))
    ids = [6, 0, 3, 4]
    for name, rows in take(source, ids).items():
        np.testing.assert_array_equal(rows, take(prepared, ids)[name])
    assert source.fingerprint == prepared.fingerprint
    assert source.known_labels().tolist() == [label for _, label in IMAGES]


def test_without_a_description_the_labels_say_how_many_classes_there_are(tmp_path):
    source = Parquet(written(tmp_path, classes=0, column="img"), image="img", size=20)
    assert source.n_classes == 3 and source[6]["label"] == 0
    with pytest.raises(ValueError, match="has no column 'image': choose one of img, label"):
        Parquet(str(tmp_path), size=20)[0]
    with pytest.raises(ValueError, match="column 'label' holds no image files"):
        Parquet(str(tmp_path), image="label", size=20)[0]


def test_missing_files_and_splits_are_named(tmp_path):
    path = written(tmp_path)
    with pytest.raises(ValueError, match="has no split 'test': choose one of validation"):
        len(Parquet(path, "test"))
    (tmp_path / "data" / "validation-00000-of-00002-0123abcd.parquet").unlink()
    with pytest.raises(ValueError, match="file 0 of 2 is missing in validation: download it again"):
        len(Parquet(path))
    with pytest.raises(FileNotFoundError, match="holds no parquet file"):
        len(Parquet(str(tmp_path / "cache")))


def test_a_damaged_file_is_named(tmp_path):
    path, file = written(tmp_path), tmp_path / "data" / "validation-00001-of-00002-0123abcd.parquet"
    content = bytearray(file.read_bytes())
    content[500] ^= 0x10
    file.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{file.name}: row group 0 cannot be read .*: download it again"):
        Parquet(path, size=20).fingerprint  # noqa: B018
    other = tmp_path / "cut"
    path, file = written(other), other / "data" / "validation-00001-of-00002-0123abcd.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=rf"{file.name} is no whole parquet file"):
        len(Parquet(path))


def test_a_missing_pyarrow_is_named_with_the_extra(tmp_path, monkeypatch):
    path = written(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ValueError, match=r"needs pyarrow: pip install 'ssni_jax\[parquet\]'"):
        len(Parquet(path))
