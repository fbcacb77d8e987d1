from pathlib import Path

import numpy as np
import pytest

from ssni_jax.data import InMemory, Npz, Source, take


@pytest.fixture
def file(tmp_path):
    def save(name="a.npz", **arrays):
        np.savez(tmp_path / name, **arrays)
        return str(tmp_path / name)

    return save


PIXELS = np.arange(5 * 4 * 4 * 3, dtype=np.uint8).reshape(5, 4, 4, 3)
LABELS = np.array([3, 0, 1, 2, 0], np.int64)


def test_bytes_become_floats_in_the_unit_range(file):
    source = Npz(file(images=PIXELS, labels=LABELS))
    assert isinstance(source, Source) and isinstance(source, InMemory)
    assert len(source) == 5 and source.n_classes == 4 and source.image_shape == (4, 4, 3)
    np.testing.assert_allclose(source[2]["image"], PIXELS[2] / 255.0, rtol=1e-6)
    np.testing.assert_array_equal(take(source, [4, 2])["label"], [0, 1])


def test_a_range_and_other_names_can_be_chosen(file):
    source = Npz(file(x=PIXELS / 255.0, y=LABELS), images_key="x", labels_key="y", start=1, stop=3)
    assert len(source) == 2 and source[0]["label"] == 0 and source[0]["id"] == 0
    np.testing.assert_allclose(source[0]["image"], PIXELS[1] / 255.0, rtol=1e-6)


def test_images_without_labels_are_labelled_minus_one(file):
    source = Npz(file(images=PIXELS))
    assert source[0]["label"] == -1 and source.n_classes == 0


def test_the_fingerprint_is_of_the_content(file):
    one, other = file("a.npz", images=PIXELS, labels=LABELS), file("b.npz", images=PIXELS, labels=LABELS)
    assert Npz(one).fingerprint == Npz(other).fingerprint
    assert Npz(one, stop=4).fingerprint != Npz(one).fingerprint
    assert Npz(file("c.npz", images=PIXELS, labels=LABELS[::-1])).fingerprint != Npz(one).fingerprint


@pytest.mark.parametrize(
    ("arrays", "options", "sentence"),
    [
        ({"x": PIXELS}, {}, "has no array 'images'; it has x"),
        ({"images": PIXELS[0]}, {}, r"shape \(4, 4, 3\); give \[N, H, W, C\]"),
        ({"images": PIXELS, "labels": LABELS[:3]}, {}, "5 images but labels of shape"),
        ({"images": PIXELS, "labels": LABELS + 0.5}, {}, r"holds the label 3\.5 in row 0; give whole numbers"),
        ({"images": PIXELS, "labels": np.eye(5)}, {}, r"one-hot labels of shape \(5, 5\); store their argmax"),
        ({"images": PIXELS, "labels": LABELS * np.nan}, {}, "holds the label nan in row 0"),
        ({"images": PIXELS, "labels": LABELS.astype(str)}, {}, "labels of type <U"),
        ({"images": PIXELS, "labels": LABELS - 2}, {}, "holds the label -2 in row 1"),
        ({"images": PIXELS.astype(object)}, {}, "'images' cannot be read .* save it as plain numbers"),
        ({"images": np.moveaxis(PIXELS, 3, 1)}, {}, "give 1 or 3 channels; move the channels last"),
        ({"images": PIXELS}, {"start": 9}, "no rows from 9"),
        ({"images": PIXELS * 1.0}, {}, "scale them"),
        ({"images": PIXELS * np.nan}, {}, "image 0 has NaN"),
    ],
)
def test_a_file_that_does_not_fit_is_named_in_one_sentence(file, arrays, options, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        len(Npz(file(**arrays), **options))
    assert "\n" not in str(error.value)


def test_labels_of_one_column_or_whole_floats_are_labels(file):
    for i, labels in enumerate((LABELS[:, None], LABELS.astype(np.float32), LABELS.astype(np.uint8))):
        np.testing.assert_array_equal(Npz(file(f"{i}.npz", images=PIXELS, labels=labels)).labels, LABELS)


def test_a_flipped_bit_is_found(file):
    path = Path(file(images=PIXELS, labels=LABELS))
    content = bytearray(path.read_bytes())
    content[content.index(PIXELS.tobytes()[:64]) + 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"array 'images' cannot be read .*CRC"):
        len(Npz(str(path)))


def test_a_broken_file_is_named(tmp_path):
    for content in (b"", b"PK\x03\x04 cut short", b"nothing of the kind"):
        path = tmp_path / f"{len(content)}.npz"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"is not a whole \.npz file"):
            len(Npz(str(path)))
    with pytest.raises(FileNotFoundError):
        len(Npz(str(tmp_path / "absent.npz")))


def test_a_pattern_stands_for_its_files_in_the_order_of_their_names(file, tmp_path):
    file("part_1.npz", images=PIXELS[3:], labels=LABELS[3:])
    file("part_0.npz", images=PIXELS[:3], labels=LABELS[:3])
    joined = Npz(str(tmp_path / "part_*.npz"))
    np.testing.assert_array_equal(joined.images, PIXELS)
    np.testing.assert_array_equal(joined.labels, LABELS)
    assert joined.fingerprint == Npz(file("whole.npz", images=PIXELS, labels=LABELS)).fingerprint


def test_files_of_different_shapes_are_not_joined(file, tmp_path):
    file("part_0.npz", images=PIXELS)
    file("part_1.npz", images=PIXELS[:, :2])
    with pytest.raises(ValueError, match="different shapes"):
        len(Npz(str(tmp_path / "part_*.npz")))
