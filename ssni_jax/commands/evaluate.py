"""`ssni evaluate`."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import jax
import tyro

from ssni_jax.commands.config import overridden, read_experiment
from ssni_jax.core.describe import describe
from ssni_jax.dist import make_mesh, whole
from ssni_jax.experiments.experiment import Evaluation
from ssni_jax.jobs.evaluate import run_evaluation
from ssni_jax.journal.status import is_complete, status
from ssni_jax.purify import Defense, NoDeviation
from ssni_jax.zoo import check_fit, resolve


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Clean and robust accuracy of the defence of a config file; the same command resumes after a stop.

    Further flags override fields of the config, such as --attack.threat.eps 0.1; --fields lists them.
    """

    takes_overrides: ClassVar[bool] = True
    config: tyro.conf.Positional[Path]
    """A .py file that builds `experiment`, an Evaluation."""
    workdir: Path
    """Directory of the records, one line an image."""

    def run(self, overrides: Sequence[str]) -> None:
        """Evaluates what has no record yet, then prints where the run stands."""
        built = read_experiment(self.config, Evaluation)
        experiment = overridden(built, overrides, f"ssni evaluate {self.config}")
        check_calibrated(built.defense, experiment.defense)
        check_fit(experiment.defense, experiment.images.image_shape)
        command = shlex.join(["ssni", "evaluate", str(self.config), "--workdir", str(self.workdir), *overrides])
        run_evaluation(experiment, resolve(experiment.defense, whole(make_mesh())), self.workdir, command)
        if jax.process_index() == 0:
            print(status(self.workdir))
            if is_complete(self.workdir):
                print(f"Next: ssni report {self.workdir}")


def check_calibrated(built: Defense, asked: Defense) -> None:
    """Refuses a flag that swaps the network under a level calibrated with the config's."""
    before, after = built.purify, asked.purify
    if isinstance(after.deviation, NoDeviation):
        return
    if describe((before.denoise, before.deviation)) != describe((after.denoise, after.deviation)):
        raise ValueError(
            "the noise level was calibrated with the config's network and score norm, and a flag changes them: "
            "change them in the config file, where the calibration is read."
        )
