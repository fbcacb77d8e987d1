"""Labels are compared with the classifier's classes before any work."""

import dataclasses

import numpy as np
import pytest

from ssni_jax.core.pytree import pytree, static
from ssni_jax.data import Corrupted, ImageFolder, Npz, write_image
from ssni_jax.data.labels import check_labels
from ssni_jax.experiments.fit import fitted, fitted_training, n_classes_of
from ssni_jax.journal.rows import no_match, summarise
from ssni_jax.purify import predictor
from ssni_jax.zoo import Pretrained
from tests.configs.toy import Linear, certification, evaluation
from tests.workdirs import attacked_record, clean_record


@pytree
class Answers:
    """A user's own predictor, as far as its classes are asked for."""

    answer: object = static()

    def undefended(self):
        return lambda keys, x: self.answer(x)


PIXELS = np.zeros((12, 8, 8, 1), np.uint8)


@pytest.fixture
def labelled(tmp_path):
    def save(labels):
        np.savez(tmp_path / "x.npz", images=PIXELS, labels=labels)
        return Npz(str(tmp_path / "x.npz"))

    return save


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.arange(12) % 10 + 1, r"labels go from 1 to 10, but the classifier has classes 0 to 9: subtract 1\?"),
        (np.arange(12), "labels go from 0 to 11, but the classifier has classes 0 to 9: choose the classifier"),
        (np.where(np.arange(12) == 7, -1, 3), r"image 7 has no label \(label -1\): label every image"),
    ],
)
@pytest.mark.parametrize("experiment", [evaluation, certification])
def test_labels_that_the_classifier_does_not_have_are_refused(labelled, labels, sentence, experiment):
    source = labelled(labels)
    with pytest.raises(ValueError, match=sentence):
        fitted(dataclasses.replace(experiment, images=source, n_images=None))
    with pytest.raises(ValueError, match=sentence):
        check_labels(Corrupted(source), range(12), 10)


def test_labels_that_fit_pass(labelled):
    source = labelled(np.arange(12) % 10)
    assert fitted(dataclasses.replace(evaluation, images=source)).images == source


def test_only_the_chosen_images_need_labels(labelled):
    source = labelled(np.where(np.arange(12) == 7, -1, 3))
    assert fitted(dataclasses.replace(evaluation, images=source, n_images=5, order_seed=None)).n_images == 5


def test_the_classes_of_a_stored_network_are_those_of_its_head():
    classifier = predictor(Pretrained("digits-classifier"))
    assert n_classes_of(classifier, (8, 8, 1)) == 10
    with pytest.raises(ValueError, match="does not take images of 8 x 8 x 3"):
        n_classes_of(classifier, (8, 8, 3))


@pytest.mark.parametrize("answer", [lambda x: x, lambda x: x[:, 0, 0, 0], lambda x: x[:, 0, 0]])
def test_a_classifier_without_logits_is_refused(answer):
    with pytest.raises(ValueError, match=r"gives an array of shape .* give logits \[B, classes\]"):
        n_classes_of(Answers(answer), (8, 8, 1))


def test_channels_are_those_of_the_network(tmp_path):
    for i in range(3):
        write_image(tmp_path / "3" / f"{i}.png", np.full((8, 8, 1), i / 2))
    folder = ImageFolder(str(tmp_path))
    classified = dataclasses.replace(evaluation, defense=predictor(Pretrained("digits-classifier")), images=folder)
    assert folder.image_shape == (8, 8, 3) and fitted(classified).images.image_shape == (8, 8, 1)
    within = fitted(dataclasses.replace(classified, images=Corrupted(folder, "brightness")))
    assert within.images.image_shape == (8, 8, 1)
    in_colour = dataclasses.replace(classified, images=ImageFolder(str(tmp_path), channels=3))
    with pytest.raises(ValueError, match="8 x 8 x 3"):
        fitted(in_colour)


def test_a_training_is_refused_labels_that_its_network_does_not_have(labelled):
    from ssni_jax.experiments import Training
    from ssni_jax.networks import ResNetConfig
    from ssni_jax.training import ClassificationLoss

    network = ResNetConfig(n_classes=10, in_channels=1)
    training = Training("x", network, ClassificationLoss(), labelled(np.arange(12)))
    with pytest.raises(ValueError, match="labels go from 0 to 11, but the classifier has classes 0 to 9"):
        fitted_training(training)


def test_an_evaluation_in_which_nothing_matches_says_so():
    wrong = [clean_record(i, clean_label=5) for i in range(12)]
    assert no_match(summarise("x", wrong)).startswith("No prediction of 12 clean images matches its label: compare")
    assert no_match(summarise("x", wrong[:3])) is None
    assert no_match(summarise("x", [*wrong, attacked_record(12)])) is None


def test_linear_has_the_classes_of_its_weight():
    assert n_classes_of(predictor(Linear(np.zeros((64, 7), np.float32))), (8, 8, 1)) == 7
