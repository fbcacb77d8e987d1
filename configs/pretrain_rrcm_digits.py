"""rRCM of the digits, first of two steps: representations that agree between views and along noise levels."""

from ssni_jax.data import Digits
from ssni_jax.experiments import Training
from ssni_jax.networks import ConsistencyCoefficients, NoiseVitConfig
from ssni_jax.training import Adam, DoublingAhead, Neighbours, RepresentationConsistency, RisingAverage, Shift

experiment = Training(
    name="digits-rrcm-encoder",
    network=NoiseVitConfig(
        resolution=8, in_channels=1, patch=2, width=64, depth=4, n_heads=4, mlp_width=128, hidden=64, output=32
    ),
    loss=RepresentationConsistency(
        ConsistencyCoefficients(sigma_data=0.75, sigma_min=0.005, label_scale=250.0),
        pairs=Neighbours(DoublingAhead(), sigma_min=0.005, sigma_max=20.0),
        target=RisingAverage(0.99, 0.999),
        views=(Shift(1),),
    ),
    images=Digits("train"),
    optimizer=Adam(learning_rate=2e-3, warmup=100, decay_to=0.02, clip=2.0),
    batch_size=128,
    n_steps=1000,
    save_every=500,
    ema_decay=0.99,
)
