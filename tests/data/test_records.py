"""tfrecord and array_record directories of the same photographs: the same rows, and every damage named."""

import sys
from pathlib import Path

import numpy as np
import pytest

from ssni_jax.data import Source, TfdsDirectory, take
from ssni_jax.data.decode import decoded
from ssni_jax.data.example import value_of
from ssni_jax.data.labels import check_labels
from ssni_jax.data.shards import masked_checksum
from tests.data.prepared import crc32c, example, masked, message, photographs, tfrecord, varint, write_tfds

IMAGES = photographs(7)
FORMATS = ("tfrecord", "array_record")
SHARD = "toy-test.tfrecord-00001-of-00003"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def both(tmp_path):
    shards = {"tfrecord": (3, 2, 2), "array_record": (4, 3)}
    return [write_tfds(tmp_path / name, IMAGES, name, shards[name]) for name in FORMATS]


def test_the_checksum_is_the_published_polynomials():
    assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C
    for content in (b"", b"a", IMAGES[0][0]):
        assert masked_checksum(content).to_bytes(4, "little") == masked(content)


def test_both_formats_hold_the_same_rows_without_tensorflow(both, monkeypatch):
    for name in ("tensorflow", "tensorflow_datasets"):
        monkeypatch.setitem(sys.modules, name, None)  # importing them raises
    first, second = (TfdsDirectory(path, size=20) for path in both)
    for i, (content, label) in enumerate(IMAGES):
        assert first.encoded(i)[:2] == second.encoded(i)[:2] == (content, label)
    rows, others = take(first, range(7)), take(second, range(7))
    assert isinstance(first, Source) and rows["image"].shape == (7, 20, 20, 3)
    for name in rows:
        np.testing.assert_array_equal(rows[name], others[name])
    whole = TfdsDirectory(both[0])[4]["image"] * 255
    np.testing.assert_array_equal(np.round(whole), np.asarray(decoded(IMAGES[4][0], "", 3)))


def test_the_fingerprint_is_that_of_the_rows_alone(both, tmp_path):
    prints = [TfdsDirectory(path, size=20).fingerprint for path in both]
    assert prints[0] == prints[1] == TfdsDirectory(both[0], size=8).fingerprint
    slices = [TfdsDirectory(path, f"test[{cut}]", size=20).fingerprint for path in both for cut in ("2:5", ":4", "-3:")]
    assert slices[:3] == slices[3:] and len({*prints, *slices}) == 4
    relabelled = [(content, (label + 1) % 3) for content, label in IMAGES]
    other = write_tfds(tmp_path / "other", relabelled, "tfrecord", (7,))
    assert TfdsDirectory(other, size=20).fingerprint != prints[0]


def test_a_slice_crosses_shards_and_labels_are_known_before_work(both):
    for path in both:
        source = TfdsDirectory(path, "test[2:6]", size=20)
        assert [source[i]["label"] for i in range(len(source))] == [2, 0, 1, 2] == source.known_labels().tolist()
        with pytest.raises(ValueError, match="labels go from 0 to 2, but the classifier has classes 0 to 1"):
            check_labels(source, range(4), 2)


def test_rows_are_read_once_to_check_them(both, monkeypatch):
    first = TfdsDirectory(both[0], size=20).fingerprint
    monkeypatch.setattr(TfdsDirectory, "encoded", lambda *_: pytest.fail("a row was read again"))
    assert TfdsDirectory(both[0], size=20).fingerprint == first
    file = Path(both[0]) / SHARD
    file.touch()
    with pytest.raises(pytest.fail.Exception):
        TfdsDirectory(both[0], size=20).fingerprint  # noqa: B018


def test_images_of_several_sizes_need_a_size(both):
    with pytest.raises(
        ValueError, match=r"image 1 of .* has 24 x 25 pixels and image 0 24 x 24; give the source a size"
    ):
        TfdsDirectory(both[0]).fingerprint  # noqa: B018


def offsets(lengths):
    return np.cumsum([0, *(16 + len(example(*image)) for image in lengths)])


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (3, rf"{SHARD}: record 0 at byte 0 has a length that does not match its checksum"),
        (9, rf"{SHARD}: record 0 at byte 0 has a length that does not match its checksum"),
        (200, rf"{SHARD}: record 0 at byte 0 does not match its checksum: copy the directory again"),
        (-30, rf"{SHARD}: record 1 at byte \d+ does not match its checksum"),
        (-1, rf"{SHARD}: record 1 at byte \d+ does not match its checksum"),
    ],
)
def test_a_flipped_byte_of_a_tfrecord_is_named(both, place, sentence):
    file = Path(both[0]) / SHARD
    content = bytearray(file.read_bytes())
    content[place] ^= 0x10
    file.write_bytes(content)
    source = TfdsDirectory(both[0], size=20)
    with pytest.raises(ValueError, match=sentence):
        source.fingerprint  # noqa: B018
    assert source[0]["label"] == 0  # another shard


def test_a_cut_tfrecord_is_named_with_the_record(both):
    file, second = Path(both[0]) / SHARD, int(offsets(IMAGES[3:5])[1])
    whole = file.read_bytes()
    cuts = {
        5: "record 0 at byte 0 is cut short",
        second - 1: "record 0 at byte 0 is cut short, the file ends 1 bytes early",
        second + 3: f"record 1 at byte {second} is cut short",
        second: "holds 1 whole records, but dataset_info.json says 2; the file is cut short",
        0: "holds 0 whole records",
    }
    for n, sentence in cuts.items():
        file.write_bytes(whole[:n])
        with pytest.raises(ValueError, match=rf"{SHARD}:? {sentence}.*: copy the directory again") as error:
            TfdsDirectory(both[0], size=20).fingerprint  # noqa: B018
        assert "other images" not in str(error.value)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=f"There is no .*{SHARD}"):
        TfdsDirectory(both[0], size=20).fingerprint  # noqa: B018


def test_rows_of_a_shard_that_should_be_empty_are_refused(tmp_path):
    path = write_tfds(tmp_path / "toy", IMAGES[:2], "tfrecord", (0, 2))
    assert TfdsDirectory(path, size=20).known_labels().tolist() == [0, 1]
    (tmp_path / "toy" / "toy-test.tfrecord-00000-of-00002").write_bytes(tfrecord([example(*IMAGES[2])]))
    with pytest.raises(ValueError, match=r"00000-of-00002 holds 1 whole records, but dataset_info\.json says 0"):
        TfdsDirectory(path, size=20).known_labels()


def test_a_damaged_array_record_is_named(both):
    file = Path(both[1]) / "toy-test.array_record-00001-of-00002"
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[200] ^= 0x10
    damages = {bytes(flipped): "record 0 cannot be read, .*hash mismatch", whole[:-10]: "holds 0 whole records"}
    for content, sentence in damages.items():
        file.write_bytes(content)
        with pytest.raises(ValueError, match=f"{file.name}:? {sentence}.*: copy the directory again") as error:
            TfdsDirectory(both[1], size=20).fingerprint  # noqa: B018
        assert "\n" not in str(error.value)


def test_an_example_is_read_as_protobuf_writes_it():
    assert (
        value_of(example(b"\x00\xff", -1), "label") == -1 and value_of(example(b"\x00\xff", 7), "image") == b"\x00\xff"
    )
    unpacked = message(3, varint(1 << 3) + varint(300))
    assert value_of(message(1, message(1, message(1, b"label") + message(2, unpacked))), "label") == 300
    fixed = varint(2 << 3 | 5) + b"1234" + varint(3 << 3 | 1) + b"12345678"
    assert value_of(fixed + example(b"", 5), "label") == 5


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        (example(b"abc", 1)[:-3], "the message is cut short"),
        (message(1, b""), "there is no feature 'label'"),
        (b"\xff" * 12, "an integer of more than 64 bits"),
        (b"\x0b\x00", "a field of unknown type 3"),
        (message(1, message(1, message(1, b"label") + message(2, message(3, b"")))), "has 0 values where one"),
    ],
)
def test_a_record_that_is_no_example_says_why(tmp_path, record, sentence):
    with pytest.raises(ValueError, match=sentence):
        value_of(record, "label")
    path = write_tfds(tmp_path / "toy", IMAGES[:1], "tfrecord", (1,))
    (tmp_path / "toy" / "toy-test.tfrecord-00000-of-00001").write_bytes(tfrecord([record]))
    with pytest.raises(
        ValueError, match=r"record 0 is no example of an image and a label \(.*\): copy the directory again"
    ):
        TfdsDirectory(path)[0]


@pytest.mark.slow
@pytest.mark.parametrize("file_format", FORMATS)
def test_tfds_itself_reads_the_same_rows(tmp_path, file_format):
    tfds = pytest.importorskip("tensorflow_datasets")
    path = write_tfds(tmp_path / "toy", IMAGES, file_format, (4, 3))
    builder = tfds.builder_from_directory(path)
    assert builder.info.splits["test"].num_examples == 7
    if file_format == "array_record":
        for i, row in enumerate(builder.as_data_source("test")):
            np.testing.assert_array_equal(row["image"], np.round(TfdsDirectory(path)[i]["image"] * 255))
            assert row["label"] == TfdsDirectory(path)[i]["label"]
