"""Which classes come apart, and how far: chosen on labelled images."""

from pathlib import Path

import numpy as np
import pytest

from unet.files.folders import Sample
from unet.imagery.mask_values import Truth
from unet.prediction.separation import Separation
from unet.prediction.stream import Source
from unet.prediction.strip import Strip
from unet.prediction.windows import Tiling
from unet.scoring.heights import GRID, HeightChoice, countable
from unet.scoring.objects import Matches, Objects, match

SHAPE = (60, 90)
CLASSES = ["road", "roof"]


def two_roofs(shape=SHAPE):
    """Truth of two roofs side by side, and a probability that doubts there."""
    ids, instances = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    middle = shape[1] // 2
    ids[10:-10, 5:-5] = 1
    instances[10:-10, 5:middle], instances[10:-10, middle:-5] = 1, 2
    probability = np.where(ids, 0.95, 0.05)
    probability[10:-10, middle - 2 : middle + 2] = 0.6
    return Truth(ids, instances), probability[..., None]


def strip_of(truth, probability):
    """A prediction without a wrong pixel."""
    known = np.ones(truth.ids.shape, bool)
    image = np.zeros((*truth.ids.shape, 3), np.uint8)
    return Strip(0, image, truth.ids, probability, known)


def sample(name, **counts):
    masks = {label: [Path(f"{k}.png") for k in range(n)]
             for label, n in counts.items()}  # fmt: skip
    return Sample(name, Path(f"{name}.png"), masks)


def test_a_class_of_one_mask_an_image_is_a_surface():
    samples = [sample("a", road=1, roof=1), sample("b", road=1, roof=5)]
    assert countable([*samples, sample("c")], CLASSES) == ["roof"]


def test_the_height_that_finds_most_objects_is_chosen():
    truth, probability = two_roofs()
    choice = HeightChoice(["roof"], ["roof"])
    choice.add(truth, strip_of(truth, probability), 0.5)
    height = choice.best()["roof"]
    assert height in GRID[1:]
    matches = Matches(SHAPE, height / 0.5)
    masks = truth.ids == 1, truth.ids == 1
    known = Objects(true=truth.instances)
    matches.add(*masks, probability[..., 0], 0, known)
    matches.close()
    assert matches.counts() == (2, 2, 2)


def test_large_objects_with_ridges_come_apart_at_large_heights():
    truth, probability = two_roofs((70, 180))
    for ridge in (45, 135):  # roofs rise 6 pixels above it
        probability[10:60, ridge - 3 : ridge + 3] = 0.68
    choice = HeightChoice(["roof"], ["roof"])
    choice.add(truth, strip_of(truth, probability), 1)
    assert choice.best() == {"roof": 8}


def test_what_is_best_left_together_gets_no_height():
    truth, probability = two_roofs()
    one = Truth(truth.ids, np.int32(truth.ids))
    choice = HeightChoice(["roof"], ["roof"])
    choice.add(one, strip_of(truth, probability), 0.5)
    assert choice.best() == {}


def test_two_roofs_that_touch_are_two_true_objects():
    truth, probability = two_roofs()
    for height, counts in ((None, (0, 1, 2)), (4, (2, 2, 2))):
        matches = Matches(SHAPE, height)
        masks = truth.ids == 1, truth.ids == 1
        # One region is exactly half of either: it may be one of them.
        known = Objects(true=truth.instances)
        matches.add(*masks, probability[..., 0], 0, known)
        matches.close()
        matched, *others = matches.counts()
        assert others == list(counts[1:])
        assert matched == (counts[0] or 1)


@pytest.mark.parametrize("shift, matched", [(0, 1), (1, 1), (2, 0)])
def test_a_match_needs_an_iou_of_half(shift, matched):
    true, predicted = np.zeros((2, 9), int), np.zeros((2, 9), int)
    true[:, :3] = 4
    predicted[:, shift : 3 + shift] = 7  # 1, 4 of 8, 2 of 10
    assert match(true, predicted) == (matched, 1, 1)


def test_of_two_candidates_the_better_one_matches_and_none_twice():
    true = np.array([[1, 1, 1, 2, 2, 2]])
    predicted = np.array([[5, 5, 5, 5, 5, 6]])
    assert match(true, predicted) == (1, 2, 2)


def test_a_height_means_the_same_on_the_ground():
    separation = Separation((128, 128), {"roof": 2})
    photo = Source(None, shape=(256, 256))
    assert separation.of(photo, CLASSES) == [None, 4]
    shape = (1000, 2000)
    coarse = Source(None, Tiling(shape, (1, 1), (128, 128)), shape)
    fine = Source(None, Tiling(shape, (0.25, 0.25), (128, 128)), shape)
    assert separation.of(coarse, CLASSES) == [None, 2]
    assert separation.of(fine, CLASSES) == [None, 8]
    assert Separation((128, 128)).of(fine, CLASSES) == [None, None]
