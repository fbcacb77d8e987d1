"""The shapes of networks that others have released, for planning before a checkpoint is at hand."""

from ssni_jax.networks import AdmUNetConfig, SongUNetConfig, VitConfig

JCM_CIFAR10 = SongUNetConfig(
    32,
    model_channels=128,
    channel_mult=(2, 2, 2),
    num_blocks=4,
    attn_resolutions=(16,),
    dropout=0.0,
    embedding_type="fourier",
    channel_mult_noise=2,
    encoder_type="residual",
    resample_filter=(1, 3, 3, 1),
)
DDPMPP_DEEP = SongUNetConfig(
    32, model_channels=128, channel_mult=(1, 2, 2, 2), num_blocks=8, attn_resolutions=(16,), dropout=0.1
)
EDM_CIFAR10 = SongUNetConfig(
    32, model_channels=128, channel_mult=(2, 2, 2), num_blocks=4, attn_resolutions=(16,), dropout=0.13, augment_dim=9
)
IMPROVED_CIFAR10 = AdmUNetConfig(
    32,
    out_channels=6,
    model_channels=128,
    channel_mult=(1, 2, 2, 2),
    num_blocks=3,
    attn_resolutions=(16, 8),
    num_heads=4,
    resampling="conv",
    dropout=0.3,
)
ADM_256 = AdmUNetConfig(
    256, out_channels=6, model_channels=256, channel_mult=(1, 1, 2, 2, 4, 4), num_blocks=2, num_head_channels=64
)
ADM_64 = AdmUNetConfig(64, dropout=0.0, label_dim=1000)
VIT_CIFAR10 = VitConfig(224, patch=16, width=768, depth=12, n_heads=12, mlp_width=3072, n_classes=10, eps=1e-12)
