"""`ssni train`."""

import dataclasses
import shlex
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import tyro

from ssni_jax.commands.config import overridden, read_experiment
from ssni_jax.commands.estimate import Estimates, needed
from ssni_jax.dist import make_mesh, whole
from ssni_jax.experiments import Training
from ssni_jax.experiments.fit import fitted_training
from ssni_jax.jobs.plan_training import plan_training
from ssni_jax.jobs.train import run_training
from ssni_jax.zoo import resolve


@dataclasses.dataclass(frozen=True)
class Train(Estimates):
    """Train the network of a config file; the same command resumes after a stop.

    Further flags override fields of the config, such as --n-steps 500; --fields lists them.
    """

    takes_overrides: ClassVar[bool] = True
    config: tyro.conf.Positional[Path]
    """A .py file that builds `experiment`, a Training."""
    workdir: Path | None = None
    """Directory of checkpoints (with metrics.jsonl) and the exported network."""

    def run(self, overrides: Sequence[str]) -> None:
        """Trains, then says where the network is."""
        built = overridden(read_experiment(self.config, Training), overrides, f"ssni train {self.config}")
        if self.estimate:
            return self.show(partial(plan_training, built))
        workdir, experiment = needed(self.workdir), fitted_training(built)
        loss, start = resolve((experiment.loss, experiment.start), whole(make_mesh()))
        command = shlex.join(["ssni", "train", str(self.config), "--workdir", str(workdir), *overrides])
        path = run_training(experiment, loss, start, workdir, command)
        print(f"Wrote {path}.safetensors and {path}.json; use it in a config as Pretrained({str(path)!r}).")
