"""unet.geometry.polygons: masks to outlines that give the same masks back."""

import numpy as np
import pytest
import shapely
from scipy import ndimage
from shapely import affinity

from conftest import REAL, blobs, needs_real_data
from unet.annotations.article import read_article_text
from unet.geometry.masks import instances, rasterise
from unet.geometry.polygons import class_outlines, outlines
from unet.geometry.right_angles import LEAST_IOU
from unet.imagery.mask_values import read_mask

SHAPE = (120, 120)


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def drawn(found, shape):
    mask = np.zeros(shape, bool)
    for one in found:
        mask |= one.mask(shape)
    return mask


def corners(polygon):
    return len(polygon.exterior.coords) - 1


def right_angles(polygon):
    sides = np.diff(shapely.get_coordinates(polygon.exterior), axis=0)
    units = sides / np.hypot(*sides.T)[:, None]
    turns = np.abs((units * np.roll(units, 1, axis=0)).sum(axis=1))
    return (turns < 0.01).all()


def noisy(geometry, share=0.03):
    """A mask of a shape with some pixels of its rim flipped."""
    mask = rasterise(geometry, SHAPE)
    rim = ndimage.binary_dilation(mask) ^ ndimage.binary_erosion(mask)
    flipped = np.random.default_rng(3).random(SHAPE) < share
    labels, _ = instances(mask ^ (rim & flipped))
    largest = labels == np.bincount(labels.ravel())[1:].argmax() + 1
    return ndimage.binary_fill_holes(largest)


@pytest.mark.parametrize("smooth", [0.4, 1, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_every_instance_is_read_back(seed, smooth):
    mask = blobs(seed, smooth)
    labels, count = instances(mask)
    found = outlines(mask)
    assert len(found) == count
    for k, one in enumerate(found, start=1):
        assert one.geometry.geom_type == "Polygon"
        assert one.geometry.is_valid
        assert iou(one.mask(mask.shape), labels == k) >= 0.995
    assert iou(drawn(found, mask.shape), mask) >= 0.995


@pytest.mark.parametrize("smooth", [0.4, 2])
@pytest.mark.parametrize("seed", range(4))
def test_without_tolerance_masks_are_the_same(seed, smooth):
    mask = blobs(seed, smooth)
    for one, k in zip(
        outlines(mask, tolerance=0), np.unique(instances(mask)[0])[1:],
        strict=True,
    ):  # fmt: skip
        assert (one.mask(mask.shape) == (instances(mask)[0] == k)).all()
        assert one.geometry.is_valid


@pytest.mark.parametrize("tolerance", [0.25, 0.5, 2])
def test_wrong_pixels_lie_within_the_tolerance(tolerance):
    mask = blobs(5, 6, (200, 200))
    wrong = 0
    labels, _ = instances(mask)
    for k, one in enumerate(outlines(mask, tolerance), start=1):
        rows, columns = np.nonzero(one.mask(mask.shape) ^ (labels == k))
        centres = shapely.points(columns + 0.5, rows + 0.5)
        away = shapely.distance(centres, one.geometry.boundary)
        assert (away <= tolerance).all()
        wrong += len(away)
    assert wrong  # else nothing was simplified


def test_nothing_gives_no_outline():
    assert outlines(np.zeros((7, 9), bool)) == []


def test_a_full_mask_is_the_whole_image():
    (one,) = outlines(np.ones((30, 50), bool))
    assert one.geometry.symmetric_difference(shapely.box(0, 0, 50, 30)).area < 1
    assert one.mask((30, 50)).all()
    assert shapely.box(0, 0, 50, 30).covers(one.geometry)


def test_specks_and_touching_corners():
    mask = np.zeros((6, 8), bool)
    mask[0, 0] = mask[5, 7] = True  # specks in the image's corners
    mask[2, 3] = mask[3, 4] = True  # one instance: corners touch
    found = outlines(mask)
    assert [one.mask(mask.shape).sum() for one in found] == [1, 2, 1]
    assert (drawn(found, mask.shape) == mask).all()


def test_holes_and_islands_are_kept():
    mask = np.zeros((60, 60), bool)
    mask[5:55, 5:55] = True
    mask[15:45, 15:45] = False
    mask[25:35, 25:35] = True  # an island in the hole
    mask[10, 10] = False  # a hole of one pixel
    found = outlines(mask)
    assert [len(one.geometry.interiors) for one in found] == [2, 0]
    assert (drawn(found, mask.shape) == mask).all()


def test_straight_sides_have_no_steps():
    """Where simplified contours leave a point at every other step."""
    roof = affinity.rotate(shapely.box(20, 30, 100, 80), 11)
    (one,) = outlines(rasterise(roof, SHAPE))
    assert corners(one.geometry) <= 6
    overlap = one.geometry.intersection(roof).area
    assert overlap / one.geometry.union(roof).area > 0.995


def test_small_instances_are_left_out():
    mask = np.zeros((30, 30), bool)
    mask[2:5, 2:5] = mask[10:20, 10:20] = True
    assert len(outlines(mask, smallest=9)) == 2
    (one,) = outlines(mask, smallest=10)
    assert one.mask(mask.shape).sum() == 100


def test_the_score_is_the_mean_probability():
    mask = np.zeros((20, 30), bool)
    mask[3:8, 4:9] = mask[12:15, 20:29] = True
    probability = np.random.default_rng(0).random(mask.shape)
    first, second = outlines(mask, label="roof", probability=probability)
    assert first.score == pytest.approx(probability[3:8, 4:9].mean())
    assert second.score == pytest.approx(probability[12:15, 20:29].mean())
    assert first.label == "roof"
    assert outlines(mask)[0].score is None


def test_classes_have_their_own_instances_and_scores():
    ids = np.zeros((20, 20), np.uint8)
    ids[2:10, 2:10], ids[2:10, 10:18] = 1, 2  # they touch
    probability = np.zeros((20, 20, 3))
    probability[..., 1], probability[..., 2] = 0.6, 0.7
    found = class_outlines(ids, ["road", "roof"], probability)
    assert [(one.label, one.score) for one in found] == [
        ("road", pytest.approx(0.6)),
        ("roof", pytest.approx(0.7)),
    ]
    for number, one in enumerate(found, start=1):
        assert (one.mask(ids.shape) == (ids == number)).all()


def test_one_class_has_one_channel():
    ids = np.ones((9, 9), np.uint8)
    (one,) = class_outlines(ids, ["roof"], np.full((9, 9, 1), 0.75))
    assert one.score == 0.75


@pytest.mark.parametrize("angle", [0, 27, 45, -60])
def test_a_noisy_rectangle_is_squared(angle):
    roof = affinity.rotate(shapely.box(25, 40, 95, 80), angle)
    (one,) = outlines(noisy(roof), square=True)
    assert corners(one.geometry) == 4
    assert right_angles(one.geometry)
    overlap = one.geometry.intersection(roof).area
    assert overlap / one.geometry.union(roof).area > 0.98


def test_a_noisy_l_is_squared():
    roof = [(20, 20), (90, 20), (90, 50), (50, 50), (50, 95), (20, 95)]
    roof = affinity.rotate(shapely.Polygon(roof), -18)
    (one,) = outlines(noisy(roof), square=True)
    assert corners(one.geometry) == 6
    assert right_angles(one.geometry)
    overlap = one.geometry.intersection(roof).area
    assert overlap / one.geometry.union(roof).area > 0.98


@pytest.mark.parametrize("angle", [0, 33, -45])
def test_a_blob_where_a_roof_is_gets_the_roofs_corners(angle):
    """Predicted masks are round where roofs are not."""
    roof = affinity.rotate(shapely.box(30, 40, 80, 75), angle)
    soft = ndimage.gaussian_filter(rasterise(roof, SHAPE).astype(float), 7)
    (one,) = outlines(soft > 0.5, square=True)
    assert corners(one.geometry) == 4
    assert right_angles(one.geometry)
    overlap = one.geometry.intersection(roof).area
    assert overlap / one.geometry.union(roof).area > 0.93


def test_a_courtyard_is_squared_too():
    yard = shapely.box(45, 45, 75, 75).exterior
    roof = shapely.Polygon(shapely.box(20, 20, 100, 100).exterior, [yard])
    mask = rasterise(affinity.rotate(roof, 20), SHAPE)
    (one,) = outlines(mask, square=True)
    assert right_angles(one.geometry)
    (inner,) = one.geometry.interiors
    assert len(inner.coords) == 5
    assert iou(one.mask(SHAPE), mask) > 0.98


@pytest.mark.parametrize(
    "geometry",
    [
        shapely.Point(60, 60).buffer(40),
        shapely.Point(60, 60).buffer(8),
        shapely.Polygon([(20, 20), (100, 30), (60, 90)]),
    ],
)
def test_what_is_not_square_is_left_alone(geometry):
    mask = rasterise(geometry, SHAPE)
    (plain,), (square,) = outlines(mask), outlines(mask, square=True)
    assert square.geometry.equals(plain.geometry)


def test_squares_that_reach_far_beyond_their_mask_are_seen_to():
    """A long wedge, cut off square, would be half outside."""
    wedge = shapely.Polygon([(5, 60), (115, 40), (115, 80)])
    (one,) = outlines(rasterise(wedge, SHAPE), square=True)
    assert iou(one.mask(SHAPE), rasterise(wedge, SHAPE)) > 0.97


@pytest.mark.parametrize("seed", range(3))
def test_a_squared_outline_fits_its_mask(seed):
    mask = blobs(seed)
    labels, _ = instances(mask)
    pairs = zip(outlines(mask), outlines(mask, square=True), strict=True)
    for k, (plain, square) in enumerate(pairs, start=1):
        if not square.geometry.equals(plain.geometry):
            assert iou(square.mask(mask.shape), labels == k) >= LEAST_IOU
        assert square.geometry.is_valid


def test_a_ragged_instance_is_squared_or_left_alone():
    """Its squared outline falls into slivers at the border."""
    rows = (
        *(".#.###.##.", "...###.#..", ".####.##..", "#......###"),
        *("...#.#.#.#", "#..#...###", "#..#..###.", "#..#..###."),
        *("...##.#.##", "...###.#.."),
    )
    mask = np.array([list(row) for row in rows]) == "#"
    found = outlines(mask, square=True)
    assert len(found) == instances(mask)[1]
    assert all(one.geometry.is_valid for one in found)


@needs_real_data
def test_real_roofs_keep_few_points():
    masks = [
        read_mask(path)
        for path in sorted((REAL / "buildings" / "masks").iterdir())[:60]
    ]
    for path in sorted((REAL / "buildings" / "annotations").iterdir())[:60]:
        for annotation in read_article_text(path).values():
            mask = np.zeros((256, 256), bool)
            for one in annotation.instances:
                mask |= one.mask(mask.shape)
            masks.append(mask)
    both = either = points = count = 0
    for mask in masks:
        labels, _ = instances(mask)
        for k, one in enumerate(outlines(mask), start=1):
            truth, read = labels == k, one.mask(mask.shape)
            assert truth.sum() < 100 or iou(read, truth) >= 0.995
            both += (read & truth).sum()
            either += (read | truth).sum()
            points += len(shapely.get_coordinates(one.geometry)) - 1
            count += 1
    assert both / either > 0.999
    assert points / count < 9
