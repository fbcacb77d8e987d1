"""Losses of rRCM against values that are known."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from ssni_jax.core.protocols import StagedLoss
from ssni_jax.training import ConsistentClassification, RepresentationConsistency, RisingAverage
from ssni_jax.training.representation import disagreement, info_nce


class TinyEncoder(nnx.Module):
    """A linear representation of the pixels and the noise label, its projection, and logits."""

    def __init__(self, rngs):
        self.embed, self.project = nnx.Linear(65, 6, rngs=rngs), nnx.Linear(6, 4, rngs=rngs)
        self.norm, self.head = nnx.BatchNorm(4, rngs=rngs), nnx.Linear(6, 10, rngs=rngs)

    def representation(self, x, noise_label, *, dropout_keys=None):
        return self.embed(jnp.concatenate([x.reshape(len(x), -1), 0.01 * noise_label[:, None]], 1))

    def projected(self, x, noise_label, *, train=False, dropout_keys=None):
        return self.norm(self.project(self.representation(x, noise_label)), use_running_average=not train)

    def __call__(self, x, noise_label, *, dropout_keys=None):
        return self.head(self.representation(x, noise_label))


def test_info_nce_of_orthogonal_features_has_its_closed_form():
    features, tau = 3.0 * jnp.eye(5), 0.2
    np.testing.assert_allclose(info_nce(features, features, tau), np.log(np.exp(5) + 4) - 5, rtol=1e-5)
    np.testing.assert_allclose(
        info_nce(features, features[::-1], tau), np.log(np.exp(5) + 4) - (1 / tau) / 5, rtol=1e-5
    )
    np.testing.assert_allclose(info_nce(jnp.ones((5, 3)), jnp.ones((5, 3)), tau), np.log(5), rtol=1e-5)


def test_predictions_that_agree_have_the_entropy_of_one_and_no_divergence():
    p = jnp.asarray([[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3]])
    divergence, entropy = disagreement(jnp.log(jnp.stack([p, p])))
    np.testing.assert_allclose(divergence, 0, atol=1e-6)
    np.testing.assert_allclose(entropy, -np.sum(p * np.log(p)) / 2, rtol=1e-5)


def test_predictions_that_disagree_diverge_by_the_divergences_from_their_mean():
    p = np.asarray([[[0.8, 0.2]], [[0.2, 0.8]]])
    divergence, entropy = disagreement(jnp.log(p))
    np.testing.assert_allclose(divergence, 0.5 * np.log(0.5 / 0.8) + 0.5 * np.log(0.5 / 0.2), rtol=1e-5)
    np.testing.assert_allclose(entropy, np.log(2), rtol=1e-5)


def test_the_average_lengthens_from_its_start_to_its_end():
    decays = [float(RisingAverage()(jnp.asarray(step), 100)) for step in range(0, 101, 10)]
    assert decays[0] == pytest.approx(0.99) and decays[-1] == pytest.approx(0.9999, abs=1e-7)
    assert np.all(np.diff(decays) >= 0) and decays[1] > decays[0]
    with pytest.raises(ValueError, match="rise"):
        RisingAverage(0.9, 0.9)


@pytest.fixture
def of_model(keys, arrays):
    loss = RepresentationConsistency()
    assert isinstance(loss, StagedLoss)

    def value(model, target):
        return loss.at(jnp.asarray(3), 10, target)(model, keys, arrays)

    return value


def test_pre_training_moves_the_model_and_not_the_average(of_model):
    model, target = TinyEncoder(nnx.Rngs(0)), TinyEncoder(nnx.Rngs(1))
    of_both = nnx.jit(nnx.value_and_grad(of_model, argnums=(0, 1), has_aux=True))
    (value, terms), gradients = of_both(model, target)
    np.testing.assert_allclose(value, terms["views"] + terms["noises"], rtol=1e-6)
    sizes = [max(float(jnp.max(jnp.abs(leaf))) for leaf in jax.tree.leaves(gradient)) for gradient in gradients]
    assert sizes[0] > 0 and sizes[1] == 0


def test_a_model_that_sees_no_noise_has_neighbours_that_agree(keys, arrays):
    """Its class tokens at both levels are the image's, so the second term is InfoNCE of the images with themselves."""

    class Clean(TinyEncoder):
        def representation(self, x, noise_label, *, dropout_keys=None):
            return arrays["image"].reshape(len(x), -1)

        def projected(self, x, noise_label, *, train=False, dropout_keys=None):
            return x.reshape(len(x), -1)

    clean = Clean(nnx.Rngs(0))
    _, terms = RepresentationConsistency().at(jnp.asarray(0), 10, clean)(clean, keys, arrays)
    images = arrays["image"].reshape(16, -1)
    np.testing.assert_allclose(terms["noises"], info_nce(images, images, 0.2), rtol=1e-6)


def test_tuning_tells_the_network_the_noise_that_there_is(keys, arrays):
    """The scaled image of pixels at one half is c_in 2 sigma n, and its label says which sigma that was."""
    shown = []

    def network(x, label, *, dropout_keys=None):
        jax.debug.callback(lambda *seen: shown.append(seen), x, label)
        return jnp.zeros((len(x), 10))

    batch = {**arrays, "image": jnp.full((16, 64, 64, 1), 0.5)}
    value, terms = ConsistentClassification(sigmas=(0.25, 1.0), entropy_weight=0.5)(network, keys, batch)
    jax.effects_barrier()
    np.testing.assert_allclose([value, terms["divergence"]], [1.5 * np.log(10), 0], rtol=1e-5, atol=1e-6)
    x, label = (np.concatenate(parts) for parts in zip(*shown, strict=True))
    x, label = x.reshape(-1, 64 * 64), label.reshape(-1)
    sigma = np.exp(label / 250)
    assert set(np.round(sigma, 3)) == {0.5, 2.0} and len(x) == 32
    np.testing.assert_allclose(x.std(axis=1), sigma / np.sqrt(sigma**2 + 0.25), rtol=0.05)


def test_the_noises_of_an_image_are_different_draws(keys, arrays):
    """A network that shows its image's first pixel as a logit disagrees with itself."""

    def network(x, label, *, dropout_keys=None):
        return jnp.concatenate([5 * x[:, 0, 0], jnp.zeros((len(x), 9))], 1)

    _, terms = ConsistentClassification(sigmas=(0.5,))(network, keys, arrays)
    assert terms["divergence"] > 0.01


@pytest.mark.parametrize(
    "wrong", [partial(ConsistentClassification, m=1), partial(RepresentationConsistency, temperature=0.0)]
)
def test_settings_that_compare_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match=r"at least|above|greater"):
        wrong()
