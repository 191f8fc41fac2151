"""Losses against numbers worked out by hand."""

import numpy as np
import pytest

from unet.files.errors import DataError
from unet.network.backend import keras
from unet.network.losses import balanced, loss

TRUTH = np.array([[[1, 1], [0, 0]], [[0, 0], [0, 0]]], np.uint8)[..., None]
P = np.array([[[0.9, 0.4], [0.2, 0.1]], [[0.3, 0.1], [0.1, 0.1]]], np.float32)
# Of two classes and the background: 2 images of 1 x 2 pixels.
IDS = np.array([[[0, 1]], [[2, 2]]], np.uint8)[..., None]
Q = np.array(
    [
        [[[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]]],
        [[[0.1, 0.1, 0.8], [0.5, 0.2, 0.3]]],
    ],
    np.float32,
)
ONE, TWO = ["building"], ["road", "roof"]


def value(name, classes, truth, probability, weights=None):
    """What ``fit`` would report."""
    given = loss(name, classes, weights)
    if callable(given):
        return float(given(keras.ops.cast(truth, "float32"), probability))
    return float(keras.losses.get(given)(truth, probability).numpy().mean())


def entropies():
    """Cross-entropy of each pixel, and where the buildings are."""
    truth = TRUTH[..., 0] == 1
    return -np.log(np.where(truth, P, 1 - P)), truth


def of_truth():
    return np.take_along_axis(Q, IDS.astype(int), -1)[..., 0]


def one(name, weights=None):
    return value(name, ONE, TRUTH, P[..., None], weights)


def two(name, weights=None):
    return value(name, TWO, IDS, Q, weights)


def dice(truth, p):
    return 1 - 2 * (truth * p).sum() / (truth.sum() + p.sum())


def test_cross_entropy_stays_the_one_of_keras():
    assert loss("bce", ONE) == "binary_crossentropy"
    assert loss("bce", TWO) == "sparse_categorical_crossentropy"


def test_weights_of_one_change_nothing():
    assert one("bce", [1, 1]) == pytest.approx(one("bce"), rel=1e-5)
    assert two("bce", [1, 1, 1]) == pytest.approx(two("bce"), rel=1e-5)


def test_weights_multiply_the_pixels_of_their_class():
    pixels, truth = entropies()
    expected = (pixels * np.where(truth, 3, 0.5)).mean()
    assert one("bce", [0.5, 3]) == pytest.approx(expected, rel=1e-5)
    expected = (-np.log(of_truth()) * [[[1, 2]], [[4, 4]]]).mean()
    assert two("bce", [1, 2, 4]) == pytest.approx(expected, rel=1e-5)


def test_dice_is_counted_over_the_batch():
    pixels, truth = entropies()
    expected = pixels.mean() + dice(truth, P)
    assert one("bce+dice") == pytest.approx(expected, rel=1e-5)
    overlaps = [dice(IDS[..., 0] == k, Q[..., k]) for k in range(3)]
    expected = -np.log(of_truth()).mean() + np.mean(overlaps)
    assert two("bce+dice") == pytest.approx(expected, rel=1e-5)


def test_dice_has_no_weights():
    pixels, truth = entropies()
    expected = 2 * pixels.mean() + dice(truth, P)
    assert one("bce+dice", [2, 2]) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_forgets_what_is_easy():
    pixels, truth = entropies()
    sure = np.where(truth, P, 1 - P)
    expected = ((1 - sure) ** 2 * pixels).mean()
    assert one("focal") == pytest.approx(expected, rel=1e-4)
    expected = ((1 - of_truth()) ** 2 * -np.log(of_truth())).mean()
    assert two("focal") == pytest.approx(expected, rel=1e-4)
    weighted = ((1 - sure) ** 2 * pixels * np.where(truth, 3, 1)).mean()
    assert one("focal", [1, 3]) == pytest.approx(weighted, rel=1e-4)


def tversky(truth, p, invented, missed):
    found = (truth * p).sum()
    costs = (
        invented * ((1 - truth) * p).sum() + missed * (truth * (1 - p)).sum()
    )
    return 1 - found / (found + costs)


def test_tversky_minds_what_is_missed():
    truth = TRUTH[..., 0]
    expected = tversky(truth, P, 0.3, 0.7), tversky(1 - truth, 1 - P, 0.7, 0.3)
    assert one("tversky") == pytest.approx(np.mean(expected), rel=1e-5)
    costs = [(0.7, 0.3), (0.3, 0.7), (0.3, 0.7)]
    expected = [
        tversky(IDS[..., 0] == k, Q[..., k], *costs[k]) for k in range(3)
    ]
    assert two("tversky") == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("name", ["bce+dice", "tversky"])
def test_overlap_is_not_made_small_by_objects_everywhere(name):
    """Where all pixels have reached 1 no gradient would lead back."""
    truth = np.zeros((1, 10, 10, 1), np.uint8)
    truth[:, :2] = 1
    everywhere, undecided = (
        value(name, ONE, truth, np.full(truth.shape, p, np.float32))
        for p in (0.999, 0.5)
    )
    assert everywhere > undecided + 0.1


def test_balanced_classes_count_alike_and_the_mean_pixel_one():
    shares = [0.8, 0.2]
    weights = balanced(["balanced"], shares)
    assert weights == pytest.approx([0.625, 2.5])
    assert np.dot(weights, shares) == pytest.approx(1)
    assert balanced(["balanced"], [1.0, 0.0]) == [1.0, 0.0]
    assert balanced([1.0, 3.0], shares) == [1.0, 3.0]
    assert balanced(None, shares) is None


@pytest.mark.parametrize(
    ("name", "weights", "words"),
    [
        ("bce", [1.0], r"expected 2 numbers \(background, building\)"),
        ("bce", ["balanced", 2.0], "'balanced' alone"),
        ("tversky", [1.0, 2.0], "tversky counts overlap"),
    ],
)
def test_weights_that_cannot_be_are_told(name, weights, words):
    with pytest.raises(DataError, match=words):
        loss(name, ONE, weights)
