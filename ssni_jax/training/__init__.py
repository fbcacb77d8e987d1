"""Training: losses, one pure step, the loop and its hooks, checkpoints."""

from ssni_jax.training.augment import Augment, Mirror, Shift
from ssni_jax.training.checkpoint import Checkpoints
from ssni_jax.training.hooks import LeaveOnSignal, MetricsFile, Save, StopOnNan, usual_hooks
from ssni_jax.training.loop import Hook, train
from ssni_jax.training.losses import CrossEntropy, DenoisingLoss
from ssni_jax.training.optimizer import Adam
from ssni_jax.training.progress import Progress
from ssni_jax.training.state import TrainState, averaged, init_state, make_state
from ssni_jax.training.step import compile_step, make_train_step

__all__ = [
    "Adam",
    "Augment",
    "Checkpoints",
    "CrossEntropy",
    "DenoisingLoss",
    "Hook",
    "LeaveOnSignal",
    "MetricsFile",
    "Mirror",
    "Progress",
    "Save",
    "Shift",
    "StopOnNan",
    "TrainState",
    "averaged",
    "compile_step",
    "init_state",
    "make_state",
    "make_train_step",
    "train",
    "usual_hooks",
]
