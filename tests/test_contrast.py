"""Contrast is raised where it was low, and colours keep their meaning."""

import cv2
import numpy as np
import pytest

from conftest import make_tree
from test_dataset import load, no_progress
from unet.files.folders import find_samples
from unet.imagery.contrast import CONTRASTS, enhance
from unet.imagery.resizing import resize_image
from unet.network.model import build_unet
from unet.prediction.photos import probabilities_of_images
from unet.prediction.strip import Settings
from unet.training import dataset


def dull(side=64):
    """A dull image: all values between 90 and 140."""
    rng = np.random.default_rng(0)
    return rng.integers(90, 141, (side, side, 3)).astype(np.uint8)


def test_none_changes_nothing():
    assert enhance(dull(), "none") is not None
    assert np.array_equal(enhance(dull(), "none"), dull())


def test_stretch_is_one_line_from_percentile_to_percentile():
    image = dull()
    low, high = np.percentile(image, [2, 98])
    expected = ((image - low) / (high - low) * 255).clip(0, 255)
    assert np.abs(enhance(image, "stretch") - expected).max() <= 0.5


def test_an_even_image_is_not_stretched():
    image = np.full((8, 8, 3), 77, np.uint8)
    assert np.array_equal(enhance(image, "stretch"), image)


def test_clahe_spreads_the_lightness_and_leaves_the_colour():
    image = cv2.GaussianBlur(dull(), (0, 0), 4)
    before = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    after = cv2.cvtColor(enhance(image, "clahe"), cv2.COLOR_RGB2LAB)
    assert after[..., 0].std() > 2 * before[..., 0].std()
    difference = after[..., 1:].astype(int) - before[..., 1:]
    assert np.abs(difference).max() <= 2
    assert (image == cv2.GaussianBlur(dull(), (0, 0), 4)).all()


def test_each_contrast_has_arrays_of_its_own(tmp_path):
    tree = make_tree(tmp_path / "tree", 2, size=50)
    samples = find_samples(tree)
    digests = set()
    for contrast in CONTRASTS:
        data = dataset.load(
            samples, (32, 32), ["building"], no_progress, contrast
        )
        plain = load(tree)
        assert data.contrast == contrast
        assert np.array_equal(data.X[0], enhance(plain.X[0], contrast))
        assert np.array_equal(data.Y, plain.Y)
        digests.add(data.digest)
    assert len(digests) == 3


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_prediction_sees_what_training_saw(contrast):
    model = build_unet((32, 32), filters=2, depth=2)
    (probability,) = probabilities_of_images(
        model, [dull()], Settings(contrast=contrast)
    )
    seen = enhance(resize_image(dull(), (32, 32)), contrast)
    # One image is shown twice: TensorFlow is faster with two.
    answers = model.predict(np.stack([seen, seen]), verbose=0)
    expected = resize_image(answers[0], (64, 64))
    assert np.array_equal(probability[..., 0], expected)
