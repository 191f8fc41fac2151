"""Predictions have the size of their images and their order."""

import numpy as np
import pytest

from conftest import make_tree, small_network
from unet.files.folders import Sample, find_samples
from unet.geometry.masks import to_ids
from unet.imagery.mask_values import read_mask
from unet.imagery.png import write_png
from unet.imagery.reading import read_image
from unet.imagery.turns import symmetry
from unet.network.model import build_unet
from unet.prediction.photos import probabilities_of_images as probabilities_of
from unet.prediction.stream import Source, predict, predict_labelled
from unet.prediction.strip import Settings

FLIPS = Settings(flips=True)


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
    (probability,) = probabilities_of(model, [image])
    assert probability.shape == (*shape, 1)
    assert probability.min() >= 0
    assert probability.max() <= 1


def test_at_the_networks_size_nothing_is_resampled(model):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    (probability,) = probabilities_of(model, [image])
    # One image is shown twice: TensorFlow is faster with two.
    twice = np.stack([image, image])
    assert np.array_equal(probability, model.predict(twice)[0])


@pytest.mark.parametrize("number", range(8))
def test_with_flips_a_turned_image_has_the_turned_probabilities(model, number):
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8)
    turned = symmetry(image, number)
    plain, of_turned = probabilities_of(model, [image, turned])
    assert number == 0 or not np.allclose(of_turned, symmetry(plain, number))
    (mean, mean_of_turned) = probabilities_of(model, [image, turned], FLIPS)
    assert np.allclose(mean_of_turned, symmetry(mean, number), atol=1e-6)
    assert mean.mean() == pytest.approx(
        np.mean(
            [probabilities_of(model, [symmetry(image, k)]) for k in range(8)]
        )
    )


def test_a_network_that_is_not_square_is_shown_no_quarter_turns():
    wide = build_unet((32, 64), filters=2, depth=2)
    image = np.random.default_rng(2).integers(0, 256, (32, 64, 3), np.uint8)
    (mean,) = probabilities_of(wide, [image], FLIPS)
    (upside_down,) = probabilities_of(wide, [image[::-1]], FLIPS)
    assert mean.shape == (32, 64, 1)
    assert np.allclose(upside_down, mean[::-1], atol=1e-6)


def test_many_photos_keep_their_order_and_names(model, tmp_path):
    tree = make_tree(tmp_path / "tree", 35)
    plain = tmp_path / "plain.png"
    write_png(plain, np.zeros((10, 20, 3), np.uint8))
    samples = [*find_samples(tree), Sample("plain", plain, None)]
    sources = [Source(sample) for sample in samples]
    results = list(predict(model, sources, Settings()))
    assert [source.name for source, _ in results] == [
        sample.name for sample in samples
    ]
    for (source, strip), sample in zip(results, samples, strict=True):
        assert np.array_equal(strip.image, read_image(sample.image))
        (expected,) = probabilities_of(model, [strip.image])
        assert np.allclose(strip.probability, expected, atol=1e-5)
        assert strip.ids.shape == strip.image.shape[:2] == source.shape
        assert np.array_equal(strip.ids, to_ids(strip.probability, 0.5))
        assert strip.top == 0
        assert strip.known.all()


def test_no_photo_gives_no_strip(model):
    assert list(predict(model, [], Settings())) == []


def test_labelled_samples_come_with_their_truth(model, tmp_path):
    samples = find_samples(make_tree(tmp_path / "tree", 3))
    results = list(predict_labelled(model, samples, ["building"]))
    assert [name for name, *_ in results] == [s.name for s in samples]
    for sample, (_, truth, _) in zip(samples, results, strict=True):
        expected = np.zeros(truth.ids.shape, bool)
        for path in sample.masks["building"]:
            expected |= read_mask(path)
        assert np.array_equal(truth.ids == 1, expected)
