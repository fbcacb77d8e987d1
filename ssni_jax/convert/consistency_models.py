"""Checkpoints of OpenAI's consistency_models (Song et al. 2023, arXiv:2303.01469): ImageNet-64 and LSUN-256."""

from ssni_jax.convert.family import Family, Options, Plan, Tensors
from ssni_jax.convert.openai_unet import assumable, configured, infer, settled, sources
from ssni_jax.networks.precondition import CoefficientFunction, ConsistencyCoefficients, EdmCoefficients

SIGMA_DATA, LABEL_SCALE = 0.5, 250.0
RELEASED = (({}, {"num_heads": 4, "num_head_channels": 64}),)


def plan(tensors: Tensors, options: Options) -> Plan:
    """The network of a state dict, as the consistency function or as the denoiser that taught it."""
    shape = infer(tensors)
    options = settled(options, shape, RELEASED)
    config = configured(shape, options)
    unused = {"sigma_min": None} if options["training_mode"] == "edm" else {}
    assumed = {**assumable(options, config), **unused}
    return Plan(config, sources(config, by_head=False), (), coefficients(options), assumed)


def coefficients(options: Options) -> CoefficientFunction:
    """The form that `training_mode` trained."""
    consistency = ConsistencyCoefficients(SIGMA_DATA, float(options["sigma_min"]), LABEL_SCALE)
    forms = {
        "consistency_distillation": consistency,
        "consistency_training": consistency,
        "edm": EdmCoefficients(SIGMA_DATA, LABEL_SCALE),
    }
    if options["training_mode"] not in forms:
        raise ValueError(f"training_mode is {options['training_mode']!r}, but it must be one of {', '.join(forms)}")
    return forms[options["training_mode"]]


CONSISTENCY_MODELS = Family(
    name="consistency-models",
    checkpoints="consistency_models {cd,ct}_{imagenet64,bedroom256,cat256}*.pt, "
    "edm_{imagenet64,bedroom256,cat256}_ema.pt (with training_mode=edm)",
    purpose="purification in one call at ImageNet-64 and LSUN-256",
    licence="MIT",
    plan=plan,
    options={
        "training_mode": "consistency_distillation",
        "sigma_min": 0.002,
        "image_size": None,
        "num_heads": None,
        "num_head_channels": None,
        "dropout": 0.0,
    },
)
