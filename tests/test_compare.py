"""`ssni compare`: which images are pairs, what stands in the table, and what is refused."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ssni_jax.cli import main
from ssni_jax.convert import save_network
from ssni_jax.core.describe import describe
from ssni_jax.data import Digits, read_image, write_image
from ssni_jax.evals.comparison import aligned, open_images, pairs_of
from ssni_jax.networks import LpipsConfig, Preprocessing, WideResNetConfig, abstract, flat
from ssni_jax.zoo import Pretrained
from tests.test_cli import refused

NOISE = 0.1 * np.random.default_rng(0).standard_normal((12, 8, 8, 1))


@pytest.fixture
def folders(tmp_path):
    """Twelve digits, and ten of them with noise and an eleventh of another name."""
    clean, noisy = tmp_path / "clean", tmp_path / "noisy"
    for folder in (clean, noisy):
        folder.mkdir()
    for i, x in enumerate(Digits("test").images[:12]):
        write_image(clean / f"{i:02}.png", x)
        if i < 11:
            write_image(noisy / (f"{i:02}.png" if i < 10 else "x.png"), np.clip(x + NOISE[i], 0, 1))
    return clean, noisy


def stored(path, config, **about):
    """A network of ones, as `ssni convert` would write it."""
    arrays = {name: np.ones(leaf.shape, np.float32) for name, leaf in flat(abstract(config.make)[1]).items()}
    facts = {"coefficients": None, "preprocessing": None, "licence": "none", "date": "2026-01-01", **about}
    save_network(path, arrays, {"name": path.name, "architecture": describe(config), **facts})
    return str(path)


def compared(tmp_path, *arguments):
    main(["compare", *map(str, arguments), "--json", str(tmp_path / "found.json")])
    return json.loads((tmp_path / "found.json").read_text())


def test_the_table_names_pairs_features_and_what_few_images_mean(folders, tmp_path, capsys):
    found = compared(tmp_path, *folders)
    shown = capsys.readouterr().out
    assert "10 pairs of the same name" in shown and "Some images have no partner" in shown
    assert "FID" in shown and "classifier digits-classifier features, 64 dimensions" in shown
    assert "11 images cannot fill 64 dimensions" in shown
    x = np.round(np.clip(Digits("test").images[:10] + NOISE[:10], 0, 1) * 255) / 255
    y = np.round(Digits("test").images[:10] * 255) / 255
    psnr = -10 * np.log10(np.mean((x - y) ** 2, axis=(1, 2, 3)))
    assert found["psnr"]["mean"] == pytest.approx(psnr.mean(), rel=1e-5)
    assert 0 < found["ssim"]["mean"] < 1 and found["ssim"]["n"] == 10
    assert found["sets"]["features"] == "classifier digits-classifier" and found["sets"]["n"] == [12, 11]
    assert found["sets"]["fid"] > 0 and found["sets"]["network"]["fingerprint"]


def test_a_folder_is_equal_to_itself_in_a_file(folders, tmp_path, capsys):
    files = sorted(folders[0].iterdir())
    for i, file in enumerate(files):
        file.rename(file.with_name(f"{i}.png"))
    np.savez(tmp_path / "clean.npz", images=Digits("test").images[:12])
    found = compared(tmp_path, folders[0], tmp_path / "clean.npz")
    assert found["n_pairs"] == 12 and found["ssim"]["mean"] == pytest.approx(1, abs=1e-3)
    assert found["sets"]["fid"] < 0.05
    same = compared(tmp_path, folders[0], folders[0])
    assert same["psnr"] == {"mean": None, "std": None, "n": 0, "n_infinite": 12}
    assert abs(same["sets"]["fid"]) < 1e-6
    assert "PSNR   infinite: all 12 pairs are equal" in capsys.readouterr().out


def test_sets_without_common_names_have_no_metrics_of_pairs(folders, tmp_path, capsys):
    for file in folders[1].iterdir():
        file.rename(file.with_name(f"other-{file.name}"))
    found = compared(tmp_path, *folders)
    assert found["n_pairs"] == 0 and "psnr" not in found and found["sets"]["fid"] > 0
    assert "PSNR, SSIM and LPIPS need pairs" in capsys.readouterr().out


def test_pairs_come_first_and_in_one_order(folders):
    clean, noisy = (open_images(folder, None) for folder in folders)
    assert pairs_of(clean, noisy) == (list(range(10)), list(range(10)))
    assert aligned(noisy, clean) == (list(range(11)), list(range(12)))
    (folders[1] / "03.png").unlink()
    fewer = open_images(folders[1].rename(folders[1].with_name("fewer")), None)
    ids, others = aligned(clean, fewer)
    assert ids == [0, 1, 2, 4, 5, 6, 7, 8, 9, 3, 10, 11] and others == list(range(10))
    turned = dataclasses.replace(clean, names=clean.names[::-1])
    assert aligned(noisy, turned) == (list(range(11)), [*range(11, 1, -1), 0, 1])


def test_another_classifier_gives_its_name_and_sees_grey_images_in_colour(folders, tmp_path):
    config = WideResNetConfig(depth=10, widen_factor=1)
    path = stored(tmp_path / "mine", config, preprocessing=describe(Preprocessing()))
    assert compared(tmp_path, *folders, "--features", path)["sets"]["features"] == "classifier mine"
    path = stored(tmp_path / "weights", config, preprocessing=describe(Preprocessing()), family="fid-inception")
    assert compared(tmp_path, *folders, "--features", path)["sets"]["features"] == "inception-fid"


@pytest.mark.slow
def test_lpips_joins_the_metrics_of_pairs(folders, tmp_path, capsys):
    path = stored(tmp_path / "lpips", LpipsConfig("squeeze", size=32))
    found = compared(tmp_path, *folders, "--lpips", path, "--features", "none")
    assert found["lpips"]["n"] == 10 and "sets" not in found and found["lpips_network"]["name"] == path
    assert "LPIPS" in capsys.readouterr().out
    a, b = (jnp.stack([read_image(folder / f"{i:02}.png", 3) for i in range(10)]) for folder in folders)
    expected = jax.jit(lambda network, a, b: network(a, b))(Pretrained(path).load(), 2 * a - 1, 2 * b - 1)
    assert found["lpips"]["mean"] == pytest.approx(float(np.mean(expected)), rel=1e-4)


def test_what_cannot_be_compared_is_refused_in_a_sentence(folders, tmp_path, capsys):
    colour = tmp_path / "colour"
    colour.mkdir()
    write_image(colour / "00.png", np.random.default_rng(0).random((8, 8, 3)))
    assert "8 x 8 x 1" in refused(capsys, "compare", folders[0], colour)
    assert "ssni convert FILE --family fid-inception" in refused(capsys, "compare", colour, colour)
    error = refused(capsys, "compare", colour, colour, "--features", "digits-classifier")
    assert "sees grey images" in error
    assert "is a SongUNetConfig: give a classifier" in refused(
        capsys, "compare", *folders, "--features", "digits-score"
    )
    assert "not LPIPS" in refused(capsys, "compare", *folders, "--lpips", "digits-classifier")
    assert "no folder or zip archive" in refused(capsys, "compare", tmp_path / "nowhere", folders[0])
