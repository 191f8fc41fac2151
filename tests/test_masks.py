"""Masks are geometry: exact pixels, exact areas."""

import numpy as np
import pytest
import shapely

from conftest import REAL, needs_real_data, write_sample
from unet.annotations.article import read_article_text
from unet.files.errors import DataError
from unet.files.folders import read_sample
from unet.geometry.masks import (
    boundary,
    instances,
    rasterise,
    resize_ids,
    without_overlap,
)
from unet.imagery.mask_values import read_class_ids
from unet.imagery.png import write_png


def draw(*rings, shape=(4, 4)):
    """The mask of a polygon; the rings behind the first are holes."""
    return rasterise(shapely.Polygon(rings[0], rings[1:]), shape)


def box(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def pixels(*rows):
    """A bool mask as one sees it: # is set."""
    return np.array([[sign == "#" for sign in row] for row in rows])


@pytest.mark.parametrize(
    ("ring", "expected"),
    [
        (box(1, 1, 2, 2), "..../.#../..../...."),
        (box(0, 0, 4, 4), "####/####/####/####"),
        (box(0.4, 0, 2.6, 4), "###./###./###./###."),
        (box(0.6, 0, 2.4, 4), ".#../.#../.#../.#.."),
        (box(0, 0.4, 4, 2.6), "####/####/####/...."),
        (box(0, 0.6, 4, 2.4), "..../####/..../...."),
        (box(1.1, 1.1, 1.4, 1.9), "..../..../..../...."),
        (box(1.4, 1.4, 1.6, 1.6), "..../.#../..../...."),
        ([(0, 0), (3.9, 0), (0, 3.9)], "###./##../#.../...."),
        ([(0, 3.9), (0, 0), (3.9, 0)], "###./##../#.../...."),
    ],
    ids=[
        "unit square",
        "whole image",
        "outer columns more than half covered",
        "outer columns less than half covered",
        "outer rows more than half covered",
        "outer rows less than half covered",
        "no centre covered",
        "tiny around a centre",
        "triangle",
        "triangle turned the other way",
    ],
)
def test_pixels_are_set_whose_centre_is_covered(ring, expected):
    mask = draw(ring)
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, pixels(*expected.split("/")))


def test_hourglass_is_filled_as_drawn():
    mask = draw([(0, 0), (7, 0), (0, 6), (7, 6)], shape=(6, 7))
    half = [".#####.", "..###..", "...#..."]
    np.testing.assert_array_equal(mask, pixels(*half, *half[::-1]))


def test_holes_stay_holes():
    mask = draw(box(0, 0, 7, 5), box(1, 1, 3, 4), box(4, 2, 6, 3), shape=(5, 7))
    expected = ["#######", "#..####", "#..#..#", "#..####", "#######"]
    np.testing.assert_array_equal(mask, pixels(*expected))


@pytest.mark.parametrize(
    ("ring", "expected"),
    [
        (box(-9, -9, 2, 1), "##../..../..../...."),
        (box(3, 2, 99, 99), "..../..../...#/...#"),
        (box(-1e6, -1e6, 1e6, 1e6), "####/####/####/####"),
        (box(4, 0, 9, 4), "..../..../..../...."),
        (box(-9, 0, 0, 4), "..../..../..../...."),
        (box(0, 50, 4, 60), "..../..../..../...."),
        (box(0, -60, 4, -50), "..../..../..../...."),
        ([(-4, -4), (4, -4), (-4, 4)], "..../..../..../...."),
        ([(-1.1, 5), (5, -1.1), (5, 5)], "...#/..##/.###/####"),
    ],
)
def test_parts_outside_the_image_are_cut(ring, expected):
    np.testing.assert_array_equal(draw(ring), pixels(*expected.split("/")))


@pytest.mark.parametrize("apex", [(7, 12), (7.5, 12.5), (0.5, 0.5), (3.2, 9.9)])
def test_triangles_that_share_edges_tile_the_image(apex):
    rim = [(0, 0), (9, 0), (20, 0), (20, 3), (20, 20), (8, 20), (0, 20), (0, 7)]
    fan = [
        draw([apex, a, b], shape=(20, 20)).astype(int)
        for a, b in zip(rim, rim[1:] + rim[:1], strict=True)
    ]
    np.testing.assert_array_equal(sum(fan), np.ones((20, 20)))


def test_an_edge_through_centres_belongs_to_one_of_its_two_polygons():
    for line in (0.5, 1.5, 2.5):
        both = draw(box(0, 0, line, 4)), draw(box(line, 0, 4, 4))
        assert (both[0] ^ both[1]).all()
        both = draw(box(0, 0, 4, line)), draw(box(0, line, 4, 4))
        assert (both[0] ^ both[1]).all()
    assert (
        draw([(0, 0), (4, 4), (0, 4)]) ^ draw([(0, 0), (4, 0), (4, 4)])
    ).all()


def random_polygon(rng):
    """A star around a point that may lie near the border of 100 x 100."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 10)))
    radii = rng.uniform(4, 20, len(angles))
    spokes = np.column_stack([np.cos(angles), np.sin(angles)])
    return rng.uniform(-5, 105, 2) + radii[:, None] * spokes


def test_random_polygons_cover_exactly_the_centres_inside():
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:100, :100] + 0.5
    for _ in range(60):
        ring = random_polygon(rng)
        inside = shapely.contains_xy(shapely.Polygon(ring), x, y)
        np.testing.assert_array_equal(draw(ring, shape=(100, 100)), inside)


def test_area_is_unbiased():
    rng = np.random.default_rng(2)
    frame = shapely.box(0, 0, 100, 100)
    drawn = exact = 0
    for _ in range(500):
        ring = random_polygon(rng)
        drawn += draw(ring, shape=(100, 100)).sum()
        polygon = shapely.make_valid(shapely.Polygon(ring))
        exact += polygon.intersection(frame).area
    assert drawn == pytest.approx(exact, rel=0.005)


@needs_real_data
def test_area_of_the_real_annotations_is_unbiased():
    frame = shapely.box(0, 0, 256, 256)
    drawn = exact = 0
    for path in (REAL / "buildings" / "annotations").glob("*.txt"):
        for annotation in read_article_text(path).values():
            for instance in annotation.instances:
                drawn += instance.mask((256, 256)).sum()
                polygon = shapely.make_valid(instance.geometry)
                exact += polygon.intersection(frame).area
    assert exact > 1e6
    assert drawn == pytest.approx(exact, rel=0.005)


def sample_of(root, masks, classes=None):
    """A sample of 4 x 6 pixels with these masks, in masks/ or by class."""
    write_sample(root, "A", np.zeros((4, 6, 3), np.uint8), [])
    for k, mask in enumerate(masks):
        place = root / "A" / "masks" / (classes[k] if classes else "")
        write_png(place / f"A_mask_{k}.png", mask)
    return read_sample(root / "A")


def test_instances_are_merged_at_their_own_size(tmp_path):
    first, second = np.zeros((2, 4, 6), bool)
    first[1, 1:4] = second[1:3, 3] = True
    sample = sample_of(tmp_path, [first, second.astype(np.uint8)])
    ids = read_class_ids(sample, ["building"], (4, 6))
    assert ids.dtype == np.uint8
    expected = pixels("......", ".###..", "...#..", "......")
    np.testing.assert_array_equal(ids, expected)


def test_where_classes_overlap_the_later_one_wins(tmp_path):
    road, house = np.zeros((2, 4, 6), bool)
    road[:, 2] = house[1, :] = True
    sample = sample_of(tmp_path, [road, house], ["road", "house"])
    ids = read_class_ids(sample, ["house", "road"], (4, 6))
    np.testing.assert_array_equal(ids[0], [0, 0, 2, 0, 0, 0])
    np.testing.assert_array_equal(ids[1], [1, 1, 2, 1, 1, 1])
    ids = read_class_ids(sample, ["road", "house"], (4, 6))
    np.testing.assert_array_equal(ids[1], [2] * 6)


def test_class_that_an_image_lacks_keeps_its_number(tmp_path):
    sample = sample_of(tmp_path, [np.ones((4, 6), bool)], ["road"])
    ids = read_class_ids(sample, ["house", "road"], (4, 6))
    assert (ids == 2).all()


def test_labelled_image_without_object_is_background(tmp_path):
    ids = read_class_ids(sample_of(tmp_path, []), ["building"], (4, 6))
    assert ids.shape == (4, 6)
    assert not ids.any()


def test_mask_of_another_size_is_refused(tmp_path):
    sample = sample_of(tmp_path, [np.ones((3, 6), bool)])
    with pytest.raises(DataError, match=r"A_mask_0\.png.*6 x 4.*6 x 3"):
        read_class_ids(sample, ["building"], (4, 6))


def test_pixel_covered_by_half_or_more_is_set():
    ids = pixels("##..#.", "###...", ".#..##", "#.....").astype(np.uint8)
    # Shares of the six new pixels: 4/4, 1/4, 1/4 and 2/4, 0, 2/4.
    small = resize_ids(ids, (2, 3))
    assert small.dtype == np.uint8
    np.testing.assert_array_equal(small, [[1, 0, 0], [1, 0, 1]])


def shares(mask, size):
    """The exact share of every new pixel that a mask covers."""
    rows, columns = map(overlaps, mask.shape, size)
    return rows @ mask @ columns.T


def overlaps(old, new):
    """How much of every new pixel along one side lies in every old one."""
    cuts = np.arange(new + 1)[:, None] * old / new
    start = np.arange(old)
    inside = np.minimum(cuts[1:], start + 1) - np.maximum(cuts[:-1], start)
    return inside.clip(0) * new / old


@pytest.mark.parametrize("size", [(15, 15), (7, 11), (3, 29), (29, 30), (1, 1)])
def test_share_is_exact_where_pixels_are_cut(size):
    mask = np.random.default_rng(3).random((30, 30)) < 0.5
    small = resize_ids(mask.astype(np.uint8), size)
    np.testing.assert_array_equal(small, shares(mask, size) >= 0.5 - 1e-9)


def test_exact_halves_are_set_at_any_factor():
    stripes = np.tile(np.array([[1, 0]], np.uint8), (300, 150))
    for size in (150, 100, 50, 30, 10):
        expected = shares(stripes, (size, size)) >= 0.5 - 1e-9
        small = resize_ids(stripes, (size, size))
        np.testing.assert_array_equal(small, expected)


@pytest.mark.parametrize(
    ("block", "winner"),
    [
        ([[1, 1, 2], [1, 2, 0]], 1),
        ([[2, 2, 2], [1, 1, 0]], 2),
        ([[0, 0, 0], [1, 1, 2]], 0),
        ([[1, 1, 1], [2, 2, 2]], 2),
        ([[0, 0, 1], [1, 2, 2]], 2),
        ([[0, 0, 0], [3, 3, 3]], 3),
    ],
)
def test_class_with_the_largest_share_wins_the_later_of_equals(block, winner):
    small = resize_ids(np.array(block, np.uint8), (1, 1))
    np.testing.assert_array_equal(small, [[winner]])


def test_enlarging_takes_the_nearest_pixel_and_invents_no_class():
    ids = np.array([[0, 1], [3, 2]], np.uint8)
    expected = np.kron(ids, np.ones((3, 2)))
    np.testing.assert_array_equal(resize_ids(ids, (6, 4)), expected)
    odd = resize_ids(ids, (5, 7))
    assert odd.dtype == np.uint8
    assert set(odd.ravel()) == {0, 1, 2, 3}
    corners = odd[[0, 0, -1, -1], [0, -1, 0, -1]]
    np.testing.assert_array_equal(corners, [0, 1, 3, 2])


def test_same_size_changes_nothing():
    ids = np.array([[0, 1], [3, 2]], np.uint8)
    np.testing.assert_array_equal(resize_ids(ids, (2, 2)), ids)


def test_components_touch_by_corners_too():
    mask = pixels("##..#", "..#..", ".....", "#...#")
    labels, count = instances(mask)
    assert count == 4
    np.testing.assert_array_equal(labels > 0, mask)
    assert labels[0, 0] == labels[0, 1] == labels[1, 2]
    assert labels[0, 4] != labels[3, 4]
    assert len({labels[1, 2], labels[3, 0], labels[3, 4]}) == 3


def test_no_pixel_no_component():
    labels, count = instances(np.zeros((3, 3), bool))
    assert count == 0
    assert not labels.any()


def test_where_classes_overlap_the_last_object_keeps_its_pixels():
    masks = [
        ("road", np.ones((2, 2), bool), 1, 1),
        ("road", np.ones((1, 3), bool), 1, 0),
        ("roof", np.ones((3, 3), bool), 0, 0),
        ("roof", np.ones((1, 1), bool), 2, 2),
    ]
    last, other, below = without_overlap(masks, (3, 3))
    assert (last[0], other[0], below[0]) == ("road", "road", "roof")
    assert last[1].all()
    assert other[1].all()
    np.testing.assert_array_equal(
        below[1], [[True] * 3, [False] * 3, [True, False, False]]
    )


def test_boundary_is_the_mask_within_a_distance_of_its_contour():
    mask = np.pad(np.ones((5, 5), bool), 1)
    ring = mask.copy()
    ring[2:5, 2:5] = False
    np.testing.assert_array_equal(boundary(mask, 1), ring)
    ring[2:5, 2:5] = [[1, 1, 1], [1, 0, 1], [1, 1, 1]]
    np.testing.assert_array_equal(boundary(mask, 2), ring)
    np.testing.assert_array_equal(boundary(mask, 3), mask)


def test_the_images_border_is_a_contour():
    expected = np.ones((5, 5), bool)
    expected[1:4, 1:4] = False
    np.testing.assert_array_equal(boundary(np.ones((5, 5), bool), 1), expected)


def test_distance_from_the_contour_counts_diagonal_steps():
    mask = np.ones((5, 5), bool)
    mask[0, 0] = False
    assert boundary(np.pad(mask, 3, mode="edge"), 1)[4, 4]
