"""The bundled consistency model: the score network of the digits, distilled along its probability-flow ODE."""

from ssni_jax.data import Digits
from ssni_jax.experiments import Training
from ssni_jax.networks import ConsistencyCoefficients, PseudoHuber, SongUNetConfig
from ssni_jax.training import AlongOde, ConsistencyLoss, ConstantLevels, Neighbours, RAdam
from ssni_jax.zoo import Pretrained

SCORE = Pretrained("digits-score")

experiment = Training(
    name="digits-consistency",
    network=SongUNetConfig(
        resolution=8,
        in_channels=1,
        out_channels=1,
        model_channels=32,
        channel_mult=(1, 2),
        num_blocks=1,
        attn_resolutions=(4,),
        dropout=0.0,
    ),
    start=SCORE,
    loss=ConsistencyLoss(
        ConsistencyCoefficients(sigma_data=0.75, sigma_min=0.005, label_scale=0.25),
        pairs=Neighbours(ConstantLevels(18), sigma_min=0.005, sigma_max=20.0, log_mean=-0.5, log_std=1.2, by_gap=True),
        move=AlongOde(SCORE),
        distance=PseudoHuber(),
    ),
    images=Digits("train"),
    optimizer=RAdam(learning_rate=4e-4, decay_to=0.05, clip=1.0),
    batch_size=64,
    n_steps=3000,
    save_every=500,
    ema_decay=0.999,
)
