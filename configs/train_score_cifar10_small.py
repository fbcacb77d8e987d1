"""`cifar10-small-score`: a CIFAR-10 denoiser for the noise of purification, state noise 0.01 to 0.34, in three stages.

    ssni train configs/train_score_cifar10_small.py --workdir runs/first --start.name cifar10-small-edm \\
        --n-steps 2600 --loss.p-mean -2 --loss.p-std 1.2 --optimizer.decay-to 0.02
    ssni train configs/train_score_cifar10_small.py --workdir runs/second --start.name runs/first/cifar10-small-score \\
        --n-steps 1600
    ssni train configs/train_score_cifar10_small.py --workdir runs/score

The bundled weights took the first 744 steps of the second stage at the learning rates of longer runs (600 at those of
4,000 steps, then 144 at those of 3,000). The gradients of their kernels were computed as products of matrices from step
943 of that stage on: the same sums in another order.
"""

from ssni_jax.data import Npz
from ssni_jax.experiments import Training
from ssni_jax.networks import EdmCoefficients, SongUNetConfig
from ssni_jax.training import Adam, DenoisingLoss, Mirror
from ssni_jax.zoo import Pretrained

experiment = Training(
    name="cifar10-small-score",
    network=SongUNetConfig(
        resolution=32, model_channels=32, channel_mult=(1, 2, 3), num_blocks=1, attn_resolutions=(8,), dropout=0.0
    ),
    start=Pretrained("runs/second/cifar10-small-score"),
    loss=DenoisingLoss(EdmCoefficients(sigma_data=0.5), p_mean=-1.9, p_std=1.1, sigma_max=2.0, augment=(Mirror(),)),
    images=Npz("data/cifar10/cifar10_train_*.npz"),
    optimizer=Adam(learning_rate=8e-4, warmup=100, decay_to=0.05, clip=1.0),
    batch_size=32,
    n_steps=5000,
    save_every=250,
    ema_decay=0.999,
)
