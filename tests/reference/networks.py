"""Networks against their references: converted as a released file would be, configured from the case alone."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ssni_jax.convert import timm
from ssni_jax.convert.consistency_models import CONSISTENCY_MODELS
from ssni_jax.convert.edm import EDM
from ssni_jax.convert.family import Converted, Family, convert
from ssni_jax.convert.guided_diffusion import GUIDED_DIFFUSION
from ssni_jax.convert.inception import FID_INCEPTION, TORCHVISION_INCEPTION
from ssni_jax.convert.jcm import JCM
from ssni_jax.convert.lpips import LPIPS
from ssni_jax.convert.robustbench import DM_WIDE_RESNET, STANDARD
from ssni_jax.convert.score_sde import SCORE_SDE
from ssni_jax.convert.torchvision import RESNET
from ssni_jax.networks import Network, Preconditioned, PreprocessedClassifier
from ssni_jax.networks.network import abstract, unflat
from tests.reference.case import Case, Check, compare, relative

FAMILIES = {
    "edm": EDM,
    "score_sde": SCORE_SDE,
    "guided_diffusion": GUIDED_DIFFUSION,
    "consistency": CONSISTENCY_MODELS,
    "jcm": JCM,
    "wrn_standard": STANDARD,
    "wrn_dm": DM_WIDE_RESNET,
    "torchvision_inception": TORCHVISION_INCEPTION,
    "fid_inception": FID_INCEPTION,
    "torchvision": RESNET,
    "timm_vit": timm.VIT,
    "timm_deit": timm.DEIT,
    "lpips": LPIPS,
}
SMALL, FULL, MOST_SMALL = 1e-5, 1e-4, 20_000_000
IS_FLAX = "flax"


def checks(folder: Path, *, bfloat16: bool = False, n_outputs: int | None = None) -> Iterator[Check]:
    """The outputs of a network's case by name, or the first `n_outputs` of them."""
    case = Case(folder)
    tensors, io = case.tensors(), case.io()
    for output in sorted(name.removeprefix("out_") for name in io if name.startswith("out_"))[:n_outputs]:
        found, converted = run(case, tensors, io, output)
        facts: dict[str, Any] = {"params": sum(array.size for array in converted.arrays.values())}
        if bfloat16:
            facts["bfloat16"] = relative(run(case, tensors, io, output, dtype="bfloat16")[0], found)
        tolerance = SMALL if facts["params"] < MOST_SMALL else FULL
        yield compare(case.name, output, found, io[f"out_{output}"], tolerance, **facts)


def run(case: Case, tensors: Mapping, io: Mapping, output: str, dtype: str = "float32") -> tuple[np.ndarray, Converted]:
    """The reference's `output` computed by our network, in the reference's layout."""
    converted = convert(family_of(case), tree_of(case, tensors), options_of(case, output))
    converted = converted._replace(config=dataclasses.replace(converted.config, dtype=dtype))
    arguments, call = OUTPUTS[output](converted, {key: jnp.asarray(value) for key, value in inputs(case, io).items()})
    found = np.asarray(jax.jit(call)(network(converted), *arguments), np.float32)
    return found if case.manifest.get("layout") == IS_FLAX or found.ndim < 4 else np.moveaxis(found, -1, 1), converted


def family_of(case: Case) -> Family:
    """The family whose name the case's begins with."""
    return next(family for prefix, family in FAMILIES.items() if case.name.startswith(prefix))


def options_of(case: Case, output: str = "") -> dict[str, Any]:
    """The settings of the case that its family knows, and the form of network that the output asks for."""
    settings = case.settings | FORMS.get(output, {})
    return {key: value for key, value in settings.items() if key in family_of(case).options}


def tree_of(case: Case, tensors: Mapping[str, np.ndarray]) -> Any:
    """The tensors as the reader returns a released file."""
    if case.manifest.get("layout") == IS_FLAX:
        return {"params_ema": {name.removeprefix("params/"): array for name, array in tensors.items()}}
    return dict(tensors)


def inputs(case: Case, io: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Inputs without `in_`, images with channels last."""
    found = {name.removeprefix("in_"): array for name, array in io.items() if name.startswith("in_")}
    if case.manifest.get("layout") == IS_FLAX:
        return found
    return {name: np.moveaxis(array, 1, -1) if array.ndim == 4 else array for name, array in found.items()}


def network(converted: Converted) -> Network:
    """The converted network in memory."""
    graphdef, shapes = abstract(converted.config.make)
    return Network(graphdef, unflat(shapes, {name: jnp.asarray(array) for name, array in converted.arrays.items()}))


Call = tuple[tuple[Any, ...], Callable[..., Any]]
FORMS = {"denoised": {"training_mode": "edm"}}


def labels(converted: Converted, io: Mapping[str, Any]) -> dict[str, Any]:
    """One-hot class labels where the case has classes."""
    if "class_onehot" in io:
        return {"class_labels": io["class_onehot"]}
    return {"class_labels": jax.nn.one_hot(io["y"], converted.config.label_dim)} if "y" in io else {}


def denoised(converted: Converted, io: Mapping[str, Any]) -> Call:
    """The denoiser; the jcm cases, which say t, give images of unit variance that are yet to be scaled."""
    given = labels(converted, io)
    sigma = io["sigma"] if "sigma" in io else io["t"]
    x = io["x"] if "sigma" in io else io["x"] * jnp.sqrt(1 + sigma**2)[:, None, None, None]
    return (x, sigma), lambda net, x, s: Preconditioned(net, converted.around)(x, s, **given)


def raw(converted: Converted, io: Mapping[str, Any]) -> Call:
    """The bare network at the label of the noise level, on the input as it is."""
    label = converted.around(io["sigma"] if "sigma" in io else io["t"]).noise
    given = labels(converted, io)
    return (io["x"], label), lambda net, x, v: net(x, v, **given)


def model(converted: Converted, io: Mapping[str, Any]) -> Call:
    """The bare network at a time: continuous (score_sde, times 999) or an integer step (guided-diffusion)."""
    label = io["t"].astype(jnp.float32) * (1 if io["t"].dtype.kind == "i" else 999)
    given = labels(converted, io)
    return (io["x"], label), lambda net, x, v: net(x, v, **given)


def score(converted: Converted, io: Mapping[str, Any]) -> Call:
    """Score of the variance-preserving state x at time t, through the denoiser."""
    schedule = converted.around.schedule
    sigma, scale = schedule.sigma(io["t"]), schedule.scale(io["t"])
    rows = (slice(None), None, None, None)

    def call(net, x):
        unscaled = x / scale[rows]
        denoise = Preconditioned(net, converted.around)
        return (denoise(unscaled, sigma) - unscaled) / (sigma**2 * scale)[rows]

    return (io["x"],), call


def logits(converted: Converted, io: Mapping[str, Any]) -> Call:
    """A classifier on [0, 1] images if its case normalises inside, else on normalised ones."""
    bare = io["x"].shape[1] > 32
    return (io["x"],), lambda net, x: net(x) if bare else PreprocessedClassifier(net, converted.around)(x)


def features(converted: Converted, io: Mapping[str, Any]) -> Call:
    """What the head of a classifier reads, on normalised images."""
    return (io["x"],), lambda net, x: net.method("penultimate")(x)


def distance(converted: Converted, io: Mapping[str, Any]) -> Call:
    return (io["a"], io["b"]), lambda net, a, b: net(a, b)


OUTPUTS = {
    "denoised": denoised,
    "consistency": denoised,
    "raw": raw,
    "model": model,
    "score": score,
    "logits": logits,
    "features": features,
    "distance": distance,
}
