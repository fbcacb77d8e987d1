"""What a cheaper score norm loses: every variant against the published one (20 calls), on the bundled digits networks.

    python benchmarks/score_norm_cost.py                         # test part: the table of docs/score-norm-cost.md
    python benchmarks/score_norm_cost.py --part calibration --no-accuracy   # what the choice was made with
    python benchmarks/score_norm_cost.py --rows LINES --table --plot FILE   # from kept lines: the table, the figure

Prints one JSON line a variant: rank correlation with the published norm and AUC of clean against adversarial images,
both on adversarial images made against the published SSNI-N, and accuracies of SSNI-N with the variant, attacked anew.
Every variant has its own mean norm of clean calibration images, and tau times its spread over the published spread.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import rankdata, spearmanr

from ssni_jax.attacks import Linf, Objective, Pgd
from ssni_jax.core.arrays import over, row_norm, to_diffusion_range
from ssni_jax.core.protocols import Denoiser, Deviation
from ssni_jax.core.pytree import pytree, static
from ssni_jax.core.rng import fold, normal_like, sample_keys
from ssni_jax.data import Digits
from ssni_jax.evals.statistics import interval, paired_difference
from ssni_jax.jobs.evaluation_job import ATTACK, CLEAN, FRESH
from ssni_jax.networks.layers import downsample
from ssni_jax.presets import BIAS, T_STAR, TAU
from ssni_jax.purify import Calibration, Defense, ScoreNorm, SingleScoreNorm, Surrogate
from ssni_jax.purify.deviation import score
from ssni_jax.recipes import diffpure_ddpm, ssni_n
from ssni_jax.schedules import VP
from ssni_jax.zoo import Pretrained

SCORE, CLASSIFIER = Pretrained("digits-score"), Pretrained("digits-classifier")
PGD = Pgd(Linf(0.15), step_size=0.03, n_steps=20)
OBJECTIVE = Objective(n_draws=2, hold=True, differentiate=Surrogate(5))
T_LAST = 0.02
SHRUNK = (1.0, 0.25, 0.125)
PUBLISHED = "published"
UNJUDGED = (
    *("published, another draw", "10 levels", "one draw for all 20"),
    *("20 levels, no noise", "single score at 0.002"),
)


@pytree
class Average:
    """EPS with any times, draws and signs of the noise (0 is no noise), on images averaged `shrink` x `shrink`."""

    denoise: Denoiser
    times: jax.Array
    draws: jax.Array
    signs: jax.Array
    shrink: int = static(default=1)

    @property
    def n_calls(self) -> int:
        return len(self.times)

    def __call__(self, keys, x):
        x = x if self.shrink == 1 else downsample(x, (1,) * self.shrink)

        def add(total, level):
            t, draw, sign = level
            sigma = jnp.broadcast_to(VP().sigma(t), keys.shape)
            noised = x + sign * over(sigma, x) * normal_like(fold(keys, draw), x)
            return total + score(self.denoise, VP(), noised, sigma), None

        total, _ = jax.lax.scan(add, jnp.zeros_like(x), (self.times, self.draws, self.signs))
        return row_norm(total / self.n_calls)


def variants(denoise: Denoiser) -> Iterator[tuple[str, Deviation]]:
    """Names and values; `ScoreNorm` and `SingleScoreNorm` are the package's, the rest lives only here."""
    yield PUBLISHED, ScoreNorm(denoise, VP(), 20)
    yield "published, another draw", ScoreNorm(denoise, VP(), 20)
    for n in (10, 5, 2, 1):
        yield f"{n} level{'s' * (n > 1)}", ScoreNorm(denoise, VP(), n, spacing=T_LAST / n)
    yield "one draw for all 20", averaged(denoise, 20, draws=np.zeros(20, int))
    for n in (20, 4):
        signs = np.tile([1.0, -1.0], n // 2)
        yield f"{n} levels, antithetic", averaged(denoise, n, draws=np.arange(n) // 2, signs=signs)
    yield "antithetic pair at 0.02", Average(denoise, *map(jnp.asarray, ([T_LAST] * 2, [0, 0], [1.0, -1.0])))
    for n in (20, 5):
        yield f"{n} levels, no noise", averaged(denoise, n, signs=np.zeros(n))
    for t in (0.002, 0.005, 0.01, 0.02):
        yield f"single score at {t}", SingleScoreNorm(denoise, VP(), t)
    yield "20 levels, half size", dataclasses.replace(averaged(denoise, 20), shrink=2)


def averaged(denoise, n, draws=None, signs=None) -> Average:
    """`n` times evenly over the published range, by default a fresh draw each."""
    draws = np.arange(1, n + 1) if draws is None else draws
    signs = np.ones(n) if signs is None else signs
    return Average(denoise, *map(jnp.asarray, (np.arange(1, n + 1) * T_LAST / n, draws, signs)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("test", "calibration"), default="test")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--no-accuracy", action="store_true")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--rows", type=Path, help="JSON lines of an earlier run, instead of a run")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    rows = [json.loads(line) for line in options.rows.read_text().splitlines()] if options.rows else []
    for row in () if rows else study(options.part, options.images, not options.no_accuracy):
        rows.append(row)
        print(json.dumps(row), flush=True)
    if options.table:
        print(table(rows))
    if options.plot:
        plot(rows, options.plot)


def study(part: str, n: int, with_accuracy: bool) -> Iterator[dict]:
    """One row a variant; the published one comes first, the others are compared with it."""
    data, denoise, classify = Digits(part), SCORE.load(), CLASSIFIER.load()
    keys = sample_keys(jax.random.key(0), jnp.arange(n))
    x, y = jnp.asarray(data.images[:n]), jnp.asarray(data.labels[:n])
    first, adversarial, reference, right = None, x, {}, {}
    for name, deviation in variants(denoise):
        start = time.perf_counter()
        clean_norms = calibration_norms(deviation)
        first = clean_norms if first is None else first
        tau = TAU * float(np.std(clean_norms) / np.std(first))
        defense = with_deviation(denoise, classify, deviation, clean_norms, tau)
        own = adversarial
        if name == PUBLISHED or (with_accuracy and name not in UNJUDGED):
            own = attack(PGD, OBJECTIVE.of(defense), fold(keys, ATTACK), x, y)
        adversarial = own if name == PUBLISHED else adversarial
        draw = fold(keys, FRESH if "another" in name else CLEAN)
        norms = [measure(deviation, draw, x + share * (adversarial - x)) for share in (0.0, *SHRUNK)]
        reference = reference or {"clean": norms[0], "adversarial": norms[1]}
        row = {"benchmark": "score_norm_cost", "variant": name, "calls": calls(deviation), "part": part, "images": n}
        row |= {"tau": round(tau, 3), "clean_norm": rounded(np.mean(norms[0])), **agreement(reference, norms)}
        if with_accuracy and name not in UNJUDGED:
            row |= accuracies(defense, keys, (x, own, y), right)
        yield {**row, "seconds": round(time.perf_counter() - start, 1), "jax": jax.__version__}


def with_deviation(denoise, classify, deviation, clean_norms, tau) -> Defense:
    """SSNI-N over DiffPure, its score norm replaced and its level told the new clean norms."""
    data = Digits("calibration").fingerprint
    calibration = Calibration.measured(deviation, clean_norms.tolist(), data=data, images="unseen")
    base = diffpure_ddpm(denoise, t_star=T_STAR)
    return Defense(ssni_n(base, calibration, tau=tau, bias=BIAS, deviation=deviation), classify)


@jax.jit
def attack(attack, objective, keys, x, y):
    """The images of an attack, all its iterations in one scan."""

    def iterate(state, i):
        return attack.update(keys, i, objective, state, x, y), None

    start = attack.init(keys, objective, x, y)
    return attack.result(jax.lax.scan(iterate, start, jnp.arange(attack.n_iterations))[0]).image


@jax.jit
def norm_of(deviation, keys, x):
    return deviation(fold(keys, 0), to_diffusion_range(x))


@jax.jit
def judged(defense, keys, x):
    """Predicted class and t of each image, by the ragged walk."""
    trace = defense.ragged(16).trace(keys, x)
    return jnp.argmax(trace.logits, axis=1), trace.t[:, 0]


def measure(deviation, keys, x):
    return np.asarray(norm_of(deviation, keys, x))


def calibration_norms(deviation):
    """Norms of the clean calibration images, which SSNI-N's mean and spread are taken from."""
    images = Digits("calibration").images
    return measure(deviation, sample_keys(jax.random.key(0), jnp.arange(len(images))), jnp.asarray(images))


def calls(deviation) -> float:
    """Network calls in units of one on a full-size image."""
    return deviation.n_calls / getattr(deviation, "shrink", 1) ** 2


def agreement(reference, norms) -> dict:
    """Rank correlations with the published norm and AUCs, with bootstrap intervals over images."""
    clean, adversarial = norms[0], norms[1]
    both = lambda i: (np.r_[reference["clean"][i], reference["adversarial"][i]], np.r_[clean[i], adversarial[i]])  # noqa: E731
    rank = lambda a, b: float(spearmanr(a, b).statistic)  # noqa: E731
    found = {
        "rho": lambda i: rank(*both(i)),
        "rho_clean": lambda i: rank(reference["clean"][i], clean[i]),
        "rho_adversarial": lambda i: rank(reference["adversarial"][i], adversarial[i]),
    }
    for share, shrunk in zip(SHRUNK, norms[1:], strict=True):
        found[f"auc_{share:g}"] = lambda i, shrunk=shrunk: auc(clean[i], shrunk[i])
    return {key: v for name, f in found.items() for key, v in with_interval(name, f, len(clean)).items()}


def auc(low, high) -> float:
    """Share of pairs in which the second kind is larger, ties half (Mann and Whitney 1947)."""
    ranks = rankdata(np.r_[low, high])[len(low) :]
    return float((np.sum(ranks) - len(high) * (len(high) + 1) / 2) / (len(low) * len(high)))


def with_interval(name, statistic, n, n_resamples=500) -> dict:
    """The statistic of all n images, and its 95 % percentile bootstrap interval."""
    random = np.random.default_rng(0)
    again = [statistic(random.integers(0, n, n)) for _ in range(n_resamples)]
    ends = np.percentile(again, [2.5, 97.5])
    return {name: rounded(statistic(np.arange(n))), f"{name}_ci": [rounded(v) for v in ends]}


def accuracies(defense, keys, images, right) -> dict:
    """Clean and robust accuracy, and how often the published norm's defence was right where this one was not."""
    x, adversarial, y = images
    row, y = {}, np.asarray(y)
    for kind, batch, draw in (("clean", x, fold(keys, CLEAN)), ("robust", adversarial, fold(fold(keys, FRESH), 0))):
        label, t = jax.device_get(judged(defense, draw, batch))
        hit = (label == y).astype(float)
        paired = paired_difference(hit, right.setdefault(kind, hit))
        row |= {kind: rounded(hit.mean()), f"{kind}_ci": [rounded(v) for v in interval(int(hit.sum()), len(hit))]}
        row |= {f"{kind}_difference": rounded(paired.difference)}
        row |= {f"{kind}_difference_ci": [rounded(paired.low), rounded(paired.high)]}
        row |= {f"{kind}_t": rounded(t.mean(), 4)}
    return row


def rounded(value, digits=3) -> float:
    return round(float(value), digits)


def table(rows) -> str:
    """The rows in Markdown."""
    columns = ("variant", "calls", "rho", "rho_clean", "rho_adversarial", "auc_0.25", "auc_0.125", "clean", "robust")
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join(lines + ["| " + " | ".join(cell(row, name) for name in columns) + " |" for row in rows])


def cell(row, name) -> str:
    value = row.get(name, "")
    ends = row.get(f"{name}_ci")
    if name in ("clean", "robust") and ends:
        return f"{100 * value:.0f} % [{100 * ends[0]:.0f}, {100 * ends[1]:.0f}]"
    return f"{value:.3f} [{ends[0]:.3f}, {ends[1]:.3f}]" if ends else str(value).removesuffix(".0")


def plot(rows, path: Path) -> None:
    """Calls against rank correlation, separation of weak perturbations and robust accuracy, one point a variant."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    panels = {
        "rho": ("rank correlation with the published norm", (0.8, 1.01)),
        "auc_0.125": ("AUC, clean against perturbation / 8", (0.4, 1.02)),
        "robust": ("robust accuracy of SSNI-N", (0.4, 1.0)),
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(13, 5.6))
    for axis, (field, (title, limits)) in zip(axes, panels.items(), strict=True):
        shown = [i for i, row in enumerate(rows) if field in row]
        for i in shown:
            row, same = rows[i], [k for k in shown if rows[k]["calls"] == rows[i]["calls"]]
            beside = row["calls"] * 1.07 ** (same.index(i) - (len(same) - 1) / 2)
            low, high = (abs(end - row[field]) for end in row[f"{field}_ci"])
            axis.errorbar(beside, row[field], [[low], [high]], **mark(i), capsize=2, linewidth=1)
        axis.set(xscale="log", xlabel="network calls an image (equal costs side by side)", title=title, ylim=limits)
        axis.set_xticks([1, 2, 4, 5, 10, 20], ["1", "2", "4", "5", "10", "20"])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    handles = [plt.Line2D([], [], **mark(i), linestyle="", label=row["variant"]) for i, row in enumerate(rows)]
    figure.legend(handles=handles, loc="lower center", ncols=5, frameon=False)
    figure.tight_layout(rect=(0, 0.17, 1, 1))
    figure.savefig(path, dpi=110)


def mark(i: int) -> dict:
    """Marker and colour of variant i."""
    return {"marker": "*osDv^<>pPXhHd8oo"[i % 17], "color": f"C{i % 10}", "markersize": 6 + 6 * (i == 0)}


if __name__ == "__main__":
    sys.exit(main())
