"""Scores against numbers worked out by hand."""

import numpy as np
import pytest

from conftest import blobs, strips
from unet.files.folders import UNKNOWN
from unet.scoring.counts import confusion, cross_entropy, iou
from unet.scoring.objects import Matches
from unet.scoring.scores import Scores, table


def square(top, left, side, size=20):
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def scored(pairs, classes=("building",)):
    scores = Scores(classes)
    for number, (truth, predicted) in enumerate(pairs):
        probability = np.where(predicted == 1, 0.9, 0.1)[..., None]
        scores.add(f"image_{number}", truth, predicted, probability)
    return scores


def test_confusion_counts_rows_of_truth():
    counts = confusion(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]), 3, 3)
    assert counts.dtype == np.int64
    assert counts.tolist() == [[1, 0, 0], [0, 1, 1], [0, 0, 1]]


def test_iou_of_an_absent_class_is_undefined():
    scores = iou(np.array([[5, 0], [0, 0]]))
    assert scores[0] == 1
    assert np.isnan(scores[1])


def test_pixels_are_pooled_over_images_not_averaged():
    # IoU 1/7 over a large image, 1 over a small object.
    pairs = [
        (square(0, 0, 8), square(4, 4, 8)),
        (square(0, 0, 2), square(0, 0, 2)),
    ]
    one = scored(pairs).summary()["classes"]["building"]
    assert one["pixels"] == {"tp": 20, "fp": 48, "fn": 48, "tn": 684}
    assert one["iou"] == 20 / 116
    assert one["precision"] == one["recall"] == one["f1"] == 20 / 68


def test_mean_iou_counts_the_background():
    summary = scored([(square(0, 0, 10), square(0, 0, 5))]).summary()
    assert summary["classes"]["building"]["iou"] == 25 / 100
    assert summary["mean_iou"] == pytest.approx((0.25 + 300 / 375) / 2)


def test_nothing_to_find_and_nothing_found_has_no_score():
    empty = np.zeros((20, 20), np.uint8)
    one = scored([(empty, empty)]).summary()["classes"]["building"]
    for key in ("iou", "precision", "recall", "f1", "boundary_iou"):
        assert one[key] is None
    assert one["iou_interval"] == [None, None]
    assert one["object_f1"] is None


def test_interval_holds_the_score_and_has_no_width_without_doubt():
    sure = scored([(square(0, 0, 8), square(4, 4, 8))] * 5).summary()
    low, high = sure["classes"]["building"]["iou_interval"]
    assert low == high == pytest.approx(16 / 112)
    pairs = [(square(0, 0, 8), square(k, k, 8)) for k in range(8)]
    one = scored(pairs).summary()["classes"]["building"]
    low, high = one["iou_interval"]
    assert low < one["iou"] < high
    low, high = one["object_f1_interval"]
    assert low < one["object_f1"] < high
    assert scored(pairs).summary() == scored(pairs).summary()


def test_cross_entropy_in_nats():
    truth = np.array([[0, 1]])
    probability = np.array([[[0.25], [0.5]]])
    assert cross_entropy(truth, probability) == pytest.approx(
        -np.log(0.75) - np.log(0.5)
    )
    three = np.array([[[0.7, 0.2, 0.1], [0.5, 0.25, 0.25]]])
    assert cross_entropy(truth, three) == pytest.approx(
        -np.log(0.7) - np.log(0.25)
    )
    certain = cross_entropy(truth, np.array([[[1.0], [0.0]]]))
    assert np.isfinite(certain)


def test_objects_match_above_half_iou():
    truth = square(0, 0, 6) + square(10, 10, 6)
    predicted = square(0, 0, 6) + square(10, 13, 6) + square(0, 14, 3)
    # The second overlaps by 18 of 54: no match.
    matches = Matches(truth.shape)
    matches.add(truth > 0, predicted > 0, predicted * 0.9, 0)
    matches.close()
    assert matches.counts() == (1, 3, 2)
    one = scored([(truth, predicted)]).summary()["classes"]["building"]
    assert one["object_f1"] == 2 / 5
    assert one["objects"] == {"true": 2, "predicted": 3}


def test_boundary_iou_looks_at_the_edge_alone():
    # A diagonal of 141 gives a band of 3 pixels; the rings share all of the
    # true one but for the part that lies deeper than 3 in the larger square.
    truth, predicted = square(20, 20, 40, 100), square(20, 20, 41, 100)
    one = scored([(truth, predicted)]).summary()["classes"]["building"]
    true_ring, predicted_ring = 40**2 - 34**2, 41**2 - 35**2
    shared = true_ring - (35**2 - 34**2)
    union = true_ring + predicted_ring - shared
    assert one["boundary_iou"] == shared / union


def test_classes_are_scored_one_by_one():
    truth = square(0, 0, 4) + 2 * square(10, 10, 4)
    scores = Scores(["road", "roof"])
    probability = np.eye(3)[truth]
    scores.add("a", truth, truth, probability)
    summary = scores.summary()
    assert summary["mean_iou"] == 1
    assert summary["cross_entropy"] == 0
    assert {n: c["iou"] for n, c in summary["classes"].items()} == {
        "road": 1,
        "roof": 1,
    }
    assert scores.per_image() == [("a", {"road": 1.0, "roof": 1.0})]


def test_table_names_both_kinds_of_iou():
    text = "\n".join(table(scored([(square(0, 0, 8),) * 2]).summary()))
    assert "building IoU" in text
    assert "mean IoU with background" in text


def scored_scene(truth, predicted, probability, height, classes, known=None):
    scores = Scores(classes)
    image = scores.begin("scene", truth.shape)
    for strip in strips(height, predicted, probability, known=known):
        image.add(truth[strip.rows], strip.ids, strip.probability, strip.known)
    image.close()
    return scores.summary()


@pytest.mark.parametrize("smooth", [0.5, 1.5, 4])
def test_a_scene_is_scored_as_if_it_were_one_image(smooth):
    shape, classes = (150, 110), ["roof", "road"]
    rng = np.random.default_rng(0)
    truth = blobs(1, smooth, shape) + blobs(2, smooth, shape) * np.uint8(1)
    predicted = np.where(blobs(3, smooth, shape, 0.1), 2, truth)
    predicted = predicted.astype(np.uint8)
    probability = rng.dirichlet([1, 1, 1], shape).astype(np.float32)
    image = Scores(classes)
    image.add("a", truth, predicted, probability)
    whole = image.summary()
    results = [
        scored_scene(truth, predicted, probability, height, classes)
        for height in (1, 7, 64, 149)
    ]
    assert all(one == results[0] for one in results)
    for name in classes:
        own = results[0]["classes"][name]
        assert 0 < own["object_f1"] < 1
        assert own == {key: whole["classes"][name][key] for key in own}
    assert results[0]["mean_iou"] == whole["mean_iou"]
    assert results[0]["cross_entropy"] == pytest.approx(whole["cross_entropy"])
    assert table(results[0])


def test_what_nobody_knows_in_a_scene_is_not_judged():
    truth = np.zeros((20, 20), np.uint8)
    predicted, known = truth.copy(), np.ones((20, 20), bool)
    truth[2:6, 2:6] = predicted[2:6, 2:6] = 1
    predicted[10:14, 2:6] = 1
    truth[8:] = UNKNOWN
    predicted[2:6, 12:16] = 1
    known[:, 10:] = False
    own = scored_scene(truth, predicted, None, 3, ["building"], known)
    own = own["classes"]["building"]
    assert own["pixels"] == {"tp": 16, "fp": 0, "fn": 0, "tn": 64}
    assert own["objects"] == {"true": 1, "predicted": 1}
    assert own["object_f1"] == 1
    nothing = np.full((20, 20), UNKNOWN, np.uint8)
    empty = scored_scene(nothing, predicted, None, 3, ["building"])
    assert empty["mean_iou"] is empty["cross_entropy"] is None
