"""`ssni certify`."""

import dataclasses
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import jax
import tyro

from ssni_jax.commands.config import overridden, read_experiments
from ssni_jax.commands.estimate import Estimates, needed
from ssni_jax.commands.sharing import Sharing
from ssni_jax.dist import make_mesh, whole
from ssni_jax.dist.targets import HardwareTarget
from ssni_jax.experiments import Certification
from ssni_jax.experiments.fit import fitted
from ssni_jax.jobs.certify import Ready, certify
from ssni_jax.jobs.plan import RunPlan, facts_of
from ssni_jax.jobs.plan_certification import plan_certification
from ssni_jax.journal.status import status
from ssni_jax.lifecycle import Stopper
from ssni_jax.zoo import resolve


@dataclasses.dataclass(frozen=True)
class Certify(Sharing, Estimates):
    """Certified accuracy of the methods of a config file by randomized smoothing; the same command resumes.

    Further flags override fields of every method's config, such as --n-images 20; --fields lists them.
    """

    takes_overrides: ClassVar[bool] = True
    STORED: ClassVar = ("workdir",)
    config: tyro.conf.Positional[Path]
    """A .py file that builds `experiment`, a Certification, or `experiments`, a tuple of several."""
    workdir: Path | None = None
    """Directory of the records; of several methods each gets a directory in it."""
    only: str | None = None
    """The name of one method of several; None for all."""

    def run(self, overrides: Sequence[str]) -> None:
        """Certifies what has no record yet, then prints where the runs stand."""
        built = read_experiments(self.config, Certification)
        experiments = [overridden(experiment, overrides, f"ssni certify {self.config}") for experiment in built]
        workdir = Path() if self.estimate else needed(self.workdir)
        placed = list(zip(folders(workdir, experiments), experiments, strict=True))
        chosen = [(folder, experiment) for folder, experiment in placed if self.only in (None, experiment.name)]
        if not chosen:
            names = ", ".join(experiment.name for experiment in experiments)
            raise ValueError(f"{self.config} has no method {self.only!r}: choose one of {names}.")
        if self.estimate:
            for _, experiment in chosen:
                self.show(partial(planned, experiment))
            return
        with Stopper(self.command(overrides)) as stopper:
            with stopper.nothing_to_lose():
                fitting = [(folder, fitted(experiment)) for folder, experiment in chosen]
                ready = [prepared(experiment) for _, experiment in fitting]  # all are refused before the first begins
            for (folder, experiment), prepared_one in zip(fitting, ready, strict=True):
                certify(experiment, prepared_one, folder, stopper, self.share)
        if jax.process_index() == 0:
            print(f"{status(workdir)}\nNext: ssni report {workdir}")

    def command(self, overrides: Sequence[str]) -> str:
        """The command line that resumes."""
        only = [] if self.only is None else ["--only", self.only]
        return self.with_flags(["ssni", "certify", str(self.config), "--workdir", str(self.workdir), *only, *overrides])


def planned(experiment: Certification, target: HardwareTarget) -> RunPlan:
    """The plan of one method on a target."""
    return plan_certification(experiment, target, facts_of(experiment))


def prepared(experiment: Certification) -> Ready:
    """The method in its smoothing form at every sigma, its networks on every device."""
    place = whole(make_mesh())
    predicts = {sigma: resolve(experiment.defense.at_noise(sigma), place) for sigma in experiment.sigmas}
    return Ready(predicts, resolve(experiment.distance, place))


def folders(workdir: Path, experiments: Sequence[Certification]) -> list[Path]:
    """The workdir itself for one method, else one in it for each, called as the method is."""
    if len(experiments) == 1:
        return [workdir]
    names = [re.sub(r"[^a-z0-9]+", "-", experiment.name.lower()).strip("-") for experiment in experiments]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two methods of the config would share the directory {workdir / name}: name them apart.")
    return [workdir / name for name in names]
