"""What a config file builds: one frozen value per experiment, checked when built; its data are opened when it runs."""

from ssni_jax.experiments.certification import Certification
from ssni_jax.experiments.evaluation import Evaluation
from ssni_jax.experiments.reference_norms import ReferenceNorms
from ssni_jax.experiments.sweep import Cell, Sweep, across
from ssni_jax.experiments.training import Training

__all__ = ["Cell", "Certification", "Evaluation", "ReferenceNorms", "Sweep", "Training", "across"]
