"""Training: losses, one pure step, the loop and its hooks, checkpoints."""

from ssni_jax.training.augment import Augment, Grey, Jitter, Mirror, ResizedCrop, Shift
from ssni_jax.training.bridge import Bridge, BridgeLoss
from ssni_jax.training.checkpoint import Checkpoints
from ssni_jax.training.consistency import (
    AlongOde,
    Average,
    ConsistencyFineTuning,
    ConsistencyLoss,
    Present,
    SameNoise,
    WidenedAverage,
    consistency_distillation,
    consistency_training,
    easy_consistency_tuning,
    improved_consistency_training,
)
from ssni_jax.training.flow import FlowMatchingLoss
from ssni_jax.training.hooks import LeaveOnSignal, MetricsFile, Save, StopOnNan, usual_hooks
from ssni_jax.training.loop import Hook, train
from ssni_jax.training.losses import ClassificationLoss, DenoisingLoss
from ssni_jax.training.optimizer import Adam, LayerwiseDecay, Optimizer, RAdam
from ssni_jax.training.pairs import ConstantLevels, Doubling, DoublingAhead, Neighbours, Ratios, SquareRoot
from ssni_jax.training.representation import ConsistentClassification, RepresentationConsistency, RisingAverage
from ssni_jax.training.start import begun_with
from ssni_jax.training.state import TrainState, averaged, init_state, make_state
from ssni_jax.training.step import TrainStep, compile_step, has_target, make_train_step

__all__ = [
    "Adam",
    "AlongOde",
    "Augment",
    "Average",
    "Bridge",
    "BridgeLoss",
    "Checkpoints",
    "ClassificationLoss",
    "ConsistencyFineTuning",
    "ConsistencyLoss",
    "ConsistentClassification",
    "ConstantLevels",
    "DenoisingLoss",
    "Doubling",
    "DoublingAhead",
    "FlowMatchingLoss",
    "Grey",
    "Hook",
    "Jitter",
    "LayerwiseDecay",
    "LeaveOnSignal",
    "MetricsFile",
    "Mirror",
    "Neighbours",
    "Optimizer",
    "Present",
    "RAdam",
    "Ratios",
    "RepresentationConsistency",
    "ResizedCrop",
    "RisingAverage",
    "SameNoise",
    "Save",
    "Shift",
    "SquareRoot",
    "StopOnNan",
    "TrainState",
    "TrainStep",
    "WidenedAverage",
    "averaged",
    "begun_with",
    "compile_step",
    "consistency_distillation",
    "consistency_training",
    "easy_consistency_tuning",
    "has_target",
    "improved_consistency_training",
    "init_state",
    "make_state",
    "make_train_step",
    "train",
    "usual_hooks",
]
