"""The bundled purifier: the distilled digits model fine-tuned at the certification noises."""

from ssni_jax.data import Digits
from ssni_jax.experiments import Training
from ssni_jax.networks import ConsistencyCoefficients, FeatureDistance, SongUNetConfig
from ssni_jax.training import ConsistencyFineTuning, RAdam
from ssni_jax.zoo import Pretrained

experiment = Training(
    name="digits-consistency-finetuned",
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
    start=Pretrained("digits-consistency"),
    loss=ConsistencyFineTuning(
        ConsistencyCoefficients(sigma_data=0.75, sigma_min=0.005, label_scale=0.25),
        distance=FeatureDistance(Pretrained("digits-classifier")),
        sigmas=(0.25, 0.5, 1.0),
    ),
    images=Digits("train"),
    optimizer=RAdam(learning_rate=5e-4, decay_to=0.05),
    batch_size=64,
    n_steps=4000,
    save_every=1000,
    ema_decay=0.999,
)
