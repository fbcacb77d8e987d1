"""Every value fits its contract: it has the methods, and calls their arguments what the protocol calls them."""

import ast
import importlib
import inspect
from pathlib import Path

import jax.numpy as jnp
import pytest

from ssni_jax import attacks
from ssni_jax.attacks import (
    L1,
    L2,
    Apgd,
    ApgdL1,
    Attack,
    CrossEntropy,
    Deviated,
    DiffHammer,
    Dlr,
    Fab,
    Filtered,
    Joint,
    Linf,
    LowerNorm,
    Margin,
    Pgd,
    Phases,
    Rademacher,
    RaiseNorm,
    Sign,
    Spsa,
    Square,
    StAdv,
    Targeted,
    TargetedDlr,
    TargetedLoss,
    TargetedMargin,
    TraceLoss,
    Unit,
    WithLoss,
)
from ssni_jax.attacks.spsa import Directions
from ssni_jax.attacks.threats import Direction, Threat
from ssni_jax.certify import AlphaSpending, FixedDraws, Stopping
from ssni_jax.core import protocols
from ssni_jax.core.protocols import (
    Classifier,
    Denoiser,
    Deviation,
    Differentiation,
    Distance,
    FixedLevel,
    Grid,
    Guide,
    Loss,
    Measurable,
    Noise,
    NoiseLevel,
    NoiseSchedule,
    Predict,
    Purify,
    Reference,
    Remembering,
    StagedLoss,
    Step,
)
from ssni_jax.networks import (
    Clipped,
    Conditioned,
    ConsistencyCoefficients,
    EdmCoefficients,
    FlowCoefficients,
    IddpmCoefficients,
    Preconditioned,
    PreprocessedClassifier,
    ResNet,
    Snapped,
    SnappedDenoiser,
    SqueezeNet,
    VeCoefficients,
    Vit,
    VpCoefficients,
    WideResNet,
    distances,
)
from ssni_jax.networks.precondition import CoefficientFunction
from ssni_jax.purify import (
    Amplified,
    Annealed,
    AsGiven,
    Attention,
    Bpda,
    BpdaIdentity,
    BpdaOneStep,
    Buckets,
    Chain,
    ClippedEstimate,
    Constant,
    Defense,
    Diffused,
    Doubt,
    Estimated,
    EstimateTowards,
    Exact,
    Fading,
    Fixed,
    Frozen,
    FrozenTime,
    GivenMask,
    GivenNoise,
    Held,
    Identity,
    Itself,
    LowFrequencies,
    ManiNoise,
    Masked,
    NegativeL1,
    NegativeMse,
    Nested,
    NoDeviation,
    NoiseAlone,
    NoiseConditioned,
    Noised,
    Noisy,
    Oracle,
    OutsideKept,
    Plain,
    Predictor,
    Ragged,
    ReconstructionDistance,
    Rounded,
    Scan,
    ScoreNorm,
    ShorterRounds,
    SingleScoreNorm,
    SmallMargin,
    SoftTime,
    Ssim,
    SsniLinear,
    SsniLinearOverBatch,
    SsniMonotone,
    SsniSigmoid,
    SsniStep,
    StraightThrough,
    StraightThroughTime,
    Surrogate,
    Tethered,
    Then,
    TowardsInput,
    Undefended,
    Unguided,
    Vote,
    Voting,
)
from ssni_jax.purify.guides.masks import Masking
from ssni_jax.purify.guides.similarity import Similarity
from ssni_jax.purify.guides.towards import Compared, Strength
from ssni_jax.purify.walks import Walk
from ssni_jax.schedules import (
    VE,
    VP,
    Clock,
    CosineVP,
    DiscreteVP,
    EqualNoise,
    Float32Steps,
    IntegerSteps,
    Karras,
    Listed,
    Respaced,
    Strided,
    Thinned,
    Uniform,
)
from ssni_jax.solvers import (
    Ancestral,
    Around,
    Between,
    Churned,
    DenoisingError,
    Drift,
    Euler,
    EulerMaruyama,
    FixedLarge,
    FixedSmall,
    Heun,
    Learned,
    NoiseError,
    Optimise,
    RandomSampling,
    Renoise,
    Ringed,
    Shifted,
    VpEuler,
    VpEulerMaruyama,
)
from ssni_jax.solvers.optimise import Discrepancy, Sigmas
from ssni_jax.solvers.variance import Variance
from ssni_jax.training import (
    Adam,
    AlongOde,
    Average,
    BridgeLoss,
    ClassificationLoss,
    ConsistencyFineTuning,
    ConsistencyLoss,
    ConstantLevels,
    DenoisingLoss,
    Doubling,
    FlowMatchingLoss,
    Mirror,
    Neighbours,
    Optimizer,
    Present,
    RAdam,
    Ratios,
    SameNoise,
    Shift,
    SquareRoot,
    WidenedAverage,
)
from ssni_jax.training.augment import Augment
from ssni_jax.training.consistency import Move, Target
from ssni_jax.training.pairs import Curriculum, Pairs
from tests.kit import Bright, Gaussian, NeedsNoise, ShowsSigma, given_noise, images, keys, recipes, two_modes

ROOT = Path(__file__).parent.parent / "ssni_jax"
PURIFIER = recipes()["ssni_n diffpure_ddpm"]
DEFENSE = Defense(PURIFIER, Gaussian())
THEN = Then(PURIFIER, Vote(Noisy(Gaussian()), 3))
VALUES = {
    Denoiser: (
        *(Gaussian(), two_modes(), ShowsSigma(), NeedsNoise()),
        *(Preconditioned(Gaussian(), EdmCoefficients()), Conditioned(Gaussian(), 0, 2)),
        *(Clipped(Gaussian()), SnappedDenoiser(Gaussian())),
    ),
    NoiseSchedule: (VP(), VE(), DiscreteVP(), CosineVP(), Respaced(100), Clock()),
    Deviation: (
        *(NoDeviation(), ScoreNorm(Gaussian(), VP()), SingleScoreNorm(Gaussian(), VP()), Held(jnp.zeros(3))),
        *(Doubt(Gaussian()), SmallMargin(Gaussian()), ReconstructionDistance(Gaussian(), VP()), Oracle(images(2))),
    ),
    NoiseLevel: (
        Constant(),
        SsniLinear(0.0, 1.0),
        SsniLinearOverBatch(0.0, 1.0),
        SsniSigmoid(0.0, 1.0),
        SsniStep(0.0, 1.0),
        SsniMonotone((0.0, 1.0), (0.0, 1.0)),
        Rounded(Constant()),
        Frozen(Constant()),
        StraightThrough(Constant()),
    ),
    FixedLevel: (Constant(),),
    Grid: (
        *(Uniform(2), Strided(2), IntegerSteps(2), Karras(2), EqualNoise(2), Listed((0, 4)), Float32Steps(2)),
        Thinned(Listed((0, 4)), 1),
    ),
    Step: (
        *(Euler(), Heun(), EulerMaruyama(), Ancestral(), Renoise(), RandomSampling()),
        *(VpEuler(), VpEulerMaruyama(), Shifted(Ancestral()), Drift(0.1)),
        *(Churned(Euler(), 0.1), Ringed(Euler(), 0.1, 0.0)),
    ),
    Remembering: (Optimise(),),
    Discrepancy: (DenoisingError(), NoiseError()),
    Sigmas: (Around(), Between()),
    Variance: (FixedSmall(), FixedLarge(), Learned()),
    Guide: (
        *(Unguided(), ClippedEstimate(), Chain((Unguided(),)), TowardsInput(), EstimateTowards()),
        *(LowFrequencies(), OutsideKept(Bright(), 0.1), Tethered(VP(), 0.01, 0.01, 0.001)),
    ),
    Noise: (
        *(Diffused(), AsGiven(), NoiseAlone(), Amplified(2.0), ManiNoise()),
        *(GivenNoise(given_noise()), Masked(Bright())),
    ),
    Reference: (Itself(), Estimated()),
    Similarity: (NegativeMse(), NegativeL1(), Ssim()),
    Strength: (Annealed(), Fading(), Fixed()),
    Compared: (Noised(), Plain()),
    Masking: (Bright(), Attention(Gaussian()), GivenMask(jnp.ones((4, 3, 1)))),
    Walk: (Scan(), Nested(), Buckets(), Ragged()),
    Purify: (*recipes().values(), Identity(), Bpda(PURIFIER)),
    Predict: (
        *(Vote(DEFENSE), Vote(DEFENSE).hold(keys(2), images(2)), DEFENSE, Undefended(Gaussian()), Predictor()),
        *(THEN, Noisy(Gaussian()), NoiseConditioned(Gaussian())),
    ),
    Measurable: (Vote(DEFENSE), DEFENSE, THEN),
    Differentiation: (
        Exact(),
        SoftTime(),
        StraightThroughTime(),
        FrozenTime(),
        BpdaIdentity(),
        BpdaOneStep(),
        Surrogate(),
        ShorterRounds(()),
        Voting(),
    ),
    Attack: (
        Pgd(),
        Apgd(),
        ApgdL1(),
        Fab(),
        Square(),
        Spsa(),
        StAdv(),
        Filtered(distances.SquaredDifference()),
        DiffHammer(),
        Phases(),
        WithLoss(Pgd(), Margin()),
        Targeted(Apgd()),
    ),
    Directions: (Rademacher(), attacks.Gaussian()),
    TraceLoss: (CrossEntropy(), Margin(), Dlr(), Deviated(), LowerNorm(), RaiseNorm(), Joint()),
    TargetedLoss: (TargetedDlr(), TargetedMargin()),
    Threat: (Linf(), L2(), L1()),
    Direction: (Sign(), Unit()),
    CoefficientFunction: (
        *(EdmCoefficients(), ConsistencyCoefficients(), VeCoefficients(), Snapped(EdmCoefficients())),
        *(VpCoefficients(VP()), IddpmCoefficients(DiscreteVP()), FlowCoefficients()),
    ),
    Loss: (
        *(DenoisingLoss(EdmCoefficients()), ClassificationLoss(), ConsistencyFineTuning(), FlowMatchingLoss()),
        BridgeLoss(EdmCoefficients(), Gaussian()),
    ),
    StagedLoss: (ConsistencyLoss(),),
    Pairs: (Neighbours(), Ratios()),
    Curriculum: (ConstantLevels(), SquareRoot(), Doubling()),
    Move: (AlongOde(Gaussian()), SameNoise()),
    Target: (Present(), Average(), WidenedAverage()),
    Distance: (
        *(distances.AbsoluteDifference(), distances.SquaredDifference(), distances.PseudoHuber()),
        *(distances.Perceptual(Gaussian()), distances.FeatureDistance(Gaussian())),
    ),
    Stopping: (FixedDraws(), AlphaSpending(0.5)),
    Augment: (Shift(1), Mirror()),
    Optimizer: (Adam(), RAdam()),
}
PAIRS = [(protocol, value) for protocol, values in VALUES.items() for value in values]


def methods(protocol):
    """Its public methods and `__call__`."""
    found = inspect.getmembers(protocol, inspect.isfunction)
    return [name for name, _ in found if name == "__call__" or not name.startswith("_")]


def argument_names(owner, method):
    """Names of its positional arguments in order; keyword-only options may come on top."""
    parameters = inspect.signature(getattr(owner, method)).parameters.values()
    return [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]


@pytest.mark.parametrize(("protocol", "value"), PAIRS, ids=lambda v: getattr(v, "__name__", type(v).__name__))
def test_a_value_fits_its_protocol_down_to_the_argument_names(protocol, value):
    assert isinstance(value, protocol)
    for method in methods(protocol):
        assert argument_names(type(value), method) == argument_names(protocol, method)


@pytest.mark.parametrize("kind", [WideResNet, ResNet, SqueezeNet, Vit, PreprocessedClassifier])
def test_a_classifier_names_its_argument_as_the_protocol_does(kind):
    assert argument_names(kind, "__call__") == argument_names(Classifier, "__call__")


@pytest.mark.parametrize("package", ["schedules", "solvers", "purify", "attacks"])
def test_every_public_value_is_held_to_a_protocol(package):
    module = importlib.import_module(f"ssni_jax.{package}")
    public = [getattr(module, name) for name in module.__all__]
    public = [kind for kind in public if not getattr(kind, "_is_protocol", False)]
    values = {kind for kind in public if inspect.isclass(kind) and ("__call__" in vars(kind) or hasattr(kind, "sigma"))}
    assert values <= {type(value) for _, value in PAIRS}


def test_every_protocol_has_a_value():
    declared = {
        kind for _, kind in inspect.getmembers(protocols, inspect.isclass) if getattr(kind, "_is_protocol", False)
    }
    assert {kind.__name__ for kind in declared} - {"Protocol", "Classifier"} <= {kind.__name__ for kind in VALUES}


def test_every_protocol_can_be_checked_at_run_time():
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases):
                assert "runtime_checkable" in map(ast.unparse, node.decorator_list), f"{path}: {node.name}"
