"""The bundled classifier: a WideResNet-10-1 on the training digits."""

from ssni_jax.data import Digits
from ssni_jax.experiments import Training
from ssni_jax.networks import Preprocessing, WideResNetConfig
from ssni_jax.training import Adam, ClassificationLoss, Shift

experiment = Training(
    name="digits-classifier",
    network=WideResNetConfig(depth=10, widen_factor=1, in_channels=1),
    loss=ClassificationLoss(Preprocessing(mean=(0.3,), std=(0.38,)), augment=(Shift(1),)),
    images=Digits("train"),
    optimizer=Adam(learning_rate=5e-3, warmup=100, decay_to=0.02, weight_decay=1e-3),
    batch_size=128,
    n_steps=1500,
    ema_decay=0.99,
)
