"""Predictions have the size of their images and their order."""

import numpy as np
import pytest

from conftest import make_tree, small_network
from unet.files.folders import Sample, find_samples
from unet.geometry.masks import to_ids
from unet.imagery.png import write_png
from unet.imagery.reading import read_image
from unet.imagery.turns import symmetry
from unet.network.model import build_unet
from unet.prediction.photos import predict, predict_samples


@pytest.fixture(scope="module")
def model():
    return small_network()


def test_threshold_belongs_to_the_object():
    probability = np.array([[[0.49], [0.5], [0.51]]])
    assert to_ids(probability, 0.5).tolist() == [[0, 1, 1]]
    assert to_ids(probability, 0.51).tolist() == [[0, 0, 1]]
    assert to_ids(probability, 0.5).dtype == np.uint8


def test_most_probable_class_wins():
    probability = np.array([[[0.4, 0.3, 0.3], [0.2, 0.3, 0.5]]])
    assert to_ids(probability, 0.9).tolist() == [[0, 2]]


@pytest.mark.parametrize("shape", [(32, 32), (50, 37), (17, 90), (1, 1)])
def test_probabilities_have_the_size_of_the_image(model, shape):
    image = np.full((*shape, 3), 99, np.uint8)
    (probability,) = predict(model, [image])
    assert probability.shape == (*shape, 1)
    assert probability.min() >= 0
    assert probability.max() <= 1


def test_at_the_networks_size_nothing_is_resampled(model):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    (probability,) = predict(model, [image])
    assert np.array_equal(probability, model.predict(image[None])[0])


@pytest.mark.parametrize("number", range(8))
def test_with_flips_a_turned_image_has_the_turned_probabilities(model, number):
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    turned = symmetry(image, number)
    plain, of_turned = predict(model, [image, turned])
    assert number == 0 or not np.allclose(of_turned, symmetry(plain, number))
    (mean, mean_of_turned) = predict(model, [image, turned], flips=True)
    assert np.allclose(mean_of_turned, symmetry(mean, number), atol=1e-6)
    assert mean.mean() == pytest.approx(
        np.mean([predict(model, [symmetry(image, k)]) for k in range(8)])
    )


def test_a_network_that_is_not_square_is_shown_no_quarter_turns():
    wide = build_unet((32, 64), filters=2, depth=2)
    image = np.random.default_rng(2).integers(0, 256, (32, 64, 3), np.uint8)
    (mean,) = predict(wide, [image], flips=True)
    (upside_down,) = predict(wide, [image[::-1]], flips=True)
    assert mean.shape == (32, 64, 1)
    assert np.allclose(upside_down, mean[::-1], atol=1e-6)


def test_many_samples_keep_their_order_names_and_truth(model, tmp_path):
    tree = make_tree(tmp_path / "tree", 35)
    plain = tmp_path / "plain.png"
    write_png(plain, np.zeros((10, 20, 3), np.uint8))
    samples = [*find_samples(tree), Sample("plain", plain, None)]
    results = list(predict_samples(model, samples, ["building"], 0.5))
    assert [one.name for one in results] == [one.name for one in samples]
    for one, sample in zip(results, samples, strict=True):
        assert np.array_equal(one.image, read_image(sample.image))
        (expected,) = predict(model, [one.image])
        assert np.allclose(one.probability, expected, atol=1e-5)
        assert one.ids.shape == one.image.shape[:2]
    assert results[-1].truth is None
    assert results[0].truth.max() == 1
