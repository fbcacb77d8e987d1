"""`ssni evaluate` and `ssni judge`."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import jax
import tyro

from ssni_jax.commands.config import overridden, read_chosen
from ssni_jax.commands.divided import Divided
from ssni_jax.commands.estimate import Estimates, needed
from ssni_jax.commands.sanity import examined
from ssni_jax.commands.sharing import Sharing
from ssni_jax.core.describe import describe
from ssni_jax.core.protocols import Predict
from ssni_jax.data import AdversarialImages
from ssni_jax.dist.targets import HardwareTarget
from ssni_jax.experiments import Evaluation
from ssni_jax.experiments.fit import fitted
from ssni_jax.jobs.automatic import settled, settled_here
from ssni_jax.jobs.evaluate import evaluate
from ssni_jax.jobs.plan import RunPlan, facts_of
from ssni_jax.jobs.plan_evaluation import plan_evaluation, seconds_per_call
from ssni_jax.jobs.sharing import Share
from ssni_jax.journal.evaluation import SANITY
from ssni_jax.journal.status import status
from ssni_jax.lifecycle import Stopper


@dataclasses.dataclass(frozen=True)
class Evaluate(Sharing, Divided, Estimates):
    """Clean and robust accuracy of the predictor of a config file; the same command resumes after a stop.

    Further flags override fields of the config, such as --attack.threat.eps 0.1 or --n-images 100; --fields lists them.
    A larger --n-images or --n-draws extends a finished run.
    """

    takes_overrides: ClassVar[bool] = True
    STORED: ClassVar = ("workdir",)
    config: tyro.conf.Positional[Path]
    """A .py file that builds `experiment`, an Evaluation."""
    workdir: Path | None = None
    """Directory of the records, shared by all processes and jobs that work on this evaluation."""
    sanity: bool = False
    """First check the attack on 16 images as `ssni sanity` does; the table goes into the report."""

    def run(self, overrides: Sequence[str]) -> None:
        """Evaluates what has no record yet, then prints where the run stands."""
        program = f"ssni evaluate {self.config}"
        built, rest = read_chosen(self.config, Evaluation, overrides, program)
        asked = overridden(built, rest, program)
        check_calibrated(built.defense, asked.defense)
        if self.estimate:
            return self.show(partial(planned, asked, self.fsdp), partial(probed, asked))
        workdir, experiment = needed(self.workdir), fitted(asked)
        command = self.with_flags(
            ["ssni", "evaluate", str(self.config), "--workdir", str(workdir), *self.divides, *overrides]
        )
        if self.sanity:
            examined(experiment, self.in_place(experiment), out=workdir / SANITY)
        run_evaluation(experiment, self.in_place, workdir, command, self.share)


@dataclasses.dataclass(frozen=True)
class Judge(Sharing, Divided):
    """Judge adversarial images that exist already on the predictor of a config file: of another run, or foreign ones.

    Nothing is attacked. Each image is judged as `ssni evaluate` judges its own: clean, then under fresh draws.
    Further flags override fields of the config.
    """

    takes_overrides: ClassVar[bool] = True
    STORED: ClassVar = ("workdir",)
    config: tyro.conf.Positional[Path]
    """A .py file that builds `experiment`, an Evaluation; its attack is left out."""
    adversarial: Path
    """The --workdir of a finished `ssni evaluate`, or an .npz file with `images` [N, H, W, C] and optionally `ids` [N],
    their places in the config's images (0, 1, 2, ... without)."""
    workdir: Path
    """Directory of the records."""

    def run(self, overrides: Sequence[str]) -> None:
        """Judges what has no record yet, then prints where the run stands."""
        program = f"ssni judge {self.config}"
        built, rest = read_chosen(self.config, Evaluation, overrides, program)
        given = AdversarialImages(str(self.adversarial))
        base = dataclasses.replace(built, attack=None, adversarial=given)
        asked = overridden(base, rest, program)
        check_calibrated(built.defense, asked.defense)
        experiment = fitted(asked)
        flags = ["--adversarial", str(self.adversarial), "--workdir", str(self.workdir), *self.divides, *overrides]
        command = self.with_flags(["ssni", "judge", str(self.config), *flags])
        run_evaluation(experiment, self.in_place, self.workdir, command, self.share)


def probed(experiment: Evaluation, plan: RunPlan) -> float:
    """Seconds per network call of the experiment on the devices that are here."""
    return seconds_per_call(settled_here(experiment), plan)


def planned(experiment: Evaluation, divided: bool, target: HardwareTarget) -> RunPlan:
    """The plan of an evaluation on a target."""
    facts = facts_of(experiment)
    return plan_evaluation(settled(experiment, target, facts), target, facts, divided=divided)


def run_evaluation(
    experiment: Evaluation, in_place: Callable[[Evaluation], Predict], workdir: Path, command: str, share: Share
) -> None:
    """Evaluates the predictor that `in_place` makes of the experiment's, and prints where the run stands."""
    with Stopper(command) as stopper:
        with stopper.nothing_to_lose():
            predict = in_place(experiment)
        evaluate(experiment, predict, workdir, stopper, share=share)
    if jax.process_index() == 0:
        print(f"{status(workdir)}\nNext: ssni report {workdir}")


def check_calibrated(built: Any, asked: Any) -> None:
    """Refuses a flag that swaps the network under a level calibrated with the config's."""
    for before, after in zip(_purifiers(built), _purifiers(asked), strict=False):
        is_adaptive = any(round.level.adaptive for round in after.rounds)
        if is_adaptive and describe((before.denoise, before.deviation)) != describe((after.denoise, after.deviation)):
            raise ValueError(
                "the noise level was calibrated with the config's network and score norm, and a flag changes them: "
                "change them in the config file, where the calibration is read."
            )


def _purifiers(predict: Any) -> Sequence[Any]:
    return getattr(predict, "purifiers", ())
