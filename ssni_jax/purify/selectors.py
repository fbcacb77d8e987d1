"""What else than a score norm may select the noise of an image: baselines for sample-specific noise."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ssni_jax.core.arrays import row_norm, to_unit_range
from ssni_jax.core.bounds import as_share, bounded
from ssni_jax.core.protocols import Classifier, Denoiser, Distance, NoiseSchedule, Predict
from ssni_jax.core.pytree import pytree
from ssni_jax.core.types import Images, Keys, Level
from ssni_jax.networks.distances import PseudoHuber
from ssni_jax.solvers import diffuse


@pytree
class Doubt:
    """One minus the classifier's largest probability at the image itself (Hendrycks & Gimpel 2017); one network call.

    Confident classifiers saturate it at zero in float32, where `SmallMargin` still tells images apart.
    """

    n_calls = 1
    classify: Classifier

    def __call__(self, keys: Keys, x: Images) -> Level:
        return -jnp.expm1(jnp.max(jax.nn.log_softmax(self.classify(to_unit_range(x))), axis=1))


@pytree
class SmallMargin:
    """The second largest logit minus the largest, at the image itself; one network call."""

    n_calls = 1
    classify: Classifier

    def __call__(self, keys: Keys, x: Images) -> Level:
        largest, _ = jax.lax.top_k(self.classify(to_unit_range(x)), 2)
        return largest[:, 1] - largest[:, 0]


@pytree
class ReconstructionDistance:
    """How far an image is from the denoiser's estimate of it, noised to time t; one network call.

    By default the Euclidean distance of images in [-1, 1].
    """

    n_calls = 1
    denoise: Denoiser
    schedule: NoiseSchedule
    t: float = bounded(0, 1, above=True, hint=as_share, default=0.1)
    distance: Distance = PseudoHuber(c=0.0)

    def __call__(self, keys: Keys, x: Images) -> Level:
        sigma = jnp.broadcast_to(self.schedule.sigma(jnp.asarray(self.t)), keys.shape)
        return self.distance(self.denoise(diffuse(keys, x, sigma), sigma), x)


@pytree
class Oracle:
    """How large the perturbation truly is: the Euclidean distance to the nearest of the `clean` images, in [0, 1].

    No defence can know it: it is for evaluations of images whose clean versions it holds, to see what a selector could
    gain at most. Their names must contain "oracle", and it neither certifies nor purifies images of users.
    """

    n_calls = 0
    is_oracle = True
    clean: Float[Array, "N H W C"]

    def __call__(self, keys: Keys, x: Images) -> Level:
        given = to_unit_range(x)
        return jnp.min(jax.lax.map(lambda clean: row_norm(given - clean), self.clean), axis=0)


def asks_oracle(predict: Predict) -> bool:
    """Whether a purifier inside is told what no defence can know."""
    deviations = [purify.deviation for purify in getattr(predict, "purifiers", ())]
    return any(getattr(deviation, "is_oracle", False) for deviation in deviations)
