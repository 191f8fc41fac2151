"""Scores of several classes: means, confusion, land cover, comparisons."""

import json

import numpy as np
import pandas as pd
import pytest

from conftest import make_tree, run_script, small_network
from test_comparison import log, one_class, summary
from test_scoring import scored_scene
from unet.files.folders import UNKNOWN
from unet.imagery.reading import read_image
from unet.network.contract import Contract
from unet.network.model import save
from unet.pictures import figures
from unet.scoring.scores import Scores, has_background, table
from unet.training import comparison

CLASSES = ["road", "roof"]


def scored(*pairs):
    scores = Scores(CLASSES)
    for number, (truth, predicted) in enumerate(pairs):
        truth, predicted = (np.array(x, np.uint8) for x in (truth, predicted))
        scores.add(f"i{number}", truth, predicted, np.eye(3)[predicted])
    return scores.summary()


# 3 of 4 roads and 2 of 4 roofs are right; 1 of 8 pixels is predicted to be
# background, which no pixel is.
TRUTH = [[1, 1, 1, 1], [2, 2, 2, 2]]
PREDICTED = [[1, 1, 1, 0], [2, 2, 1, 1]]
ROAD, ROOF = 3 / 6, 2 / 4


def test_a_background_that_is_not_there_counts_in_no_mean():
    cover = scored((TRUTH, PREDICTED))
    assert cover["mean_iou_classes"] == pytest.approx((ROAD + ROOF) / 2)
    assert cover["mean_iou"] == cover["mean_iou_classes"]
    assert not has_background(cover)
    text = "\n".join(table(cover))
    assert text.startswith("mean IoU over classes  0.5000")
    assert "background" not in text
    one = scored(([*TRUTH, [0] * 4], [*PREDICTED, [0] * 4]))
    assert one["mean_iou_classes"] == pytest.approx((ROAD + ROOF) / 2)
    assert one["mean_iou"] == pytest.approx((ROAD + ROOF + 4 / 5) / 3)
    assert has_background(one)
    assert "mean IoU with background" in "\n".join(table(one))


def test_a_class_that_is_nowhere_counts_in_no_mean():
    only = scored(([[1, 1]], [[1, 1]]))
    assert only["mean_iou_classes"] == 1
    nothing = scored(([[UNKNOWN]], [[1]]))
    assert nothing["mean_iou_classes"] is nothing["mean_iou"] is None
    assert nothing["mean_iou_classes_interval"] == [None, None]


def test_confusion_counts_judged_pixels_by_truth_and_prediction():
    ignored = [UNKNOWN] * 4
    found = scored(([*TRUTH, ignored], [*PREDICTED, [0, 1, 2, 2]]))["confusion"]
    assert found == {
        "labels": ["background", "road", "roof"],
        "counts": [[0, 0, 0], [1, 3, 0], [0, 2, 2]],
    }


def test_intervals_of_the_mean_and_of_boundaries_hold_their_scores():
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(8):
        truth = np.kron(rng.integers(0, 3, (5, 5)), np.ones((4, 4)))
        noise = rng.random(truth.shape) < rng.random() / 2
        pairs.append((truth, np.where(noise, 1, truth)))
    found = scored(*pairs)
    low, high = found["mean_iou_classes_interval"]
    assert low < found["mean_iou_classes"] < high
    for score in found["classes"].values():
        low, high = score["boundary_iou_interval"]
        assert low < score["boundary_iou"] < high
    assert f"(95 %: {low:.3f} to {high:.3f})" in "\n".join(table(found))


def test_a_scene_in_rows_has_the_same_confusion():
    truth, predicted = np.array(TRUTH * 9), np.array(PREDICTED * 9)
    probability = np.eye(3)[predicted]
    rows = scored_scene(truth, predicted, probability, 4, CLASSES)
    whole = scored((truth, predicted))
    for key in ("mean_iou", "mean_iou_classes", "confusion"):
        assert rows[key] == whole[key]
    assert "mean_iou_classes_interval" not in rows
    assert "mean IoU over classes" in table(rows)[0]


def test_the_matrix_shows_a_background_where_one_is():
    def shown(confusion):
        axis = figures.confusion_matrix(confusion).axes[0]
        names = [
            [label.get_text() for label in labels]
            for labels in (axis.get_yticklabels(), axis.get_xticklabels())
        ]
        return *names, [text.get_text() for text in axis.texts]

    cover = scored((TRUTH, PREDICTED))["confusion"]
    truth, predicted, texts = shown(cover)
    assert truth == CLASSES
    assert predicted == ["background", *CLASSES]
    assert texts == [
        "25.0%\n1", "75.0%\n3", "0.0%\n0", "0.0%\n0", "50.0%\n2", "50.0%\n2",
    ]  # fmt: skip
    assert shown(scored((TRUTH, TRUTH))["confusion"])[1] == CLASSES
    truth, *_ = shown(scored(([[0, 1, 2]], [[0, 1, 2]]))["confusion"])
    assert truth == ["background", *CLASSES]


def test_the_metric_of_a_training_leaves_an_absent_background_out():
    from unet.training import fitting  # needs Keras

    mean, _ = fitting.metrics(CLASSES)
    for truth, predicted, expected in (
        (TRUTH, PREDICTED, (ROAD + ROOF) / 2),
        ([*TRUTH, [0] * 4], [*PREDICTED, [0] * 4], (ROAD + ROOF + 4 / 5) / 3),
        ([[1, UNKNOWN]], [[1, 0]], 1),
    ):
        mean.reset_state()
        answer = np.eye(3, dtype=np.float32)[np.array(predicted)]
        mean.update_state(np.array(truth)[..., None], answer)
        assert float(mean.result()) == pytest.approx(expected)


def test_a_comparison_has_columns_of_each_class():
    before = summary({"road": 0.2, "roof": 0.6})
    before["scores"]["classes"]["roof"] = one_class(
        0.6, boundary_iou_interval=[0.25, 0.35]
    )
    row = comparison.row_of(before, log("foreground_iou", [0.1]), 0.5)
    assert row["road: iou"] == pytest.approx(0.2)
    assert row["roof: iou_high"] == pytest.approx(0.7)
    assert row["roof: boundary_iou_low"] == pytest.approx(0.25)
    assert np.isnan(row["road: boundary_iou_low"])

    rows = [
        {"variant": "default", "seed": k, "options": "", **row} for k in (0, 1)
    ]
    (line,) = comparison.table(pd.DataFrame(rows)).to_dict("records")
    assert line["IoU of road"] == "0.200 ± 0.000"
    assert line["IoU of roof, 95 %"] == "0.500 to 0.700"
    assert line["boundary IoU of roof"] == "0.300 ± 0.000"
    assert line["boundary IoU of roof, 95 %"] == "0.250 to 0.350"
    assert line["boundary IoU of road, 95 %"] == "none"


def test_a_prediction_of_several_classes_writes_its_confusion(tmp_path):
    make_tree(tmp_path / "tree", 3, size=40, classes=CLASSES)
    contract = Contract(CLASSES, [32, 32])
    save(small_network(CLASSES), tmp_path / "m.keras", contract)
    result = run_script(
        "test/test.py", "tree", "--model", "m.keras", "--out", "out",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    counts = np.array(scores["confusion"]["counts"])
    assert counts.sum() == 3 * 40 * 40
    for number, name in enumerate(CLASSES, start=1):
        pixels = scores["classes"][name]["pixels"]
        assert counts[number, number] == pixels["tp"]
        assert counts[number].sum() == pixels["tp"] + pixels["fn"]
    assert read_image(tmp_path / "out" / "confusion.png").ndim == 3
    assert "confusion.png" in result.stdout
