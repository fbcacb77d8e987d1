"""Checkpoints of guided-diffusion (Dhariwal & Nichol 2021, arXiv:2105.05233): ADM on ImageNet and LSUN."""

from ssni_jax.convert.family import Family, Options, Plan, Tensors
from ssni_jax.convert.openai_unet import assumable, configured, infer, is_true, settled, sources, table_coefficients

# What distinguishes the released networks from each other, most particular first; the last entry is the rule.
RELEASED = (
    (
        {"channel_mult": (1, 2, 3, 4), "model_channels": 192, "label_dim": 1000},
        {"noise_schedule": "cosine", "use_new_attention_order": True, "dropout": 0.1},
    ),
    ({"channel_mult": (1, 1, 2, 3, 4), "model_channels": 256}, {"num_head_channels": -1}),
    (
        {},
        {
            "noise_schedule": "linear",
            "num_heads": 4,
            "num_head_channels": 64,
            "use_new_attention_order": False,
            "dropout": 0.0,
        },
    ),
)


def plan(tensors: Tensors, options: Options) -> Plan:
    """The network of a state dict and its table; options left open are those of the released network of its shape."""
    shape = infer(tensors)
    options = settled(options, shape, RELEASED)
    config = configured(shape, options)
    by_head = not is_true(options["use_new_attention_order"])
    return Plan(config, sources(config, by_head=by_head), (), table_coefficients(options), assumable(options, config))


GUIDED_DIFFUSION = Family(
    name="guided-diffusion",
    checkpoints="guided-diffusion {64x64,128x128,256x256,512x512}_diffusion.pt, 256x256_diffusion_uncond.pt, "
    "lsun_{bedroom,cat,horse,horse_nodropout}.pt",
    purpose="ImageNet denoiser of DiffPure, GDMP, DensePure and SSNI",
    licence="MIT",
    plan=plan,
    options={
        "image_size": None,
        "num_heads": None,
        "num_head_channels": None,
        "use_new_attention_order": None,
        "noise_schedule": None,
        "diffusion_steps": 1000,
        "rescale_timesteps": False,
        "dropout": None,
    },
)
