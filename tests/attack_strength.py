"""Attacks trained classifiers and compares robust accuracy with AutoAttack's; exit code 1 if an attack is too weak.

    python tests/attack_strength.py DIR              every file
    python tests/attack_strength.py DIR --only L2    those whose name contains "L2"

Each JSON file of DIR names a checkpoint, its network and normalisation, images, the clean accuracy, and runs: a norm,
eps, attacks, and the robust accuracy that AutoAttack in PyTorch reached. Single attacks may leave 2 points more,
ensembles 1 point more. The network follows from the tensors of the checkpoint, and a clean accuracy that is more than
half a point off fails as well: a wrong network is easily attacked.
"""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))
# Small networks use several cores only if the images are divided among several devices.
N_DEVICES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count={N_DEVICES}")

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402

from ssni_jax.attacks import L1, L2, Ensemble, Linf, autoattack  # noqa: E402
from ssni_jax.convert import read_checkpoint  # noqa: E402
from ssni_jax.convert.families import CLASSIFIERS  # noqa: E402
from ssni_jax.convert.family import convert, fits  # noqa: E402
from ssni_jax.convert.selection import state_dict  # noqa: E402
from ssni_jax.data import Npz  # noqa: E402
from ssni_jax.experiments import Evaluation  # noqa: E402
from ssni_jax.jobs.evaluate import evaluate  # noqa: E402
from ssni_jax.journal.evaluation import load_evaluated  # noqa: E402
from ssni_jax.journal.rows import summarise  # noqa: E402
from ssni_jax.lifecycle import Stopper  # noqa: E402
from ssni_jax.networks import PreprocessedClassifier, Preprocessing  # noqa: E402
from ssni_jax.purify import predictor  # noqa: E402
from tests.reference.networks import network  # noqa: E402
from tests.reference.small_classifiers import small_classifier  # noqa: E402

THREATS = {"linf": Linf, "l2": L2, "l1": L1}
SINGLE, TOGETHER = 0.02, 0.01  # how much more may be left, by one attack and by several
CLEAN = 0.005  # how far the clean accuracy may be off
BATCH = 100
COLUMNS = ("file", "norm", "eps", "clean", "ours", "AutoAttack", "seconds", "", "attacks")
WIDTHS = (30, 6, 9, 9, 9, 12, 9, 14, 0)


class Accuracy(NamedTuple):
    """Shares of the images that are right."""

    clean: float
    robust: float


def main(arguments: list[str] | None = None) -> int:
    """Prints one line per run; 1 if an attack is too weak, a network wrong, or there is no run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", default="", help="run only the files whose name contains this text")
    options = parser.parse_args(arguments)
    files = [path for path in sorted(options.folder.glob("*.json")) if options.only in path.name]
    print(line(COLUMNS), flush=True)
    with programs_kept():
        verdicts = [verdict for path in files for verdict in compare(path)]
    print(f"{len(verdicts)} runs, {sum(map(bool, verdicts))} failed.")
    return 1 if any(verdicts) or not verdicts else 0


@contextlib.contextmanager
def programs_kept():
    """Compiled programs are kept until the end: an ensemble has those of single attacks."""
    before = jax.config.jax_compilation_cache_dir
    with tempfile.TemporaryDirectory() as folder:
        jax.config.update("jax_compilation_cache_dir", folder)
        yield
        jax.config.update("jax_compilation_cache_dir", before)


def line(cells) -> str:
    return "".join(f"{cell:{width}}" for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


def compare(path: Path):
    """What is wrong with each run of one file; nothing where it is strong enough."""
    case = json.loads(path.read_text())
    predict = predictor(classifier(path.parent, case))
    images = Npz(str(path.parent / case["images"]))
    for run in case["runs"]:
        start = time.monotonic()
        ours = attacked(predict, images, case.get("n", len(images)), ensemble(run))
        verdict = verdict_on(ours, case, run)
        numbers = [f"{100 * value:.1f} %" for value in (ours.clean, ours.robust, run["robust"])]
        cells = [path.stem, run["norm"], f"{run['eps']:.4f}", *numbers, f"{time.monotonic() - start:.0f}"]
        print(line([*cells, verdict, "+".join(run["attacks"])]), flush=True)
        yield verdict


def verdict_on(ours: Accuracy, case: dict, run: dict) -> str:
    """What is wrong with a result, or nothing."""
    if abs(ours.clean - case.get("clean", ours.clean)) > CLEAN:
        return "WRONG NETWORK"
    allowed = SINGLE if len(run["attacks"]) == 1 else TOGETHER
    return "TOO WEAK" if ours.robust > run["robust"] + allowed + 1e-6 else ""


def ensemble(run: dict) -> Ensemble:
    """The attacks of a run, as AutoAttack has them in that norm; "apgd-t" are those towards all target classes."""
    threat = THREATS[run["norm"].lower()](run["eps"])
    known: dict[str, Any] = {}
    for version in ("standard", "plus"):
        attacks = autoattack(threat, version)
        known = dict(zip(attacks.names, attacks.attacks, strict=True)) | known
    chosen = {name: known[name] for wanted in run["attacks"] for name in known if family_of(name) == wanted}
    lacking = set(run["attacks"]) - set(map(family_of, chosen))
    if lacking:
        raise ValueError(f"There is no attack {min(lacking)}: choose among {', '.join(map(family_of, known))}.")
    return Ensemble(tuple(chosen.values()), tuple(chosen))


def family_of(name: str) -> str:
    """The attack without its target: "apgd-t" for "apgd-t3"."""
    return name.rstrip("0123456789")


def attacked(predict, images: Npz, n: int, attacks: Ensemble) -> Accuracy:
    """The first n images under the attacks, evaluated as `ssni evaluate` does."""
    experiment = Evaluation(
        "strength", predict, images, attacks, n_images=n, order_seed=None, batch_size=BATCH, n_pictures=0
    )
    quiet = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, Stopper("") as stopper, quiet:
        evaluate(experiment, predict, Path(folder), stopper)
        row = summarise("strength", load_evaluated(Path(folder)).records)
    return Accuracy(row["clean"], row["robust"])


def classifier(folder: Path, case: dict) -> PreprocessedClassifier:
    """The network of a file with the file's normalisation; its weights are arguments of compiled programs."""
    tree = read_checkpoint((folder / case["checkpoint"]).resolve())
    normalisation = Preprocessing(tuple(case.get("mean", [0.0])), tuple(case.get("std", [1.0])))
    return PreprocessedClassifier(network_in(tree, case["checkpoint"]), normalisation)


def network_in(tree: Any, name: str):
    """The network whose tensors these are: of a family that the package converts, or a small one of the literature."""
    if isinstance(tree, dict) and isinstance(tree.get("state_dict"), list):
        (tree,) = tree["state_dict"]
    family = next((family for family in CLASSIFIERS if fits(family, tree)), None)
    if family is not None:
        return network(convert(family, tree))
    weights = state_dict(tree)
    function = small_classifier(weights)
    if function is None:
        raise ValueError(f"{name} is of no known network: add it to tests/reference/small_classifiers.py.")
    return jax.tree_util.Partial(function, {name: jnp.asarray(array) for name, array in weights.items()})


if __name__ == "__main__":
    sys.exit(main())
