"""A second output that draws the seams between objects that touch."""

import numpy as np
import pytest

from conftest import blobs, make_tree, small_network
from test_dataset import must_not_read, no_progress
from unet.files.folders import find_samples
from unet.geometry.masks import instances
from unet.geometry.scene_objects import SceneObjects
from unet.geometry.seams import seams
from unet.geometry.separation import separate
from unet.imagery.mask_values import read_truth
from unet.network import losses
from unet.network.backend import keras
from unet.network.contract import Contract
from unet.network.model import SEAM_CHANNELS, build_unet, for_training, save
from unet.prediction.stream import Source, predict
from unet.prediction.strip import Settings
from unet.prediction.windows import Tiling
from unet.training import callbacks, dataset, fitting
from unet.training.augmentation import LEVELS, Augmentation
from unet.training.batches import Batches

CLASSES = ["building"]


def two_roofs(gap=0):
    """Two objects of 10 x 10 pixels, side by side."""
    ids = np.zeros((20, 40), np.uint16)
    ids[5:15, 5:15] = 7
    ids[5:15, 15 + gap : 25 + gap] = 8
    return ids


def test_where_two_objects_touch_there_is_a_seam():
    seam, border = np.moveaxis(seams(two_roofs()), 2, 0)
    expected = np.zeros((20, 40), np.uint8)
    expected[3:17, 13:17] = 1  # within 2 pixels of both
    assert (seam == expected).all()
    assert border[5:15, 14:16].all() and border[5, 5:25].all()
    assert not border[6:14, 6:14].any()
    assert not border[two_roofs() == 0].any()


@pytest.mark.parametrize("gap, drawn", [(3, True), (4, False)])
def test_a_narrow_gap_is_a_seam_and_a_wide_one_is_none(gap, drawn):
    seam = seams(two_roofs(gap))[..., 0]
    assert seam.any() == drawn
    assert not seam[:, 5:12].any()


def test_an_object_alone_has_a_border_and_no_seam():
    ids = two_roofs()
    ids[ids == 8] = 0
    seam, border = np.moveaxis(seams(ids), 2, 0)
    assert not seam.any()
    assert border.sum() == 36


@pytest.mark.parametrize("side, width", [(255, 1), (256, 2), (384, 3)])
def test_borders_are_wider_in_larger_images(side, width):
    ids, ignored = np.zeros((2, side, side + 40), np.uint16)
    ids[20:60, 20:70] = 1
    ignored[:, 200:] = 1
    drawn = seams(ids, ignored > 0)
    inner = 50 - 2 * width
    assert (drawn[..., 1] == 1).sum() == 40 * 50 - (inner - 10) * inner
    assert (drawn[0, :, 1] == 255).sum() == side - 160 + max(2, width)


@pytest.mark.parametrize("level", LEVELS)
def test_objects_are_moved_as_their_classes_are(level):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (6, 48, 48, 3)).astype(np.uint8)
    own = np.stack([instances(blobs(k, 2, (48, 48)))[0] for k in range(6)])
    own = own.astype(np.uint16)
    Y = np.stack([own > 0, own], axis=-1).astype(np.uint16)
    for seed in range(4):
        augment = Augmentation(level)
        image, new = augment(X, Y, np.random.default_rng(seed))
        alone, _ = augment(X, Y[..., 0], np.random.default_rng(seed))
        assert (image == alone).all()
        assert (new[..., 0] == (new[..., 1] > 0)).all()
        assert set(np.unique(new[..., 1])) <= set(np.unique(own))


def test_the_cache_holds_the_objects_of_the_masks(tmp_path):
    samples = find_samples(make_tree(tmp_path / "tree", 3))
    how = samples, (32, 32), CLASSES
    plain = dataset.load(*how, no_progress)
    data = dataset.load(*how, no_progress, objects=True)
    again = dataset.load(*how, must_not_read, objects=True)
    assert plain.instances is None
    assert data.instances.dtype == np.uint16
    for row, sample in enumerate(samples):
        truth = read_truth(sample, CLASSES, (32, 32))
        assert (data.instances[row] == truth.instances).all()
    assert (again.instances == data.instances).all()
    assert again.digest == data.digest != plain.digest


def test_batches_have_seams_beside_the_mask(tmp_path):
    samples = find_samples(make_tree(tmp_path / "tree", 4))
    data = dataset.load(samples, (32, 32), CLASSES, no_progress, objects=True)
    arrays = data.X, data.Y, np.arange(4), 2
    plain = Batches(*arrays, seed=1, augment=Augmentation("flips"))
    both = Batches(*arrays, 1, Augmentation("flips"), instances=data.instances)
    x, y = plain[1]
    same, (ids, drawn) = both[1]
    assert (x == same).all() and (y == ids).all()
    assert y.dtype == ids.dtype
    assert drawn.shape == (2, 32, 32, SEAM_CHANNELS)
    assert drawn[..., 1][ids[..., 0] == 0].sum() == 0


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("classes", [["mask"], ["road mask_"], ["a", "b"]])
def test_the_log_calls_scores_the_same_with_one_output_and_two(
    objects, classes
):
    network = build_unet((32, 32), classes, filters=2, depth=2, objects=objects)
    network.compile(
        loss=losses.loss("bce", classes, None, objects),
        metrics=fitting.metrics(classes, objects),
    )
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    own = rng.integers(0, 3, (2, 32, 32)).astype(np.uint16)
    Y = np.minimum(own, len(classes)).astype(np.uint8)
    batches = Batches(X, Y, [0, 1], 2, instances=own if objects else None)
    log = network.fit(
        batches,
        validation_data=batches,
        callbacks=[callbacks.PlainNames()],
        verbose=0,
    )
    scores = {"mean_iou", fitting.metric_name(classes)}
    scores |= {f"val_{name}" for name in scores}
    assert {name for name in log.history if name.endswith("_iou")} == scores


def test_the_first_output_is_the_articles_network():
    network = build_unet(objects=True)
    plain = build_unet()
    first = keras.Model(network.input, network.outputs[0])
    weights = [w.shape for w in first.trainable_weights]
    assert weights == [w.shape for w in plain.trainable_weights]
    own_block = 2 * (3 * 3 * 16 + 1) * 16
    own_weights = own_block + 17 * SEAM_CHANNELS
    assert network.count_params() == 1_941_105 + own_weights
    assert [o.shape[-1] for o in network.outputs] == [1, SEAM_CHANNELS]


@pytest.mark.parametrize("mixed", [False, True])
def test_two_outputs_open_in_plain_keras(tmp_path, mixed):
    network = build_unet((32, 32), filters=2, depth=2, objects=True)
    trained = for_training(network, fading=True, mixed_precision=mixed)
    assert [o.dtype for o in trained.outputs] == ["float32", "float32"]
    save(trained, tmp_path / "m.keras", Contract(CLASSES, [32, 32]))
    opened = keras.models.load_model(tmp_path / "m.keras", compile=False)
    x = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3))
    for a, b in zip(opened(x), network(x), strict=True):
        assert np.allclose(a, b, atol=1e-6)


def test_a_seam_that_is_missed_costs_more_than_one_that_is_found():
    truth = np.zeros((1, 8, 8, 2), np.uint8)
    truth[0, :, 4] = 1
    found, missed = np.where(truth, 0.9, 0.1), np.full(truth.shape, 0.1)
    costs = [
        float(losses.seam_loss(truth, probability.astype(np.float32)))
        for probability in (found, missed)
    ]
    assert 2 * costs[0] < costs[1]


def test_an_edge_parts_what_has_no_waist():
    mask, edge = np.zeros((60, 90), bool), np.zeros((60, 90))
    mask[10:50, 5:85] = True
    edge[:, 43:47] = 0.9
    sure = np.ones(mask.shape)
    assert separate(mask, sure, 4).max() == 1
    labels = separate(mask, sure, 4, edge=edge)
    assert labels.max() == 2
    assert ((labels > 0) == mask).all()
    assert len(np.unique(labels[10:50, 5:43])) == 1
    assert len(np.unique(labels[10:50, 47:85])) == 1
    # They meet where the border is most probable.
    edge[:, 44] = 1
    labels = separate(mask, sure, 4, edge=edge)
    assert len(np.unique(labels[10:50, 5:44])) == 1
    assert len(np.unique(labels[10:50, 45:85])) == 1
    # A border that is no more likely than not cuts nothing.
    assert separate(mask, sure, 4, edge=edge / 2).max() == 1


@pytest.mark.parametrize("height", [1, 13, 150])
def test_edges_part_a_scene_as_they_part_the_whole_image(height):
    mask = blobs(1, 5, (150, 140), 0.6)
    rng = np.random.default_rng(1)
    probability = 0.5 + rng.random(mask.shape) / 2
    edge = np.where(np.arange(140) % 20 < 3, rng.random(mask.shape), 0)
    labels = separate(mask, probability, 2, weak=False, edge=edge)
    assert labels.max() > separate(mask, probability, 2, weak=False).max()
    objects, parts = SceneObjects(mask.shape, 2), []
    for top in range(0, len(mask), height):
        rows = slice(top, top + height)
        part = mask[rows], probability[rows], top, None, edge[rows]
        parts += objects.add(*part)
    parts += objects.close()
    found = np.zeros_like(labels)
    for number, part in enumerate(parts, start=1):
        y, x = np.nonzero(part.mask)
        found[y + part.top, x + part.left] = number
    pairs = np.unique(np.stack([labels, found]).reshape(2, -1), axis=1)
    assert pairs.shape[1] == labels.max() + 1 == len(parts) + 1


def test_windows_see_the_edges_that_the_network_sees_at_once(tmp_path):
    (sample,) = find_samples(make_tree(tmp_path / "tree", 1, size=64))
    network = build_unet((32, 32), filters=2, depth=2, objects=True)
    size = network.input_shape[1:3]
    ((_, photo),) = predict(network, [Source(sample)], Settings())
    assert photo.edge.shape == photo.ids.shape == (64, 64)
    tiling = Tiling((64, 64), (1, 1), size, 0.5)
    scene = Source(sample, tiling, (64, 64))
    found = list(predict(network, [scene], Settings()))
    assert all(strip.probability.shape[-1] == 1 for _, strip in found)
    edge = np.concatenate([strip.edge for _, strip in found])
    assert edge.shape == (64, 64)
    assert edge.min() > 0 and edge.max() < 1
    plain = small_network()
    ((_, strip),) = predict(plain, [Source(sample)], Settings())
    assert strip.edge is None
