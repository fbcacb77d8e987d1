"""A small CIFAR-10 denoiser, trained where purification needs it: the first of three steps to purification."""

from ssni_jax.data import Npz
from ssni_jax.experiments import Training
from ssni_jax.networks import EdmCoefficients, SongUNetConfig
from ssni_jax.training import Adam, DenoisingLoss, Mirror

experiment = Training(
    name="cifar10-small-edm",
    network=SongUNetConfig(
        resolution=32, model_channels=32, channel_mult=(1, 2, 3), num_blocks=1, attn_resolutions=(8,), dropout=0.0
    ),
    loss=DenoisingLoss(EdmCoefficients(sigma_data=0.5), p_mean=-0.4, p_std=1.0, augment=(Mirror(),)),
    images=Npz("data/cifar10/cifar10_train_*.npz"),
    optimizer=Adam(learning_rate=1e-3, warmup=200, decay_to=0.05),
    batch_size=32,
    n_steps=4000,
    save_every=500,
    ema_decay=0.998,
)
