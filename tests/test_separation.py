"""unet.geometry.separation: objects that touch come apart."""

import json

import cv2
import numpy as np
import pytest
from scipy import ndimage
from shapely.geometry import shape

from conftest import blobs, strips
from unet.geometry.masks import instances
from unet.geometry.polygons import class_outlines, outlines
from unet.geometry.scene_objects import SceneObjects
from unet.geometry.separation import border_distances, separate
from unet.prediction.map_layer import Layer

SHAPE = (60, 90)
HEIGHT = 4


def disc(row, column, radius, shape=SHAPE):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (y - row) ** 2 + (x - column) ** 2 < radius**2


def separated(mask, height=HEIGHT, probability=None, **options):
    if probability is None:
        probability = np.ones(mask.shape)
    return separate(mask, probability, height, **options)


def test_two_discs_that_touch_come_apart_at_their_waist():
    mask = disc(30, 30, 15) | disc(30, 56, 15)
    labels = separated(mask)
    assert labels.dtype == np.int32 and labels.max() == 2
    # Each label is one of the discs but for what both have.
    for number, column in ((1, 30), (2, 56)):
        own = disc(30, column, 15)
        found = labels == number
        assert (own & found).sum() / (own | found).sum() > 0.95


def test_one_disc_stays_one():
    mask = disc(30, 30, 15)
    assert (separated(mask) == mask).all()
    assert separated(mask, height=1).max() == 1


@pytest.mark.parametrize("box", [np.s_[20:30, 5:85], np.s_[10:50, 5:85]])
def test_a_long_roof_stays_one(box):
    mask = np.zeros(SHAPE, bool)
    mask[box] = True
    assert (separated(mask) == mask).all()


def test_doubt_between_two_roofs_parts_them():
    mask = np.zeros(SHAPE, bool)
    mask[10:50, 5:85] = True
    probability = np.ones(SHAPE)
    probability[:, 42:47] = 0.55
    labels = separated(mask, probability=probability)
    assert labels.max() == 2
    assert len(np.unique(labels[30, 5:42])) == 1
    assert labels[30, 20] != labels[30, 70]


def test_distances_are_exact_wherever_the_mask_lies_in_memory():
    mask = blobs(seed=0, smooth=4)
    exact = ndimage.distance_transform_edt(mask) ** 2
    exact = np.sqrt(np.rint(exact)).astype(np.float32)
    before = cv2.ipp.useIPP()
    for start in range(64):
        memory = np.zeros(mask.size + start, bool)
        moved = memory[start:].reshape(mask.shape)
        moved[:] = mask
        np.testing.assert_array_equal(border_distances(moved), exact)
    assert cv2.ipp.useIPP() == before


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("height", [0.5, 2, 6])
def test_the_labels_cover_the_mask_and_each_is_one_piece(seed, height):
    mask = blobs(seed, 4, (150, 140), 0.6)
    probability = 0.5 + np.random.default_rng(seed).random(mask.shape) / 2
    labels = separated(mask, height, probability)
    assert ((labels > 0) == mask).all()
    assert np.unique(labels[mask]).tolist() == list(range(1, labels.max() + 1))
    pieces = [instances(labels == k)[1] for k in range(1, labels.max() + 1)]
    assert set(pieces) == {1}
    assert (separated(mask, height, probability) == labels).all()


def test_no_height_and_a_large_one_give_the_components():
    mask = blobs(3, 4, (150, 140), 0.6)
    components, count = instances(mask)
    assert (separated(mask, None) == components).all()
    assert (separated(mask, 1000) == components).all()
    # But what is nowhere so high is no object.
    assert separated(mask, 1000, weak=False).max() == 0 < count
    assert outlines(mask, probability=mask * 1.0, height=1000) == []


def test_thin_and_unsure_regions_are_weak():
    mask = disc(30, 20, 12)
    mask[10:12, 40:80] = True  # thin
    unsure = disc(40, 60, 12)
    probability = np.where(unsure, 0.3, 1)
    labels = separated(mask | unsure, HEIGHT, probability, weak=False)
    assert ((labels > 0) == disc(30, 20, 12)).all()


def test_each_component_is_separated_by_itself():
    mask = disc(30, 30, 15) | disc(30, 56, 15)
    alone = separated(mask)
    beside = separated(mask | disc(7, 7, 6))
    beside[disc(7, 7, 6)] = 0
    _, beside = np.unique(beside, return_inverse=True)
    assert (beside.reshape(SHAPE) == alone).all()


def test_an_image_that_is_all_object_is_one():
    assert (separated(np.ones((20, 30), bool)) == 1).all()


def test_what_the_border_cuts_goes_on_there():
    """Half a roof has its top at the border, not half-way to it."""
    mask = disc(30, 0, 12) | disc(30, 20, 12)
    assert separated(mask).max() == 2


@pytest.mark.parametrize("height", [1, 13, 64, 150])
def test_a_scene_has_the_objects_of_the_whole_image(height):
    mask = blobs(1, 5, (150, 140), 0.6)
    probability = 0.5 + np.random.default_rng(1).random(mask.shape) / 2
    numbers = np.arange(mask.size).reshape(mask.shape)
    labels = separated(mask, 2, probability, weak=False)
    objects, found = SceneObjects(mask.shape, 2), np.zeros_like(labels)
    parts = []
    for top in range(0, len(mask), height):
        rows = slice(top, top + height)
        parts += objects.add(mask[rows], probability[rows], top, numbers[rows])
    parts += objects.close()
    assert len(parts) == labels.max() > instances(mask)[1]
    for number, part in enumerate(parts, start=1):
        y, x = np.nonzero(part.mask)
        y, x = y + part.top, x + part.left
        found[y, x] = number
        assert (part.values == numbers[y, x]).all()
        assert part.pixels == len(y)
        mean = probability[y, x].mean()
        assert part.probability == pytest.approx(mean, abs=0.002)
    pairs = np.unique(np.stack([labels, found]).reshape(2, -1), axis=1)
    assert pairs.shape[1] == labels.max() + 1  # each is the same in both


def test_a_map_layer_has_the_polygons_of_the_annotations(tmp_path):
    ids = blobs(2, 5, (150, 90)).astype(np.uint8)
    probability = 0.5 + np.random.default_rng(0).random((*ids.shape, 1)) / 2
    texts = set()
    for height in (1, 64, 150):
        path = tmp_path / f"{height}.geojson"
        with Layer(path, ids.shape, ["roof"], heights=[2]) as layer:
            for strip in strips(height, ids, probability):
                layer.add(strip)
        texts.add(path.read_text())
    assert len(texts) == 1
    features = json.loads(path.read_text())["features"]
    drawn = {shape(f["geometry"]).normalize().wkt for f in features}
    found = class_outlines(
        ids, ["roof"], probability.astype(np.float32), heights=[2]
    )
    assert len(found) == len(features) > instances(ids > 0)[1]
    assert drawn == {one.geometry.normalize().wkt for one in found}
