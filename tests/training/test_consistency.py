import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from ssni_jax.core.arrays import over
from ssni_jax.core.protocols import StagedLoss
from ssni_jax.core.pytree import pytree
from ssni_jax.dist import make_mesh
from ssni_jax.networks import (
    AbsoluteDifference,
    ConsistencyCoefficients,
    EdmCoefficients,
    Preconditioned,
    PseudoHuber,
    Snapped,
    SquaredDifference,
)
from ssni_jax.solvers import Euler, Heun
from ssni_jax.training import (
    AlongOde,
    Average,
    ConsistencyFineTuning,
    ConsistencyLoss,
    ConstantLevels,
    Neighbours,
    WidenedAverage,
    compile_step,
    consistency_distillation,
    consistency_training,
    easy_consistency_tuning,
    has_target,
    improved_consistency_training,
    make_state,
    make_train_step,
)

N, STD = 64, 0.3
COEFFICIENTS = ConsistencyCoefficients(label_scale=0.25)
PUBLISHED = {
    "CD": consistency_distillation(lambda x, sigma: x, distance=SquaredDifference()),
    "CT": consistency_training(distance=SquaredDifference()),
    "iCT": improved_consistency_training(),
    "ECT": easy_consistency_tuning(),
}


def gaussian(n=N):
    x0 = STD * np.random.RandomState(0).randn(n, 4, 4, 1)
    return {"image": jnp.asarray((x0 + 1) / 2, jnp.float32)}


@pytest.fixture
def many():
    return jax.random.split(jax.random.key(0), N)


def exact_denoiser(x, sigma):
    """E[x0 | x] of Gaussian data."""
    return over(STD**2 / (STD**2 + sigma**2), x) * x


def exact_consistency(x_in, label, dropout_keys=None):
    """The raw network whose preconditioned form is x sqrt((std^2 + min^2) / (std^2 + sigma^2)), the ODE's solution."""
    sigma = jnp.exp(label / 0.25)
    c = COEFFICIENTS(sigma)
    shrink = jnp.sqrt((STD**2 + COEFFICIENTS.sigma_min**2) / (STD**2 + sigma**2))
    out = jnp.where(c.out == 0, 1.0, c.out)
    return over((shrink - c.skip) / out / c.in_, x_in) * x_in


@pytree
class ExactOde:
    """The closed-form trajectory of Gaussian data, as a solver step."""

    n_calls = 0

    def __call__(self, keys, denoise, x, hi, lo):
        return over(jnp.sqrt((STD**2 + lo**2) / (STD**2 + hi**2)), x) * x


def value(loss, model, keys, n_steps=1):
    batch = gaussian(len(keys))
    return jax.jit(lambda keys: loss.at(jnp.asarray(0), n_steps, model)(model, keys, batch)[0])(keys)


def inputs(loss, keys, batch):
    """What the network is given: the noised images and their labels."""

    @jax.jit
    def run(keys):
        seen = []
        loss(lambda x, label, dropout_keys: seen.extend([x, label]) or x, keys, batch)
        return seen

    return [np.asarray(array) for array in run(keys)]


@pytest.mark.parametrize(
    "distance",
    [
        PseudoHuber(),
        *(pytest.param(each, marks=pytest.mark.slow) for each in (AbsoluteDifference(), SquaredDifference())),
    ],
)
def test_distillation_of_the_exact_consistency_function_costs_nothing(many, distance):
    loss = consistency_distillation(exact_denoiser, distance=distance, move=AlongOde(exact_denoiser, ExactOde()))
    zero = value(loss, exact_consistency, many)
    wrong = value(
        consistency_distillation(exact_denoiser, distance=distance, move=AlongOde(exact_denoiser, Euler())),
        exact_consistency,
        many,
    )
    assert zero < 1e-5 and wrong > 20 * zero


@pytest.mark.parametrize(("solver", "order"), [(Euler(), 1), (Heun(), 2)])
def test_what_a_teachers_step_costs_falls_with_the_solvers_order(many, solver, order):
    coarse, fine = (
        value(
            consistency_distillation(
                exact_denoiser,
                distance=AbsoluteDifference(),
                move=AlongOde(exact_denoiser, solver),
                curriculum=ConstantLevels(n),
            ),
            exact_consistency,
            many,
        )
        for n in (33, 65)
    )
    assert 2**order < coarse / fine < 2 ** (order + 2)  # the error of one step is of order h^(order + 1)


def test_a_consistency_function_leaves_images_of_the_least_noise_alone(many):
    x = jax.random.normal(jax.random.key(1), (N, 4, 4, 1))
    model = Preconditioned(lambda x, label: jnp.cos(x) + over(label, x), COEFFICIENTS)
    np.testing.assert_array_equal(model(x, jnp.full(N, 0.002)), x)
    assert not np.allclose(model(x, jnp.full(N, 0.5)), x)


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_gradient_flows_into_the_target(name):
    loss, keys = PUBLISHED[name], jax.random.split(jax.random.key(2), 4)

    def of(w, held):
        model, target = ((lambda x, label, dropout_keys, w=w: w * x) for w in (w, held))
        return loss.at(jnp.asarray(0), 10, target)(model, keys, gaussian(4))[0]

    to_model, to_target = jax.jit(jax.grad(of, argnums=(0, 1)))(0.3, 0.3)
    assert isinstance(loss, StagedLoss) and to_target == 0 and np.isfinite(to_model) and to_model != 0


def test_both_calls_of_a_pair_have_the_same_dropout(many):
    batch = gaussian()

    @jax.jit
    def used(keys):
        seen = []
        model = lambda x, label, dropout_keys: seen.append(jax.random.key_data(dropout_keys)) or x  # noqa: E731
        easy_consistency_tuning().at(jnp.asarray(0), 1, model)(model, keys, batch)
        return seen

    np.testing.assert_array_equal(*used(many))


def test_a_class_conditional_network_and_its_teacher_are_told_the_class(many):
    told = []
    batch = {**gaussian(), "label": jnp.arange(N, dtype=jnp.int32) % 3}

    def teacher(x, sigma, class_labels):
        told.append(class_labels)
        return x

    def model(x, label, class_labels, dropout_keys):
        told.append(class_labels)
        return x

    loss = consistency_distillation(teacher, distance=SquaredDifference(), n_classes=3)

    @jax.jit
    def run(keys):
        loss.at(jnp.asarray(0), 1, model)(model, keys, batch)
        return told

    assert len(run(many)) == 4  # the model, two calls of Heun's teacher, the target
    for labels in run(many):
        np.testing.assert_array_equal(labels.argmax(1), batch["label"])


def test_fine_tuning_adds_twice_the_certification_noise_and_says_so():
    keys = jax.random.split(jax.random.key(3), 512)
    loss = ConsistencyFineTuning(COEFFICIENTS, sigmas=(0.25, 1.0))
    x, label = inputs(loss, keys, {"image": jnp.full((512, 4, 4, 1), 0.5)})
    told = np.exp(label / 0.25)
    np.testing.assert_allclose(np.unique(told.round(5)), [0.5, 2.0], rtol=1e-4)
    for sigma in (0.5, 2.0):
        rows = np.isclose(told, sigma, rtol=1e-3)
        state = x[rows] * np.sqrt(sigma**2 + 0.25)
        np.testing.assert_allclose(state.std(), sigma, rtol=0.05)
        assert 0.4 < rows.mean() < 0.6


def test_the_released_snap_changes_the_label_and_not_the_noise(many):
    exact, snapped = (ConsistencyFineTuning(each, sigmas=(0.25,)) for each in (COEFFICIENTS, Snapped(COEFFICIENTS)))
    labels = [inputs(loss, many, gaussian())[1][0] for loss in (exact, snapped)]
    np.testing.assert_allclose(np.exp(np.array(labels) / 0.25), [0.5, 0.5853], rtol=1e-4)


def test_fine_tuning_of_the_identity_costs_the_noise_it_adds():
    keys = jax.random.split(jax.random.key(4), 256)
    skip = 0.25 / (0.498**2 + 0.25)
    tuning, batch = ConsistencyFineTuning(COEFFICIENTS, SquaredDifference(), (0.25,)), gaussian(256)
    loss, _ = jax.jit(lambda keys: tuning(lambda x, label, dropout_keys: jnp.zeros_like(x), keys, batch))(keys)
    np.testing.assert_allclose(loss, (1 - skip) ** 2 * STD**2 + (skip * 0.5) ** 2, rtol=0.03)


class Denoiser(nnx.Module):
    def __init__(self):
        self.w = nnx.Param(jnp.array([0.3]))

    def __call__(self, x, label, *, dropout_keys=None):
        return self.w[...] * x


def test_the_target_is_the_average_that_its_decay_says():
    tx, keys = optax.sgd(0.1), jax.random.split(jax.random.key(0), 8)
    loss = ConsistencyLoss(COEFFICIENTS, target=Average(0.75))
    graphdef, state = make_state(Denoiser(), tx, keeps_target=has_target(loss))
    after, _ = jax.jit(make_train_step(loss, graphdef, tx, 0.9))(state, keys, gaussian(8))
    moved = 0.75 * 0.3 + 0.25 * after.params["w"][...]
    assert after.params["w"][...] != 0.3
    np.testing.assert_allclose(after.target["w"][...], moved, rtol=1e-6)


def test_the_widened_average_is_the_published_number():
    decay = WidenedAverage()
    np.testing.assert_allclose(decay(jnp.asarray(0), 100), 0.9**2, rtol=1e-5)  # two levels
    np.testing.assert_allclose(decay(jnp.asarray(100), 100), np.exp(2 * np.log(0.9) / 150), rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CT", "ECT"])
def test_sharded_and_accumulated_steps_are_the_step_of_one_device(name, denoiser, tx, batch):
    loss, root, mesh = PUBLISHED[name], jax.random.key(7), make_mesh()

    def after(on, **options):
        graphdef, state = make_state(denoiser(), tx, keeps_target=has_target(loss))
        step = make_train_step(loss, graphdef, tx, 0.9, n_steps=10, **options)
        return jax.device_get(compile_step(step, root, on)(state, batch)[0])

    alone = after(None)
    for other in (after(mesh), after(None, n_accumulate=4)):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), alone.params, other.params)


def test_a_teacher_is_an_argument_of_the_step_and_no_constant(denoiser, tx, batch):
    teacher = Preconditioned(
        jax.tree_util.Partial(lambda w, x, label: w * x, jnp.full((200, 1, 1, 1), 0.1)[:16]), EdmCoefficients()
    )
    loss = ConsistencyLoss(COEFFICIENTS, Neighbours(), AlongOde(teacher))
    graphdef, state = make_state(denoiser(), tx)
    step = make_train_step(loss, graphdef, tx, 0.9)
    assert any(leaf is teacher.network.args[0] for leaf in jax.tree.leaves(step))
    compile_step(step, jax.random.key(0))(state, batch)
