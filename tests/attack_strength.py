"""Attacks trained classifiers and compares robust accuracy with AutoAttack's; exit code 1 if an attack is too weak.

    python tests/attack_strength.py DIR              every file
    python tests/attack_strength.py DIR --only L2    those whose name contains "L2"

Each JSON file of DIR names a checkpoint, its network and normalisation, images, and runs: a norm, eps, attacks, and the
robust accuracy that AutoAttack in PyTorch reached. Single attacks may leave 2 points more, ensembles 1 point more.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import jax
import jax.numpy as jnp

from ssni_jax.attacks import L1, L2, Ensemble, Linf, autoattack
from ssni_jax.convert import read_checkpoint
from ssni_jax.convert.families import FAMILIES, fitting
from ssni_jax.convert.family import convert, state_dict
from ssni_jax.core.pytree import pytree
from ssni_jax.data import Npz
from ssni_jax.experiments import Evaluation
from ssni_jax.jobs.evaluate import evaluate
from ssni_jax.journal.evaluation import load_evaluated
from ssni_jax.journal.rows import summarise
from ssni_jax.lifecycle import Stopper
from ssni_jax.networks import Network
from ssni_jax.purify import predictor
from tests.reference.small_classifiers import function_named

THREATS = {"Linf": Linf, "L2": L2, "L1": L1}
SINGLE, TOGETHER = 0.02, 0.01  # how much more may be left, by one attack and by several
BATCH = 250
COLUMNS = ("file", "norm", "eps", "attacks", "ours", "AutoAttack", "seconds", "")


@pytree
class Normalised:
    """A classifier of normalised images as one of images in [0, 1]."""

    function: jax.tree_util.Partial
    mean: jax.Array
    std: jax.Array

    def __call__(self, x):
        return self.function((x - self.mean) / self.std)


def main() -> int:
    """Prints one line per run; 1 if an attack is too weak or there is no run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="run only the files whose name contains this text")
    options = parser.parse_args()
    files = [path for path in sorted(options.folder.glob("*.json")) if options.only in path.name]
    print("".join(f"{name:>14}" if column else f"{name:40}" for column, name in enumerate(COLUMNS)))
    passed = [is_strong for path in files for is_strong in compare(path)]
    print(f"{len(passed)} runs, {len(passed) - sum(passed)} too weak.")
    return 0 if passed and all(passed) else 1


def compare(path: Path):
    """Whether each run of one file is strong enough."""
    case = json.loads(path.read_text())
    predict = predictor(classifier(path.parent, case))
    images = Npz(str(path.parent / case["images"]))
    for run in case["runs"]:
        start = time.monotonic()
        robust = robust_accuracy(predict, images, case["n"], ensemble(run))
        allowed = run["robust"] + (SINGLE if len(run["attacks"]) == 1 else TOGETHER)
        is_strong = robust <= allowed + 1e-6
        cells = [f"{100 * robust:.1f} %", f"{100 * run['robust']:.1f} %", f"{time.monotonic() - start:.0f}"]
        cells = [run["norm"], f"{run['eps']:.4f}", "+".join(run["attacks"])[:13], *cells]
        print(
            f"{path.stem:40}" + "".join(f"{cell:>14}" for cell in cells), "" if is_strong else "  TOO WEAK", flush=True
        )
        yield is_strong


def ensemble(run: dict) -> Ensemble:
    """The attacks of a run, as AutoAttack has them in that norm; "apgd-t" are those towards all target classes."""
    threat = THREATS[run["norm"]](run["eps"])
    known = {}
    for version in ("standard", "plus", "rand"):
        attacks = autoattack(threat, version)
        known = dict(zip(attacks.names, attacks.attacks, strict=True)) | known
    chosen = {name: known[name] for wanted in run["attacks"] for name in known if name.rstrip("0123456789") == wanted}
    lacking = [name for name in run["attacks"] if not any(each.rstrip("0123456789") == name for each in chosen)]
    if lacking:
        raise ValueError(f"There is no attack {lacking[0]}: choose among {', '.join(known)}.")
    return Ensemble(tuple(chosen.values()), tuple(chosen))


def robust_accuracy(predict, images: Npz, n: int, attacks: Ensemble) -> float:
    """Share of the first n images that are right after the attacks, evaluated as `ssni evaluate` does."""
    experiment = Evaluation("strength", predict, images, attacks, n_images=n, order_seed=None, batch_size=BATCH)
    with tempfile.TemporaryDirectory() as folder, Stopper("") as stopper, quiet():
        evaluate(experiment, predict, Path(folder), stopper)
        row = summarise("strength", load_evaluated(Path(folder)).records)
    return row["robust"]


def classifier(folder: Path, case: dict):
    """The network of a file, with its weights as arguments of compiled programs."""
    tree = read_checkpoint((folder / case["checkpoint"]).resolve())
    function = function_named(case["network"])
    if function is None:
        return Normalised(jax.tree_util.Partial(of_package(tree)), *normalisation(case))
    weights = {name: jnp.asarray(array) for name, array in tree.get("state_dict", tree).items()}
    return Normalised(jax.tree_util.Partial(function, weights), *normalisation(case))


def of_package(tree) -> Network:
    """A network of a family that the package converts, without its own normalisation."""
    tensors = state_dict(tree, "ema")
    (family, *_) = [family for family in FAMILIES if family.name in fitting(tensors)]
    converted = convert(family, tree, {})
    return Network(converted.graphdef, converted.state)


def normalisation(case: dict):
    return jnp.asarray(case["mean"]), jnp.asarray(case["std"])


def quiet():
    """Progress of an evaluation is no part of the table."""
    import contextlib
    import io

    return contextlib.redirect_stdout(io.StringIO())


if __name__ == "__main__":
    sys.exit(main())
