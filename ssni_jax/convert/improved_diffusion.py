"""Checkpoints of improved-diffusion (Nichol & Dhariwal 2021, arXiv:2102.09672): CIFAR-10, ImageNet-64, LSUN."""

from ssni_jax.convert.family import Family, Options, Plan, Tensors
from ssni_jax.convert.openai_unet import assumable, configured, infer, settled, sources, table_coefficients

# What distinguishes the released networks from each other, most particular first; the last entry is the rule.
RELEASED = (
    ({"channel_mult": (1, 2, 2, 2)}, {"dropout": 0.3}),
    ({"channel_mult": (1, 2, 3, 4), "label_dim": 1000}, {"rescale_timesteps": False}),
    (
        {"channel_mult": (1, 1, 2, 2, 4, 4), "conditioning": "additive"},
        {"num_heads": 1, "noise_schedule": "linear", "diffusion_steps": 1000, "rescale_timesteps": False},
    ),
    (
        {},
        {
            "num_heads": 4,
            "noise_schedule": "cosine",
            "diffusion_steps": 4000,
            "rescale_timesteps": True,
            "dropout": 0.0,
        },
    ),
)


def plan(tensors: Tensors, options: Options) -> Plan:
    """The network of a state dict and its table; options left open are those of the released network of its shape."""
    shape = infer(tensors)
    options = settled(options, shape, RELEASED)
    config = configured(shape, options)
    return Plan(config, sources(config, by_head=True), (), table_coefficients(options), assumable(options, config))


IMPROVED_DIFFUSION = Family(
    name="improved-diffusion",
    checkpoints="improved-diffusion cifar10_uncond_{,vlb_}50M_500K.pt, imagenet64_uncond_{,vlb_}100M_1500K.pt, "
    "imagenet64_cond_270M_250K.pt, lsun_uncond_100M_{1200K_bs128,2400K_bs64}.pt",
    purpose="CIFAR-10 denoiser of randomized smoothing by one-step denoising (DDS) and DensePure",
    licence="MIT",
    plan=plan,
    options={
        "image_size": None,
        "num_heads": None,
        "noise_schedule": None,
        "diffusion_steps": None,
        "rescale_timesteps": None,
        "dropout": None,
    },
)
