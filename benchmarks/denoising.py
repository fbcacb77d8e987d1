"""PSNR of denoisers on CIFAR-10's test images at the noises of purification, beside the Wiener filter.

    python benchmarks/denoising.py cifar10-small-edm=128000 cifar10-small-score=422400 --plot curve.png

Names are bundled networks or paths of stored ones; after = may stand the number of training images that a network saw,
the axis of the figure. Noise is that of the state, of images in [-1, 1]; PSNR is of images
in [0, 1], each image's own, and the line has its mean over images and the standard error of that mean. The filter is
the best linear one that is the same everywhere in the image: per frequency, from the 3 x 3 spectrum of the colours of
training images. Prints one JSON line a denoiser; the figure shows what each gains on the filter.
"""

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

from ssni_jax.core.arrays import to_diffusion_range, to_unit_range
from ssni_jax.core.rng import fold, normal_like, sample_keys
from ssni_jax.core.types import Images
from ssni_jax.data import Npz
from ssni_jax.evals.quality import psnr
from ssni_jax.zoo import Pretrained, resolve

SIGMAS = (0.05, 0.1, 0.2, 0.34)


def read(path: Path, n: int) -> Images:
    """The first images of npz files, in [-1, 1]."""
    return to_diffusion_range(jnp.asarray(Npz(str(path)).images[:n], jnp.float32) / 255)


def wiener(images: Images):
    """Denoises by each frequency's share of signal, S (S + sigma² 1)^-1 with S the spectrum around the mean image."""
    mean = images.mean(axis=(0, 1, 2))
    waves = jnp.fft.fft2(images - mean, axes=(1, 2), norm="ortho")
    spectrum = jnp.einsum("nhwc,nhwd->hwcd", waves, waves.conj()) / len(images)

    def denoise(x: Images, sigma: jax.Array) -> Images:
        waves = jnp.fft.fft2(x - mean, axes=(1, 2), norm="ortho")
        share = jnp.linalg.inv(spectrum + sigma[0] ** 2 * jnp.eye(3)) @ spectrum
        kept = jnp.einsum("hwcd,nhwc->nhwd", share, waves)
        return jnp.fft.ifft2(kept, axes=(1, 2), norm="ortho").real + mean

    return denoise


def psnr_of(denoise, x, sigma: float, batch: int) -> np.ndarray:
    """PSNR of each image, its noise the same for every denoiser."""

    @jax.jit
    def measure(keys, x):
        noised = x + sigma * normal_like(fold(keys, 0), x)
        restored = jnp.clip(denoise(noised, jnp.full(len(x), sigma)), -1, 1)
        return psnr(to_unit_range(restored), to_unit_range(x))

    keys = sample_keys(jax.random.key(0), jnp.arange(len(x)))
    parts = range(0, len(x), batch)
    return np.concatenate([np.asarray(measure(keys[i : i + batch], x[i : i + batch])) for i in parts])


def draw(path: Path, seen: list[int], gains: dict[float, list[np.ndarray]]) -> None:
    """Mean gain on the filter over images seen, a line for each noise, with two standard errors."""
    figure, axis = plt.subplots(figsize=(6.5, 4))
    for sigma, rows in gains.items():
        means, errors = [row.mean() for row in rows], [2 * row.std() / len(row) ** 0.5 for row in rows]
        axis.errorbar(np.asarray(seen) / 1000, means, errors, marker="o", ms=4, capsize=2, label=f"noise {sigma}")
    axis.set_xlabel("thousand training images seen")
    axis.set_ylabel("PSNR, dB above the Wiener filter")
    axis.legend()
    axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--data", type=Path, default=Path("data/cifar10"), help="folder of cifar10_test.npz and train")
    parser.add_argument("--part", choices=("test", "train"), default="test", help="choices are made with train")
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--plot", type=Path, help="draw the curve over images seen")
    options = parser.parse_args()
    glob = "cifar10_test.npz" if options.part == "test" else "cifar10_train_*.npz"
    x = read(options.data / glob, options.images)
    trained_on = read(options.data / "cifar10_train_0.npz", 5000)
    networks = {name: int(seen or 0) for name, _, seen in (given.partition("=") for given in options.networks)}
    if options.plot and not all(networks.values()):
        parser.error("--plot needs the number of images that each network saw: NAME=IMAGES")
    denoisers = {"Wiener filter": wiener(trained_on)} | {name: resolve(Pretrained(name)) for name in networks}
    measured = {}
    for name, denoise in denoisers.items():
        measured[name] = rows = {sigma: psnr_of(denoise, x, sigma, options.batch) for sigma in SIGMAS}
        facts = {"benchmark": "denoising", "denoiser": Path(name).name, "part": options.part, "n_images": len(x)}
        facts |= {"images_seen": networks[name]} if networks.get(name) else {}
        means = {str(sigma): round(float(row.mean()), 3) for sigma, row in rows.items()}
        errors = {str(sigma): round(float(row.std() / len(x) ** 0.5), 3) for sigma, row in rows.items()}
        print(json.dumps({**facts, "psnr": means, "standard_error": errors}), flush=True)
    if options.plot:
        gains = {s: [measured[name][s] - measured["Wiener filter"][s] for name in networks] for s in SIGMAS}
        draw(options.plot, list(networks.values()), gains)


if __name__ == "__main__":
    main()
