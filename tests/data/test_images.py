import os

import numpy as np
import pytest
from PIL import Image

from ssni_jax.data import check_images, read_image, write_image


@pytest.fixture
def saved(tmp_path):
    def save(pixels, mode=None, name="a.png", **options):
        path = tmp_path / name
        image = Image.fromarray(np.asarray(pixels, np.uint8))
        (image if mode is None else image.convert(mode)).save(path, **options)
        return path

    return save


GREY = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], -1)


def one_sentence(error):
    text = str(error.value)
    return text.endswith(".") and "\n" not in text


def test_a_png_is_read_as_it_was_written(tmp_path):
    for pixels in (GREY[..., None], COLOUR):
        x = pixels.astype(np.float32) / 255
        write_image(tmp_path / "x.png", x)
        np.testing.assert_allclose(read_image(tmp_path / "x.png", channels=x.shape[-1]), x, atol=1e-7)


def test_written_values_are_rounded_and_clipped(tmp_path):
    write_image(tmp_path / "x.png", np.array([[[-0.3], [0.5], [1.2]]]))
    np.testing.assert_allclose(read_image(tmp_path / "x.png", 1)[0, :, 0], [0, 128 / 255, 1])


def test_grey_is_repeated_for_three_channels(saved):
    x = read_image(saved(GREY), channels=3)
    np.testing.assert_array_equal(x, np.repeat(x[..., :1], 3, -1))


@pytest.mark.parametrize("mode", ["P", "RGBA", "CMYK"])
def test_colour_in_other_modes_becomes_three_channels(saved, mode):
    name = "a.jpg" if mode == "CMYK" else "a.png"
    assert read_image(saved(COLOUR, mode, name)).shape == (6, 8, 3)


def test_a_colour_file_of_equal_channels_is_grey(saved):
    grey, colour = read_image(saved(GREY), 1), read_image(saved(np.stack([GREY] * 3, -1), None, "b.png"), 1)
    np.testing.assert_array_equal(colour, grey)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
@pytest.mark.parametrize(("orientation", "turned"), [(3, (2, 0)), (6, (3, 0)), (8, (1, 0)), (5, (3, 1))])
def test_a_rotated_photo_is_upright(saved, name, orientation, turned):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "lossless": True} if name in ("a.jpg", "a.webp") else {}
    x, stored = read_image(saved(COLOUR, None, name, exif=exif, **options)), COLOUR / 255
    n_turns, mirrored = turned
    upright = np.rot90(stored, n_turns)[:, ::-1] if mirrored else np.rot90(stored, n_turns)
    np.testing.assert_allclose(x, upright, atol=0.12 if name == "a.jpg" else 1e-6)


def test_a_hidden_colour_counts_as_transparency(saved):
    with pytest.raises(ValueError, match="transparent pixels"):
        read_image(saved(COLOUR, transparency=tuple(int(v) for v in COLOUR[0, 0])))
    assert read_image(saved(COLOUR, transparency=(1, 2, 3))).shape == (6, 8, 3)


def test_several_frames_are_refused(tmp_path):
    frames = [Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)]
    for name in ("a.gif", "a.png", "a.tif", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(ValueError, match=r"has 2 frames: save the frame") as error:
            read_image(tmp_path / name)
        assert one_sentence(error)


def test_a_flipped_bit_of_a_png_is_found(saved, tmp_path):
    content = saved(COLOUR).read_bytes()
    for at in (len(content) // 2, content.index(b"IDAT") + 9, len(content) - 18):
        (tmp_path / "flipped.png").write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
        with pytest.raises(ValueError, match="cannot be read as an image"):
            read_image(tmp_path / "flipped.png")


def test_a_decompression_bomb_is_not_unpacked(tmp_path, monkeypatch):
    header = b"P5 60000 60000 255\n"
    (tmp_path / "bomb.pgm").write_bytes(header + bytes(64))
    with pytest.raises(ValueError, match="has more than 178,956,970 pixels: scale it down"):
        read_image(tmp_path / "bomb.pgm")


def test_a_pipe_and_a_folder_are_no_image_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "folder.png", "/dev/zero"):
        with pytest.raises((ValueError, IsADirectoryError)):
            read_image(tmp_path / name)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_numbers_without_a_range_are_refused(tmp_path, mode):
    Image.new(mode, (3, 3)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match=f"is stored as {mode}: convert it"):
        read_image(tmp_path / "a.tif")


def test_sixteen_bit_grey_keeps_its_range(tmp_path):
    Image.fromarray(np.array([[0, 257 * 128, 65535]], np.uint16)).save(tmp_path / "x.png")
    np.testing.assert_allclose(read_image(tmp_path / "x.png", 1)[0, :, 0], [0, 128 / 255, 1])


def test_a_size_crops_the_centre_of_the_resized_image(saved):
    x = read_image(saved(np.kron(GREY, np.ones((2, 2)))), channels=1, size=6)
    assert x.shape == (6, 6, 1)
    np.testing.assert_allclose(x[3, 2, 0], GREY[3, 3] / 255, atol=0.03)
    np.testing.assert_array_equal(read_image(saved(GREY), 1, size=6)[..., 0], GREY[:, 1:7] / np.float32(255))


def test_colour_is_never_dropped_silently(saved):
    with pytest.raises(ValueError, match=r"a\.png has colours where one channel is wanted") as error:
        read_image(saved(COLOUR), channels=1)
    assert one_sentence(error)


def test_transparency_is_never_dropped_silently(saved):
    with pytest.raises(ValueError, match="transparent pixels") as error:
        read_image(saved(np.dstack([COLOUR, GREY])))
    assert one_sentence(error)


@pytest.mark.parametrize("content", [b"no image", b"", None])
def test_a_file_that_is_no_whole_image_is_named(saved, tmp_path, content):
    path = tmp_path / "bad.png"
    path.write_bytes(saved(COLOUR).read_bytes()[:-40] if content is None else content)
    with pytest.raises(ValueError, match=r"bad\.png cannot be read as an image") as error:
        read_image(path)
    assert one_sentence(error)


def test_a_missing_file_stays_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.png")


def test_images_of_either_type_come_out_as_float_in_the_unit_range():
    np.testing.assert_allclose(check_images(COLOUR[None]), COLOUR[None] / 255.0, rtol=1e-6)
    x = check_images(np.array([-5e-4, 0.5, 1.0005]).reshape(1, 1, 1, 3), 3)
    assert x.dtype == np.float32 and x.min() == 0 and x.max() == 1


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (np.zeros((8, 8, 3)), r"give \[B, H, W, C\], one image as a batch of one"),
        (np.zeros((2, 8, 8, 4)), "have 4 channels, and 3 are needed"),
        (np.zeros((2, 3, 8, 8)), "move the channels last"),
        (np.zeros((2, 8, 8, 3), int), "type int64; give float"),
        (np.stack([np.zeros((2, 2, 3)), np.full((2, 2, 3), np.nan)]), "image 1 has NaN"),
        (np.stack([np.zeros((2, 2, 3)), np.full((2, 2, 3), np.inf)]), "image 1 has NaN or infinite"),
        (np.full((1, 2, 2, 3), 255.0), r"image 0 has pixels from 255 to 255; scale them to \[0, 1\]"),
        (np.full((1, 2, 2, 3), -0.01), r"image 0 has pixels from -0.01"),
        (np.zeros((0, 2, 2, 3)), "no images"),
    ],
)
def test_what_breaks_the_contract_is_named_in_one_sentence(x, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        check_images(x, 3)
    assert one_sentence(error)


@pytest.mark.parametrize("x", [np.zeros((2, 2, 2)), np.zeros((2, 2)), np.full((2, 2, 1), np.nan)])
def test_what_cannot_be_written_is_refused_and_not_written(tmp_path, x):
    with pytest.raises(ValueError) as error:
        write_image(tmp_path / "x.png", x)
    assert one_sentence(error) and not (tmp_path / "x.png").exists()
