"""FlowPure for the digits: a velocity network from noise 0.3 to clean images, exported as a denoiser."""

from ssni_jax.data import Digits
from ssni_jax.experiments import Training
from ssni_jax.networks import FlowCoefficients, SongUNetConfig
from ssni_jax.training import Adam, FlowMatchingLoss

experiment = Training(
    name="digits-flowpure",
    network=SongUNetConfig(
        resolution=8,
        in_channels=1,
        out_channels=1,
        model_channels=32,
        channel_mult=(1, 2),
        num_blocks=1,
        attn_resolutions=(4,),
        dropout=0.1,
    ),
    loss=FlowMatchingLoss(FlowCoefficients(std=0.6)),
    images=Digits("train"),
    optimizer=Adam(learning_rate=2e-3, warmup=200, decay_to=0.02),
    batch_size=128,
    n_steps=2500,
    save_every=500,
    ema_decay=0.999,
)
