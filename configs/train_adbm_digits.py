"""ADBM for the digits: the bundled score network fine-tuned on bridges from its own classifier's adversaries."""

from ssni_jax.data import Digits
from ssni_jax.experiments import Training
from ssni_jax.networks import EdmCoefficients, SongUNetConfig
from ssni_jax.training import Adam, BridgeLoss
from ssni_jax.zoo import Pretrained

experiment = Training(
    name="digits-adbm",
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
    start=Pretrained("digits-score"),
    loss=BridgeLoss(EdmCoefficients(sigma_data=0.75), Pretrained("digits-classifier"), eps=0.15),
    images=Digits("train"),
    optimizer=Adam(learning_rate=2e-4, warmup=100, decay_to=0.1),
    batch_size=64,
    n_steps=1500,
    save_every=500,
    ema_decay=0.995,
)
