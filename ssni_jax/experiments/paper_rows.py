"""The rows of SSNI's tables (arXiv:2506.06027): a purifier, plain or reweighted, under one of two protocols.

The released protocol is that of the paper's code: PGD through a shorter surrogate, judged by three draws. The exact one
follows the gradient of the whole defence with AutoAttack's "rand", APGD on two losses and 20 purifications per
gradient, and judges 20 that the attack has not seen.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from ssni_jax.attacks import L2, Apgd, CrossEntropy, Dlr, Ensemble, Linf, Objective, Pgd, Sign, WithLoss
from ssni_jax.core.protocols import Predict
from ssni_jax.data import CENTRE_256, TORCHVISION_224, ImageFolder, Npz, Source
from ssni_jax.experiments.choices import Chosen
from ssni_jax.experiments.evaluation import Evaluation
from ssni_jax.published import Published
from ssni_jax.purify import Calibration, Defense, Purifier, ShorterRounds, Vote
from ssni_jax.recipes import ssni_l, ssni_l_released, ssni_n, ssni_n_released
from ssni_jax.zoo import read_calibration

N_IMAGES, STEP_SIZE, EOT = 512, 0.007, 20
RELEASED_DRAWS = 3  # the code judges one set of adversarial images with seeds 121, 122 and 123
EPS = {("CIFAR-10", "Linf"): 8 / 255, ("CIFAR-10", "L2"): 0.5, ("ImageNet", "Linf"): 4 / 255, ("ImageNet", "L2"): 0.5}
N_STEPS = {"CIFAR-10": 200, "ImageNet": 20}
N_LEVELS = {"CIFAR-10": 20, "ImageNet": 50}
SCORE = {"CIFAR-10": "cifar10-score", "ImageNet": "imagenet256-uncond"}
BIAS_UNIT = 1000  # integer steps in schedule time 1


class Norms(NamedTuple):
    """Where a row reads its reference norms, and the config with which `ssni calibrate` measures them."""

    file: Path
    config: str

    @property
    def command(self) -> str:
        """The command that writes the file."""
        return f"ssni calibrate {self.config} --out {self.file}"


# The released ImageNet code measures images of 224 pixels and gives the network continuous labels.
_CIFAR10 = Norms(Path("weights/cifar10-score.calibration.json"), "configs/papers/norms_cifar10.py")
NORMS = {
    ("CIFAR-10", "released"): _CIFAR10,
    ("CIFAR-10", "exact"): _CIFAR10,
    ("ImageNet", "exact"): Norms(
        Path("weights/imagenet256-uncond.calibration.json"), "configs/papers/norms_imagenet.py"
    ),
    ("ImageNet", "released"): Norms(
        Path("weights/imagenet256-uncond.released.calibration.json"), "configs/papers/norms_imagenet_released.py"
    ),
}


@dataclasses.dataclass(frozen=True)
class PaperMethod:
    """A purification method as its own paper has it, as SSNI's code has it, and the surrogate of the latter's attack.

    `n_votes` purifications vote in the method's own paper; SSNI's code takes one.
    """

    exact: Purifier
    released: Purifier
    surrogate: Purifier
    n_votes: int = 1


@dataclasses.dataclass(frozen=True)
class RowChoices:
    """The choices of a row: what is defended, how, against what, and how it is judged."""

    ssni: Literal["none", "L", "N"] = "N"
    """Reweight the noise per image with SSNI-L or SSNI-N; "none" for the plain method."""
    norm: Literal["Linf", "L2"] = "Linf"
    """Norm of the attack budget."""
    eps: float | None = None
    """Attack radius, pixels in [0, 1]; None for the paper's."""
    protocol: Literal["released", "exact"] = "exact"
    """"released" is the protocol of the paper's code, "exact" the full gradient and 20 unseen draws."""
    tau: float = 20.0
    """Temperature of SSNI-N, in units of the score norm. The paper's value per setting is not published: tune it."""
    bias: int = 5
    """Bias b of SSNI, in integer time steps; the code's default."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """What the score network computes in."""
    data: ClassVar[str]

    classifier: ClassVar[str]

    @property
    def networks(self) -> tuple[Published, Published]:
        """The score network and the classifier."""
        return score_of(self), Published(self.classifier)

    @property
    def norms(self) -> "Norms | None":
        """The reference norms that the row takes; None for a plain method."""
        return None if self.ssni == "none" else NORMS[self.data, self.protocol]


@dataclasses.dataclass(frozen=True)
class Cifar10Row(RowChoices):
    """A row of the CIFAR-10 tables."""

    data: ClassVar = "CIFAR-10"
    classifier: Literal["wrn-28-10", "wrn-70-16"] = "wrn-28-10"
    """The classifier behind the purifier."""
    images: Source = Npz("data/cifar10/cifar10_test.npz")
    """Test images, 32 x 32."""

    @property
    def source(self) -> Source:
        """The images as the protocol takes them."""
        return self.images


@dataclasses.dataclass(frozen=True)
class ImageNetRow(RowChoices):
    """A row of the ImageNet table."""

    data: ClassVar = "ImageNet"
    classifier: Literal["resnet50-256"] = "resnet50-256"
    """The classifier behind the purifier."""
    images: Source = ImageFolder("data/imagenet/val", resizing=CENTRE_256)
    """Validation images; the protocol says how they are resized."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"

    @property
    def source(self) -> Source:
        """256 pixels, or the released code's 224, which its purifier enlarges and its score norm does not."""
        resizing = TORCHVISION_224 if self.protocol == "released" else CENTRE_256
        return dataclasses.replace(self.images, resizing=resizing)  # type: ignore[type-var]


Method = Callable[[Any], PaperMethod]


def paper_row(name: str, choices: Any, method: Method) -> Chosen:
    """The row called `name` with these defaults; `method` gives the purifiers for the choices."""
    return Chosen(choices, partial(evaluation_of, name, method))


def score_of(choices: Any) -> Published:
    """The score network of a row."""
    return Published(SCORE[choices.data], choices.dtype)


def evaluation_of(name: str, method: Method, choices: Any) -> Evaluation:
    """The evaluation of a row."""
    base = method(choices)
    title = f"{name}{'' if choices.ssni == 'none' else f' + SSNI-{choices.ssni}'} ({choices.protocol})"
    build = _released if choices.protocol == "released" else _exact
    defense, settings = build(base, choices)
    return Evaluation(title, defense, choices.source, n_images=N_IMAGES, **settings)


def _exact(base: PaperMethod, choices: Any) -> tuple[Predict, dict[str, Any]]:
    defense = Defense(_reweighted(base.exact, choices), Published(choices.classifier))
    predict = defense if base.n_votes == 1 else Vote(defense, base.n_votes)
    apgd, n_draws = Apgd(_threat(choices)), EOT // base.n_votes
    attacks = tuple(WithLoss(apgd, loss, n_draws) for loss in (CrossEntropy(), Dlr()))
    return predict, {"attack": Ensemble(attacks, ("apgd-ce", "apgd-dlr")), "n_draws": EOT}


def _released(base: PaperMethod, choices: Any) -> tuple[Predict, dict[str, Any]]:
    defense = Defense(_reweighted_released(base.released, choices), Published(choices.classifier))
    surrogate = _reweighted_released(base.surrogate, choices)
    attack = Pgd(_threat(choices), step_size=STEP_SIZE, n_steps=N_STEPS[choices.data])
    gradient = ShorterRounds(surrogate.rounds)
    objective = Objective(n_draws=EOT, hold=choices.ssni != "none", differentiate=gradient)
    return defense, {"attack": attack, "objective": objective, "n_draws": RELEASED_DRAWS}


def _threat(choices: Any) -> Linf | L2:
    eps = EPS[choices.data, choices.norm] if choices.eps is None else choices.eps
    if choices.norm == "Linf":
        return Linf(eps)
    return L2(eps, Sign()) if choices.protocol == "released" else L2(eps)


def _calibration(choices: Any) -> Calibration:
    score, norms = score_of(choices), choices.norms
    if not score.is_stored:
        return score.unmeasured(N_LEVELS[choices.data])
    if not norms.file.is_file():
        raise FileNotFoundError(f"There are no reference norms at {norms.file}: run `{norms.command}`.")
    return read_calibration(norms.file)


def _reweighted(base: Purifier, choices: Any) -> Purifier:
    bias = choices.bias / BIAS_UNIT
    if choices.ssni == "N":
        return ssni_n(base, _calibration(choices), tau=choices.tau, bias=bias)
    return ssni_l(base, _calibration(choices), bias=bias) if choices.ssni == "L" else base


def _reweighted_released(base: Purifier, choices: Any) -> Purifier:
    if choices.ssni == "N":
        return ssni_n_released(base, _calibration(choices), tau=choices.tau, bias=choices.bias)
    return ssni_l_released(base, _calibration(choices), bias=choices.bias) if choices.ssni == "L" else base
