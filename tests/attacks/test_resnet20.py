"""A classifier without any defence falls: ResNet-20 on CIFAR-10 under every attack that a norm bounds."""

import jax
import jax.numpy as jnp
import pytest

from ssni_jax.attacks import (
    L1,
    L2,
    Apgd,
    ApgdL1,
    DiffHammer,
    Dlr,
    Fab,
    Linf,
    Margin,
    Objective,
    Pgd,
    Targeted,
    TargetedMargin,
    WithLoss,
)
from ssni_jax.cli import main
from ssni_jax.data import Npz, take
from ssni_jax.dist import make_mesh
from ssni_jax.evals.attacked import make_driver
from ssni_jax.purify import predictor
from ssni_jax.zoo import Pretrained
from tests.convert.files import shared
from tests.kit import keys

N = 64
EIGHT = Linf(8 / 255)
ATTACKS = {
    "pgd": Pgd(EIGHT, 2 / 255, 40),
    "apgd-ce": Apgd(EIGHT, n_steps=50),
    "apgd-margin": WithLoss(Apgd(EIGHT, n_steps=50), Margin()),
    "apgd-dlr": WithLoss(Apgd(EIGHT, n_steps=50), Dlr()),
    "apgd-t": Targeted(Apgd(EIGHT, n_steps=50), 1, TargetedMargin()),
    "fab": Fab(EIGHT, n_steps=50, all_classes=True),
    "diffhammer": DiffHammer(EIGHT, 2 / 255, 40),
    "apgd-ce L2": Apgd(L2(1.5), n_steps=50),
    "apgd-ce L1": ApgdL1(L1(40.0), n_steps=50),
}


@pytest.fixture(scope="module")
def classify(tmp_path_factory):
    out = tmp_path_factory.mktemp("resnet20")
    checkpoint = shared("data/checkpoints/resnet20-12fca82f.th")
    main(["convert", str(checkpoint), "--family", "cifar-resnet", "--out", str(out)])
    return Pretrained(str(out / "resnet20-12fca82f")).load()


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_at_most_one_image_of_64_stands(classify, name):
    rows = take(Npz(str(shared("data/cifar10_test.npz")), stop=N), range(N))
    x, y = jnp.asarray(rows["image"]), jnp.asarray(rows["label"])
    attack, objective = ATTACKS[name], Objective().of(predictor(classify))
    driver = make_driver(make_mesh(devices=jax.devices()[:1]), attack)
    state = driver.init(attack, objective, keys(N), x, y)
    for i in range(0, attack.n_iterations, driver.n_chunk):
        state = driver.advance(attack, objective, keys(N), jnp.asarray(i), state, x, y).state
    image = driver.result(attack, state).image
    assert jnp.sum(jnp.argmax(jax.jit(lambda f, x: f(x))(classify, image), axis=1) == y) <= 1
    threat = next(leaf for leaf in (attack, getattr(attack, "attack", None)) if hasattr(leaf, "threat")).threat
    assert jnp.all(threat.norm(image - x) <= threat.eps + 1e-4)
