"""Other objects than roofs: round things that touch, such as cells."""

import json
import re

import cv2
import numpy as np
import pandas as pd
import pytest

from conftest import CODE, run_script, write_sample
from unet.geometry.masks import instances
from unet.geometry.separation import separate
from unet.scoring.objects import match

# (radii of both axes, share of an axis that neighbours overlap by).
SCENES = {"cells": ((9, 12), 0.15), "grains": ((6, 14), 0.1)}


def scene(kind, seed, side=128):
    """Round things in chains, each of which touches the next.

    Returns:
        (image, labels): uint8 side x side x 3, int32 side x side.
    """
    (low, high), overlap = SCENES[kind]
    rng = np.random.default_rng(seed)
    labels, number = np.zeros((side, side), np.int32), 0
    for row in range(18, side - 14, 34):
        column = rng.integers(16, 24)
        while column < side - 16:
            axes = np.sort(rng.integers(low, high, 2))[::-1]
            own = np.zeros(labels.shape, np.uint8)
            angle = float(rng.integers(75, 105))
            middle = int(column), int(row + rng.integers(-2, 3))
            cv2.ellipse(own, middle, axes.tolist(), angle, 0, 360, 1, -1)
            number += 1
            labels[(own > 0) & (labels == 0)] = number
            column += int(2 * axes.min() * (1 - overlap))
    light = np.where(labels > 0, 165, 70) + rng.normal(0, 12, labels.shape)
    image = np.repeat(light.clip(0, 255).astype(np.uint8)[..., None], 3, 2)
    return image, labels


def f1(labels, true):
    matched, predicted, count = match(true, labels)
    return 2 * matched / (predicted + count)


@pytest.mark.parametrize("kind", SCENES)
def test_round_things_that_touch_come_apart(kind):
    scores = []
    for seed in range(4):
        _, true = scene(kind, seed)
        mask = true > 0
        probability = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2)
        parted = separate(mask, probability, 1)
        assert ((parted > 0) == mask).all()
        scores.append([f1(parted, true), f1(instances(mask)[0], true)])
    apart, together = np.mean(scores, axis=0)
    assert apart > 0.75 > together + 0.3


def test_a_network_trained_on_cells_counts_them(tmp_path):
    for side, seeds in (("train", range(8)), ("test", range(8, 11))):
        for seed in seeds:
            image, labels = scene("cells", seed)
            masks = [
                (labels == k).astype(np.uint8) * 255
                for k in range(1, labels.max() + 1)
            ]
            write_sample(tmp_path / side, f"Folder_{seed}", image, masks)
    small = ["--size", 128, "--filters", 4, "--epochs", 5, "--quiet"]
    options = *small, "--objects", "--out", "run", "--model", "my.keras"
    result = run_script("train/train_unet.py", ".", *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["training"]["objects"] is True
    assert summary["separation"]
    score = summary["scores"]["classes"]["building"]
    # In each of the 9 chains of the test images there are 6 or so.
    assert score["objects"]["true"] > 45
    assert score["object_f1"] > 0.9
    # Two outputs change neither the names of scores nor how test.py is used.
    log = pd.read_csv(tmp_path / "run" / "log.csv")
    assert {"building_iou", "val_building_iou", "val_mean_iou"} <= set(log)
    predicted = ["test", "--model", "my.keras", "--quiet"]
    result = run_script("test/test.py", *predicted, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    scores = json.loads((tmp_path / "predictions/scores.json").read_text())
    assert scores["classes"]["building"]["object_f1"] == score["object_f1"]


def test_the_pages_example_counts_the_coins_of_scikit_image(capsys):
    page = (CODE / "test" / "README.md").read_text(encoding="utf-8")
    coins, _ = re.findall(r"```\n(import numpy.*?)```", page, re.DOTALL)
    exec(coins, {})
    assert capsys.readouterr().out == "24 coins\n"
