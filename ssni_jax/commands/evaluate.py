"""`ssni evaluate`."""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import jax
import tyro

from ssni_jax.commands.config import load_experiment
from ssni_jax.runs.evaluation import run_evaluation
from ssni_jax.runs.experiment import Evaluation
from ssni_jax.runs.status import is_complete, status
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
        experiment = load_experiment(self.config, Evaluation, overrides)
        check_fit(experiment.defense, experiment.images.image_shape)
        command = shlex.join(["ssni", "evaluate", str(self.config), "--workdir", str(self.workdir), *overrides])
        run_evaluation(experiment, resolve(experiment.defense), self.workdir, command)
        if jax.process_index() == 0:
            print(status(self.workdir))
            if is_complete(self.workdir):
                print(f"Next: ssni report {self.workdir}")
