"""The bundled score network: a small DDPM++ on the training digits."""

from ssni_jax.data import Digits
from ssni_jax.experiments import Training
from ssni_jax.networks import EdmCoefficients, SongUNetConfig
from ssni_jax.training import Adam, DenoisingLoss

experiment = Training(
    name="digits-score",
    network=SongUNetConfig(
        resolution=8,
        in_channels=1,
        out_channels=1,
        model_channels=32,
        channel_mult=(1, 2),
        num_blocks=1,
        attn_resolutions=(4,),
        dropout=0.2,
    ),
    loss=DenoisingLoss(EdmCoefficients(sigma_data=0.75), p_mean=-1.2, p_std=1.4, sigma_min=0.005),
    images=Digits("train"),
    optimizer=Adam(learning_rate=2e-3, warmup=200, decay_to=0.02),
    batch_size=128,
    n_steps=2500,
    save_every=500,
    ema_decay=0.999,
)
