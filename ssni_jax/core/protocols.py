"""The contracts between floors. Anything that has these methods fits; nothing has to inherit from them."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar, runtime_checkable

from jaxtyping import Array, Float, Int

from ssni_jax.core.types import DenoiseFn, Images, Keys, Labels, Level, Levels, Logits, PredictFn, Tree

P = TypeVar("P")


def checks_classes(*names: str) -> Callable[[type[P]], type[P]]:
    """Decorator of a protocol with properties: `issubclass` asks for attributes of these names.

    Python answers `issubclass` by itself only for protocols of methods, and the command line needs the answer to offer
    the fields of a value as flags.
    """

    def decorate(protocol: type[P]) -> type[P]:
        hook = classmethod(lambda _, kind: all(hasattr(kind, name) for name in names))
        setattr(protocol, "__subclasshook__", hook)  # noqa: B010  as an assignment it would count as a member
        return protocol

    return decorate


@runtime_checkable
class Denoiser(Protocol):
    """E[x0 | x] for x = x0 + sigma * n, images in [-1, 1], sigma > 0."""

    def __call__(self, x: Images, sigma: Level) -> Images: ...


@runtime_checkable
class NoiseSchedule(Protocol):
    """Schedule time t in [0, 1] to the noise of the unscaled state, and back.

    The variance-preserving state of a schedule is `scale(t) * (x0 + sigma(t) * n)`.
    """

    def sigma(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]: ...

    def scale(self, t: Float[Array, "*s"]) -> Float[Array, "*s"]: ...

    def inverse(self, sigma: Float[Array, "*s"]) -> Float[Array, "*s"]: ...


@checks_classes("n_calls", "__call__")
@runtime_checkable
class Deviation(Protocol):
    """How far each image, in [-1, 1], is from clean data; measured once, on the input, with `n_calls` network calls."""

    @property
    def n_calls(self) -> int: ...

    def __call__(self, keys: Keys, x: Images) -> Level: ...


@runtime_checkable
class NoiseLevel(Protocol):
    """Deviation to schedule time t in [0, 1]."""

    def __call__(self, deviation: Level) -> Level: ...


@runtime_checkable
class Grid(Protocol):
    """Times from t down to a last row that is literally zero: N + 1 rows, non-increasing down each column."""

    def __call__(self, t: Level) -> Levels: ...


@checks_classes("n_calls", "__call__")
@runtime_checkable
class Step(Protocol):
    """One move of the unscaled state from noise `hi` to noise `lo`; `n_calls` counts its network calls."""

    @property
    def n_calls(self) -> int: ...

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images: ...


@runtime_checkable
class Guide(Protocol):
    """A denoiser that leans towards `reference`, the image being purified; `keys` are new in every step."""

    def __call__(self, denoise: DenoiseFn, keys: Keys, reference: Images) -> DenoiseFn: ...


@runtime_checkable
class Noise(Protocol):
    """The state in which a round begins, from the one before it and the noise level of its first time."""

    def __call__(self, keys: Keys, x: Images, sigma: Level) -> Images: ...


@checks_classes("n_calls", "__call__")
@runtime_checkable
class Reference(Protocol):
    """What of the input x, in [-1, 1], a guide leans towards; made once a round, with `n_calls` network calls."""

    @property
    def n_calls(self) -> int: ...

    def __call__(self, denoise: DenoiseFn, keys: Keys, x: Images) -> Images: ...


@runtime_checkable
class Purify(Protocol):
    """Images in [0, 1] to purified images, approximately in [0, 1] (not clipped)."""

    def __call__(self, keys: Keys, x: Images) -> Images: ...


@runtime_checkable
class Classifier(Protocol):
    """Images in [0, 1] to logits."""

    def __call__(self, x: Images) -> Logits: ...


@runtime_checkable
class Predict(Protocol):
    """What is attacked, certified and evaluated: images in [0, 1] to logits, randomness in the keys."""

    def __call__(self, keys: Keys, x: Images) -> Logits: ...


@runtime_checkable
class Adaptive(Predict, Protocol):
    """A predictor that picks noise levels from its input and can hold those of one input fixed."""

    def hold(self, keys: Keys, x: Images) -> PredictFn: ...


@runtime_checkable
class Attack(Protocol):
    """Adversarial images in [0, 1] for the true labels y."""

    def __call__(self, keys: Keys, predict: PredictFn, x: Images, y: Labels) -> Images: ...


@runtime_checkable
class Loss(Protocol):
    """A training objective: the scalar to minimise and named scalars to log."""

    def __call__(
        self, model: Tree, keys: Keys, batch: dict[str, Array]
    ) -> tuple[Float[Array, ""], dict[str, Array]]: ...


@runtime_checkable
class Distance(Protocol):
    """How far two images in [-1, 1] are apart, zero for equal ones."""

    def __call__(self, a: Images, b: Images) -> Level: ...


@runtime_checkable
class StagedLoss(Protocol):
    """A loss that changes over a run of `n_steps`, or compares the model with a target, an average of its past.

    `at` is the loss of one step; `target_decay` is how much of itself the target keeps in it, or None at every step
    for a loss whose target is the present model with its gradient stopped.
    """

    def at(self, step: Int[Array, ""], n_steps: int, target: Tree) -> Loss: ...

    def target_decay(self, step: Int[Array, ""], n_steps: int) -> float | Float[Array, ""] | None: ...


Objective = Loss | StagedLoss


class Purified(NamedTuple):
    """One purification, opened up: what came out, and what it took."""

    image: Images
    deviation: Level
    t: Levels
    n_calls: Level
    noised: Images
