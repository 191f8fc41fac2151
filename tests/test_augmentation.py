"""Augmented pairs: exact masks, aligned images, nothing left to luck."""

import cv2
import numpy as np
import pytest

from unet.imagery.turns import inverse, symmetry
from unet.training.augmentation import LEVELS, Augmentation

MOVES = ("flips", "geometry", "all", "wide")


def make_pairs(count, size=(64, 64), classes=1, seed=0):
    """Scenes of blocks: X is texture, Y their class ids; both read only."""
    rng = np.random.default_rng(seed)
    height, width = size
    X = np.empty((count, *size, 3), np.uint8)
    Y = np.zeros((count, *size), np.uint8)
    for image, ids in zip(X, Y, strict=True):
        coarse = rng.integers(40, 200, (8, 8, 3)).astype(np.uint8)
        image[:] = cv2.resize(coarse, (width, height))
        for k in range(3 * classes):
            top, left = rng.integers(0, (height - 8, width - 8))
            tall, wide = rng.integers(8, 24, 2)
            ids[top : top + tall, left : left + wide] = k % classes + 1
    X.flags.writeable = Y.flags.writeable = False
    return X, Y


def show_masks(Y):
    """Images that show nothing but their masks: 40 and, inside, 200."""
    return np.repeat(np.where(Y > 0, 200, 40).astype(np.uint8)[..., None], 3, 3)


def augment(level, X, Y, seed=0):
    return Augmentation(level)(X, Y, np.random.default_rng(seed))


def test_symmetries_are_the_group_of_the_square():
    picture = np.arange(9).reshape(3, 3)
    eight = [symmetry(picture, number).tolist() for number in range(8)]
    assert len({str(one) for one in eight}) == 8
    for first in range(8):
        for second in range(8):
            both = symmetry(symmetry(picture, first), second)
            assert both.tolist() in eight
        back = symmetry(symmetry(picture, first), inverse(first))
        assert np.array_equal(back, picture)


def test_even_symmetries_keep_the_shape():
    for number in range(8):
        kept = symmetry(np.zeros((4, 6, 3)), number).shape == (4, 6, 3)
        assert kept == (number % 2 == 0)


def test_flips_are_exact_and_each_as_likely_as_the_others():
    X, Y = make_pairs(1)
    X, Y = np.repeat(X, 800, 0), np.repeat(Y, 800, 0)
    versions = [symmetry(X[0], number) for number in range(8)]
    counts = np.zeros(8)
    for image, ids in zip(*augment("flips", X, Y), strict=True):
        same = [np.array_equal(image, one) for one in versions]
        number = same.index(True)
        assert np.array_equal(ids, symmetry(Y[0], number))
        counts[number] += 1
    assert counts.min() > 60


def test_flips_of_oblong_images_keep_the_shape():
    X, Y = make_pairs(40, (48, 80))
    seen = set()
    for before, after in zip(X, augment("flips", X, Y)[0], strict=True):
        same = [np.array_equal(after, symmetry(before, k)) for k in range(8)]
        seen.add(same.index(True))
    assert seen == {0, 2, 4, 6}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("size", [(64, 64), (48, 80), (16, 16)])
def test_shapes_and_types_stay_and_inputs_are_not_changed(level, size):
    X, Y = make_pairs(8, size, classes=3)
    before = X.copy(), Y.copy()
    new_X, new_Y = augment(level, X, Y)
    assert np.array_equal(X, before[0])
    assert np.array_equal(Y, before[1])
    assert new_X.shape == X.shape
    assert new_Y.shape == Y.shape
    assert new_X.dtype == new_Y.dtype == np.uint8
    assert not np.shares_memory(new_X, X)
    assert not np.shares_memory(new_Y, Y)


@pytest.mark.parametrize("level", LEVELS)
def test_the_same_generator_gives_the_same_pairs(level):
    X, Y = make_pairs(8)
    first, second = augment(level, X, Y, seed=7), augment(level, X, Y, seed=7)
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])
    if level != "none":
        assert not np.array_equal(first[0], augment(level, X, Y, seed=8)[0])


def test_none_changes_nothing():
    X, Y = make_pairs(3)
    new_X, new_Y = augment("none", X, Y)
    assert np.array_equal(new_X, X)
    assert np.array_equal(new_Y, Y)


@pytest.mark.parametrize("level", MOVES)
def test_masks_hold_no_class_that_was_not_there(level):
    X, Y = make_pairs(60, classes=5)
    Y = Y * 50  # between two ids an interpolated one would lie
    for before, after in zip(Y, augment(level, X, Y)[1], strict=True):
        assert set(np.unique(after)) <= set(np.unique(before))


@pytest.mark.parametrize("level", MOVES)
@pytest.mark.parametrize("value", [0, 1])
def test_full_and_empty_masks_stay_full_and_empty(level, value):
    X, _ = make_pairs(40)
    Y = np.full(X.shape[:3], value, np.uint8)
    assert (augment(level, X, Y)[1] == value).all()


@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_image_and_mask_move_together(size):
    """Thresholded, an image of the mask is the mask, but for edge pixels."""
    _, Y = make_pairs(300, size)
    new_X, new_Y = augment("geometry", show_masks(Y), Y)
    moved = 0
    for image, ids, before in zip(new_X, new_Y, Y, strict=True):
        moved += not np.array_equal(ids, before)
        edge = cv2.morphologyEx(ids, cv2.MORPH_GRADIENT, np.ones((3, 3)))
        wrong = (image[..., 0] > 120) != ids
        assert not (wrong & (edge == 0)).any()
        assert wrong.sum() <= 0.15 * edge.sum()
    assert moved > 250


@pytest.mark.parametrize("level", ["geometry", "wide"])
def test_masks_lie_no_part_of_a_pixel_beside_their_images(level, monkeypatch):
    """On average over many: half a pixel of bias would show as 0.5."""
    Y = np.zeros((400, 64, 64), np.uint8)
    Y[:, 24:40, 20:44] = 1
    augmentation = Augmentation(level)
    monkeypatch.setattr(augmentation, "_colour", None)
    rng = np.random.default_rng(0)
    new_X, new_Y = augmentation(show_masks(Y), Y, rng)
    share = (new_X[..., 0] - 40.0) / 160
    places = np.arange(64)
    for axis in (1, 2):
        soft = (share.sum(axis=axis) * places).sum(1) / share.sum((1, 2))
        hard = (new_Y.sum(axis=axis) * places).sum(1) / new_Y.sum((1, 2))
        assert abs((soft - hard).mean()) < 0.03


def test_geometry_scales_within_its_bounds_both_ways():
    Y = np.zeros((300, 64, 64), np.uint8)
    Y[:, 24:40, 24:40] = 1
    new = augment("geometry", show_masks(Y), Y)[1]
    sides = np.sqrt(new.sum(axis=(1, 2)))
    assert 16 * 0.75 < sides.min() < 16 * 0.85
    assert 16 * 1.15 < sides.max() < 16 * 1.3
    assert np.median(sides) == pytest.approx(16, abs=0.5)


def test_borders_are_mirrored_and_not_filled():
    X = np.full((60, 64, 64, 3), 90, np.uint8)
    Y = np.ones((60, 64, 64), np.uint8)
    assert (augment("geometry", X, Y)[0] == 90).all()


def test_colour_leaves_masks_alone_and_keeps_images_in_place():
    X, Y = make_pairs(100)
    new_X, new_Y = augment("colour", X, Y)
    assert np.array_equal(new_Y, Y)
    changed = 0
    for before, after in zip(X, new_X, strict=True):
        changed += not np.array_equal(before, after)
        greys = [cv2.cvtColor(one, cv2.COLOR_RGB2GRAY).astype(float).ravel()
                 for one in (before, after)]  # fmt: skip
        assert np.corrcoef(greys)[0, 1] > 0.9
    assert changed > 95


def test_colour_changes_brightness_within_bounds_and_without_bias():
    X, Y = make_pairs(400)
    new = augment("colour", X, Y)[0]
    ratios = new.mean((1, 2, 3)) / X.mean((1, 2, 3))
    assert ratios.min() > 0.5
    assert ratios.max() < 1.8
    assert np.median(ratios) == pytest.approx(1, abs=0.03)
    assert ratios.std() > 0.05


def test_wide_darkens_parts_of_an_even_image():
    """Shadows: on even ground only they make large differences."""
    X = np.full((60, 64, 64, 3), 150, np.uint8)
    Y = np.zeros((60, 64, 64), np.uint8)
    spread = [np.ptp(cv2.GaussianBlur(one, (0, 0), 3)[..., 1])
              for one in augment("wide", X, Y)[0]]  # fmt: skip
    assert 5 < np.sum(np.array(spread) > 25) < 35
    even = augment("all", X, Y)[0]
    assert max(np.ptp(cv2.GaussianBlur(one, (0, 0), 3)) for one in even) < 40


@pytest.mark.parametrize("level", LEVELS)
def test_black_white_and_single_images_are_no_special_case(level):
    for grey in (0, 255):
        X = np.full((1, 32, 32, 3), grey, np.uint8)
        Y = np.zeros((1, 32, 32), np.uint8)
        for seed in range(20):
            new_X, new_Y = augment(level, X, Y, seed)
            assert abs(new_X.mean() - grey) < 130
            assert not new_Y.any()
