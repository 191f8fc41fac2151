"""Thresholds and reliability against numbers worked out by hand."""

import numpy as np
import pytest

from unet.geometry.masks import to_ids
from unet.scoring.calibration import Reliability
from unet.scoring.scores import Scores


def noisy(seed=0, side=40):
    """Truth, and probabilities that tell it badly."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((side, side)) < 0.3).astype(np.uint8)
    p = (0.25 * truth + rng.random((side, side)) * 0.6).astype(np.float32)
    return truth, p[..., None]


def reliability(*pairs, classes=("building",)):
    one = Reliability(classes)
    for truth, probability in pairs:
        one.add(truth, probability)
    return one


def pooled_iou(pairs, threshold):
    scores = Scores(["building"])
    for truth, probability in pairs:
        scores.add("x", truth, to_ids(probability, threshold), probability)
    return scores.summary()["classes"]["building"]["iou"]


def test_best_threshold_has_the_best_iou_of_all_images_together():
    pairs = [noisy(0), noisy(1, side=20)]
    best = reliability(*pairs).best_threshold()
    values = {k / 100: pooled_iou(pairs, k / 100) for k in range(1, 100)}
    assert values[best] == max(values.values())
    assert best != 0.5


def test_every_hundredth_counts_as_the_threshold_does():
    levels = (np.arange(101) / 100).astype(np.float32)
    truth = np.ones((1, 101), np.uint8)
    one = reliability((truth, levels[None, :, None]))
    assert (one.counts[0, 1] == 1).all()
    for k in range(101):
        found = to_ids(levels[None, :, None], k / 100).sum()
        assert found == one.counts[0, 1, k:].sum() == 101 - k


def test_of_equal_thresholds_the_middle_one_is_taken():
    truth = np.array([[0, 1]], np.uint8)
    sure = np.array([[[0.2], [0.9]]], np.float32)
    assert reliability((truth, sure)).best_threshold() == 0.5


def test_there_is_no_threshold_without_objects_or_for_several_classes():
    empty = np.zeros((4, 4), np.uint8), np.full((4, 4, 1), 0.3, np.float32)
    assert reliability(empty).best_threshold() is None
    three = np.full((4, 4, 3), 1 / 3, np.float32)
    several = reliability((empty[0], three), classes=("road", "roof"))
    assert several.best_threshold() is None


def test_curve_tells_the_observed_share():
    p = np.full((10, 10, 1), 0.72, np.float32)
    truth = np.zeros((10, 10), np.uint8)
    truth[:, :7] = 1
    predicted, observed, pixels = reliability((truth, p)).curve(0)
    assert observed[14] == 0.7
    assert predicted[14] == pytest.approx(0.72, abs=0.006)
    assert pixels.tolist() == [0] * 14 + [100] + [0] * 5
    assert np.isnan(np.delete(observed, 14)).all()


def test_certainty_belongs_to_the_last_bin_and_classes_are_kept_apart():
    truth = np.array([[0, 1, 2]], np.uint8)
    probability = np.eye(3, dtype=np.float32)[truth]
    one = reliability((truth, probability), classes=("road", "roof"))
    for number in (0, 1):
        _, observed, pixels = one.curve(number)
        assert (observed[0], observed[-1]) == (0, 1)
        assert (pixels[0], pixels[-1]) == (2, 1)
