"""The contracts between floors. Anything that has these methods fits; nothing has to inherit from them."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from jaxtyping import Array, Float, Int

from ssni_jax.core.types import DenoiseFn, Images, Keys, Level, Levels, Logits, State, Tree

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

    The variance-preserving state of a schedule is `scale(t) * (x0 + sigma(t) * n)`. A schedule may also have
    `n_integer_steps`, the number of integer time steps to which methods round t: 1000 where it does not say, and None
    where time is the noise level itself and has no steps.
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


@checks_classes("adaptive", "__call__", "fixed", "soft", "straight_through", "in_batch")
@runtime_checkable
class NoiseLevel(Protocol):
    """Deviation to schedule time t in [0, 1]; `adaptive` says whether t depends on the deviation.

    `fixed` is the level that gives every sample the t_star it is built on. `soft` does not round t, and
    `straight_through` rounds it but has the gradient of `soft`. `in_batch` is the level as it acts on a batch with
    these deviations; only levels that look at their batch differ there.
    """

    @property
    def adaptive(self) -> bool: ...

    def __call__(self, deviation: Level) -> Level: ...

    def fixed(self) -> "FixedLevel": ...

    def soft(self) -> "NoiseLevel": ...

    def straight_through(self) -> "NoiseLevel": ...

    def in_batch(self, deviation: Level) -> "NoiseLevel": ...


@checks_classes("t_star", "adaptive", "__call__", "fixed", "soft", "straight_through", "in_batch")
@runtime_checkable
class FixedLevel(NoiseLevel, Protocol):
    """A level that gives every sample the same t_star."""

    @property
    def t_star(self) -> Any: ...


@checks_classes("divides_noise", "__call__", "with_steps", "reaching")
@runtime_checkable
class Grid(Protocol):
    """Noise levels from sigma(t) down to a last row that is literally zero: N + 1 rows, non-increasing per column.

    `n_steps` is N. `divides_noise` says whether the levels depend on the noise alone, so that another schedule with
    the same noise gives the same levels. `with_steps` is the grid with at most that many steps. `reaching` is a grid
    that was made for a largest time `before`, made for a largest time `t`: grids of a fixed step size keep that size.
    """

    @property
    def n_steps(self) -> int: ...

    @property
    def divides_noise(self) -> bool: ...

    def __call__(self, schedule: NoiseSchedule, t: Level) -> Levels: ...

    def with_steps(self, n_steps: int) -> "Grid": ...

    def reaching(self, t: float, before: float) -> "Grid": ...


@checks_classes("n_calls", "__call__")
@runtime_checkable
class Step(Protocol):
    """One move of the unscaled state from noise `hi` to noise `lo`; `n_calls` counts its network calls."""

    @property
    def n_calls(self) -> int: ...

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: Images, hi: Level, lo: Level) -> Images: ...


@checks_classes("n_calls", "walks_noise", "__call__", "begin", "image")
@runtime_checkable
class Remembering(Protocol):
    """A step whose state is more than images, such as an optimiser's: its arrays have one row per image.

    `begin` is the state of images `x`, which have been noised with `sigma` from `before`, and `image` takes the images
    out again. `walks_noise` says whether `hi` and `lo` are the noise of those images; where they only order the steps,
    the walk neither starts at a given noise nor shows its states.
    """

    @property
    def n_calls(self) -> int: ...

    @property
    def walks_noise(self) -> bool: ...

    def begin(self, before: Images, x: Images, sigma: Level) -> State: ...

    def __call__(self, keys: Keys, denoise: DenoiseFn, x: State, hi: Level, lo: Level) -> State: ...

    def image(self, x: State) -> Images: ...


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


class Trace(NamedTuple):
    """What one prediction of a batch shows; every field has one row per image.

    `scores` are what an attack's loss differentiates: the logits, or for a vote the logarithm of its mean probability.
    `image` and `noised` are the purified image and the state in which its first round began, in the [0, 1] range but
    not clipped; `t` has one column per round and `n_calls` counts network calls. `labels` are those of each draw of a
    vote, -1 where a logit of the draw is not finite, and None without a vote. `saved` is what a SaveAt asked for.
    """

    logits: Logits
    scores: Logits
    image: Images
    noised: Images
    deviation: Level
    t: Float[Array, "B R"]
    n_calls: Level
    labels: Int[Array, "B D"] | None = None
    saved: Tree = None


@runtime_checkable
class Predict(Protocol):
    """What is evaluated, attacked and certified: images in [0, 1] to logits, randomness in the keys.

    `trace` shows a prediction from inside. The other methods give a new predictor of the same kind: with the noise
    levels it would give x now (`hold`), for images that smoothing noised (`at_noise`, sigma of the [0, 1] range), in at
    most n solver steps per round (`with_steps`), without rounding of t (`soft`), at full speed without gradients
    (`ragged`), or differentiable (`scanned`).
    """

    def __call__(self, keys: Keys, x: Images) -> Logits: ...

    def trace(self, keys: Keys, x: Images, save: Any = None) -> Trace: ...

    def hold(self, keys: Keys, x: Images) -> "Predict": ...

    def at_noise(self, sigma: float) -> "Predict": ...

    def with_steps(self, n_steps: int) -> "Predict": ...

    def soft(self) -> "Predict": ...

    def ragged(self, n_slots: int = 16) -> "Predict": ...

    def scanned(self) -> "Predict": ...


@checks_classes("name", "__call__")
@runtime_checkable
class Differentiation(Protocol):
    """The predictor whose gradient stands for the given one's; results show the `name`."""

    @property
    def name(self) -> str: ...

    def __call__(self, predict: Any) -> Any: ...


class Measured(NamedTuple):
    """What a predictor finds out about each image before it walks: its deviation and its times, per draw of a vote."""

    deviation: Float[Array, "B *d"]
    t: Float[Array, "B *d R"]


@runtime_checkable
class Measurable(Predict, Protocol):
    """A predictor whose rows can be dealt to devices by their times: `trace` is `trace_at` of what `measure` gives."""

    def measure(self, keys: Keys, x: Images) -> Measured: ...

    def trace_at(self, keys: Keys, x: Images, measured: Measured, save: Any = None) -> Trace: ...


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


TrainingObjective = Loss | StagedLoss


class Purified(NamedTuple):
    """One purification, opened up: what came out, and what it took; `saved` is what a SaveAt asked for, per round."""

    image: Images
    deviation: Level
    t: Levels
    n_calls: Level
    noised: Images
    saved: Tree = None
