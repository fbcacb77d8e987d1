"""How SSNI composes: what t(x) sets in five bases, for the same clean and attacked digits: docs/composition.md.

    python benchmarks/composition.py --plot docs/images/composition.png

Prints one JSON line a base: the mean over images of what t(x) sets, for each round. Images are those of the calibration
part, attacked by PGD on the bare classifier (Linf 0.15, 20 steps).
"""

import argparse
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from score_norm_cost import attack

from ssni_jax.attacks import Linf, Objective, Pgd
from ssni_jax.core.arrays import to_diffusion_range
from ssni_jax.core.rng import fold, sample_keys
from ssni_jax.data import Digits
from ssni_jax.presets import preset
from ssni_jax.purify import predictor
from ssni_jax.recipes import consistency, gns, ssni_n
from ssni_jax.zoo import Pretrained, resolve

SCORE, TUNED, CLASSIFIER = (Pretrained(f"digits-{name}") for name in ("score", "consistency-finetuned", "classifier"))
CALIBRATION = SCORE.calibration()
N, TAU, BIAS = 100, 20.0, 0.005
COLOURS = {"clean": ("o", "tab:blue"), "attacked": ("x", "tab:red")}


def n_steps(purify, t):
    """Steps of each round: levels that differ from the one before."""
    levels = (round.grid(purify.schedule, times) for round, times in zip(purify.rounds, t, strict=True))
    return jnp.stack([jnp.sum(rows[:-1] != rows[1:], axis=0) for rows in levels])


def noise(purify, t):
    """Noise of the state with which each round begins."""
    return purify.schedule.sigma(t)


def bases():
    """SSNI-N over each base, what t(x) sets there, and how to compute it."""
    norm = preset("digits-ssni-n").purifiers[0].deviation
    one_call = ssni_n(consistency(TUNED, sigma=0.17), CALIBRATION, tau=TAU, bias=BIAS, deviation=norm)
    yield "DiffPure", preset("digits-ssni-n").purifiers[0], "steps of the walk", n_steps
    yield "GNS", ssni_n(gns(SCORE), CALIBRATION, tau=TAU, bias=BIAS), "steps of each of its rounds", n_steps
    yield "Consistency", one_call, "noise before its one call", noise
    yield "MANI-Pure", preset("digits-mani-pure-ssni-n").purifiers[0], "spectral noise before it", noise
    yield "LM", preset("digits-lm-steps-ssni-n").purifiers[0], "steps of the optimiser", n_steps


def attacked(keys, x, y):
    """The images after PGD on the bare classifier."""
    pgd = Pgd(Linf(0.15), step_size=0.03, n_steps=20)
    return attack(pgd, Objective().of(predictor(resolve(CLASSIFIER))), keys, x, y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path)
    options = parser.parse_args()
    data, keys = Digits("calibration"), sample_keys(jax.random.key(0), jnp.arange(N))
    x, y = jnp.asarray(data.images[:N]), jnp.asarray(data.labels[:N])
    measure = jax.jit(resolve(preset("digits-ssni-n").purifiers[0].deviation))
    images = {"clean": x, "attacked": attacked(fold(keys, 1), x, y)}
    norms = {kind: measure(fold(keys, 0), to_diffusion_range(x)) for kind, x in images.items()}
    figure, axes = plt.subplots(1, 5, figsize=(15, 3.2), sharex=True)
    for axis, (name, purify, quantity, set_by) in zip(axes, bases(), strict=True):
        values = {kind: np.asarray(set_by(purify, purify.times(norm))) for kind, norm in norms.items()}
        means = {kind: [round(float(mean), 3) for mean in value.mean(axis=1)] for kind, value in values.items()}
        facts = {"benchmark": "composition", "base": name, "sets": quantity, "mean": means, "n_images": N}
        print(json.dumps(facts), flush=True)
        line = jnp.linspace(20, 330, 400)
        draw(axis, line, np.asarray(set_by(purify, purify.times(line))), norms, values)
        axis.set_title(f"{name}: {quantity}", fontsize=9)
    if options.plot:
        figure.tight_layout()
        figure.savefig(options.plot, dpi=110)


def draw(axis, line, curves, norms, values):
    """What is set in each round as a line over the score norm, and the images on it."""
    for round, curve in enumerate(curves):
        axis.plot(line, curve, color="0.6", lw=1)
        for kind, (marker, colour) in COLOURS.items():
            label = kind if round == 0 else None
            axis.scatter(norms[kind], values[kind][round], s=9, marker=marker, color=colour, lw=0.7, label=label)
    axis.set_xlabel("score norm of x")
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8, loc="lower right")


if __name__ == "__main__":
    main()
