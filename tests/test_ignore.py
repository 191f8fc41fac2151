"""Pixels that nobody labelled count nowhere."""

import json

import numpy as np
import pytest
import rasterio
import shapely
from PIL import Image
from pycocotools import mask as rle
from rasterio.transform import from_origin

from conftest import (
    REAL,
    assert_refused,
    make_tree,
    needs_real_data,
    run_script,
    write_sample,
)
from unet.annotations.colours import parse_colours
from unet.annotations.drawing import ClassChoice, choose_classes, draw_folders
from unet.annotations.formats import WRITERS
from unet.annotations.pairing import pair
from unet.annotations.rules import Rules
from unet.annotations.writing import AnnotatedImage
from unet.files.errors import DataError
from unet.files.folders import (
    UNKNOWN,
    check_classes,
    class_names,
    find_samples,
)
from unet.geometry.instances import Instance
from unet.geometry.masks import boundary, resize_ids
from unet.geometry.seams import seams
from unet.imagery.mask_values import (
    Truth,
    read_truth,
    read_values,
    write_ignored,
)
from unet.imagery.png import write_png
from unet.imagery.rasters import no_data
from unet.inspection.listing import raw_items, tree_items
from unet.inspection.mending import mend
from unet.inspection.whole_set import check
from unet.pictures import overlay
from unet.prediction.strip import Strip
from unet.prediction.truth import open_truth
from unet.scoring.calibration import Reliability
from unet.scoring.heights import HeightChoice
from unet.scoring.objects import Objects
from unet.scoring.scores import Scores
from unet.training import dataset
from unet.training.augmentation import Augmentation

SHAPE = (6, 8)
LEFT = np.s_[:, :4]


def no_bar(iterable, total, title):
    return iterable


def box(rows, columns, shape=SHAPE):
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return mask


# The right half; an object reaches into it.
IGNORED = box(np.s_[:], np.s_[4:])
ROOF = box(np.s_[1:4], np.s_[2:6])
ROAD = box(np.s_[5:], np.s_[:])


def ids_of(*masks):
    """Class ids of masks in their order; what is ignored wins."""
    ids = np.zeros(SHAPE, np.uint8)
    for number, mask in enumerate(masks, start=1):
        ids[mask] = number
    ids[IGNORED] = UNKNOWN
    return ids


def tree(root, name="a", ignored=IGNORED, **classes):
    """A sample; its masks lie in masks/, or in a folder of their class."""
    image = np.full((*SHAPE, 3), 90, np.uint8)
    write_sample(root, name, image, [] if classes else [ROOF])
    for label, mask in classes.items():
        write_png(root / name / "masks" / label / f"{name}_mask_1.png", mask)
    write_ignored(root / name, ignored)
    return root


# The tree


@pytest.mark.parametrize("folder", ["ignore", "Ignore", "IGNORE"])
def test_the_folder_is_no_class(tmp_path, folder):
    tree(tmp_path, ignored=IGNORED & False)
    path = tmp_path / "a" / "masks" / folder / "any name.png"
    write_png(path, IGNORED)
    (sample,) = find_samples(tmp_path)
    assert list(sample.masks) == ["building"]
    assert sample.ignored == (path,)
    assert class_names([sample]) == ["building"]
    truth = read_truth(sample, ["building"], SHAPE)
    np.testing.assert_array_equal(truth.ids, ids_of(ROOF))
    np.testing.assert_array_equal(truth.instances, ROOF & ~IGNORED)


def test_it_lies_beside_the_folders_of_classes(tmp_path):
    tree(tmp_path, road=ROAD, roof=ROOF)
    (tmp_path / "classes.txt").write_text("roof\nignore\nroad\n")
    (sample,) = find_samples(tmp_path)
    assert class_names([sample]) == ["roof", "road"]
    ids = read_truth(sample, ["roof", "road"], SHAPE).ids
    np.testing.assert_array_equal(ids, ids_of(ROOF, ROAD))


def test_an_image_may_be_labelled_by_it_alone(tmp_path):
    write_sample(tmp_path, "a", np.zeros((*SHAPE, 3), np.uint8), [])
    write_ignored(tmp_path / "a", IGNORED)
    (sample,) = find_samples(tmp_path)
    assert sample.masks == {}
    ids = read_truth(sample, ["building"], SHAPE).ids
    np.testing.assert_array_equal(ids, ids_of())


def test_nothing_ignored_is_no_file(tmp_path):
    write_ignored(tmp_path / "a", IGNORED & False)
    assert not list(tmp_path.iterdir())


def test_a_class_that_only_the_test_has_is_told(tmp_path):
    samples = find_samples(tree(tmp_path, roof=ROOF, road=ROAD))
    check_classes(samples, ["road", "roof"])
    with pytest.raises(DataError, match=r"masks/road: .*\(roof\), found road"):
        check_classes(samples, ["roof"])


# Arrays


def test_resizing_treats_it_as_a_last_class():
    ids = np.array([[0, 255, 1, 1], [255, 255, 255, 255]], np.uint8)
    small = resize_ids(ids, (1, 2))
    np.testing.assert_array_equal(small, [[255, 255]])
    np.testing.assert_array_equal(resize_ids(ids, (4, 4))[:2, 0], [0, 0])
    ids[1, 2] = 1
    np.testing.assert_array_equal(resize_ids(ids, (1, 2)), [[255, 1]])


def load(root, **options):
    samples = find_samples(root)
    return dataset.load(samples, SHAPE, ["building"], no_bar, **options)


def test_arrays_hold_it_and_shares_do_not_count_it(tmp_path):
    root = tree(tmp_path / "tree")
    everything = IGNORED | True
    tree(root, "b", ignored=everything)
    data = load(root)
    np.testing.assert_array_equal(data.Y[0], ids_of(ROOF))
    assert (data.Y[1] == UNKNOWN).all()
    labelled, roof = 24, 6
    assert data.class_shares().tolist() == [1 - roof / labelled, 0.25]
    assert data.traits()[:, 0].tolist() == [0.25, 0]
    assert data.has_object().tolist() == [True, False]
    assert data.ignored_share() == (24 + 48) / 96


def test_the_cache_sees_a_change_of_it(tmp_path):
    root = tree(tmp_path / "tree", ignored=IGNORED & False)
    assert load(root).ignored_share() == 0
    write_ignored(root / "a", IGNORED)
    assert load(root).ignored_share() == 0.5
    mask = root / "a" / "masks" / "a_mask_1.png"
    mask.rename(root / "a" / "masks" / "ignore" / mask.name)
    data = load(root)
    assert data.ignored_share() == np.mean(IGNORED | ROOF)
    with pytest.raises(DataError, match="a: the masks of all 1 images are bla"):
        data.class_shares()


def test_images_ignored_everywhere_are_told(tmp_path):
    data = load(tree(tmp_path / "tree", ignored=IGNORED | True))
    with pytest.raises(DataError, match="images ignore every pixel"):
        data.class_shares()


def test_what_is_drawn_under_it_changes_nothing(tmp_path):
    """Equal arrays: equal weights."""
    one = load(tree(tmp_path / "one"), objects=True)
    root = tree(tmp_path / "other")
    changed = ROOF ^ box(np.s_[::2], np.s_[4:])
    write_png(root / "a" / "masks" / "a_mask_1.png", changed)
    other = load(root, objects=True)
    assert (changed != ROOF).any()
    assert one.digest == other.digest
    np.testing.assert_array_equal(one.instances, other.instances)


@pytest.mark.parametrize("level", ["flips", "geometry", "wide"])
def test_augmentation_moves_it_as_it_moves_masks(level):
    X = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), np.uint8)
    mask = box(np.s_[3:20], np.s_[5:14], (32, 32))
    Y = np.repeat(mask[None], 5, axis=0).astype(np.uint8)
    augment = Augmentation(level)
    _, moved = augment(X, Y, np.random.default_rng(1))
    _, ignored = augment(X, Y * np.uint8(255), np.random.default_rng(1))
    np.testing.assert_array_equal(ignored, moved * 255)


# Losses and metrics: the left half alone must give the same.


def batch(channels):
    rng = np.random.default_rng(3)
    probability = rng.uniform(0.05, 0.95, (2, *SHAPE, channels))
    probability = probability.astype(np.float32)
    if channels > 1:
        probability /= probability.sum(axis=-1, keepdims=True)
    truth = rng.integers(0, max(channels, 2), (2, *SHAPE, 1)).astype(np.uint8)
    return truth, probability


def left(array):
    return array[:, :, :4]


@pytest.mark.parametrize("classes", [["roof"], ["road", "roof"]])
@pytest.mark.parametrize(
    ("name", "weighted"),
    [
        *[(name, False) for name in ("bce", "bce+dice", "focal", "tversky")],
        *[(name, True) for name in ("bce", "bce+dice", "focal")],
    ],
)
def test_losses_and_gradients_know_the_labelled_pixels_alone(
    name, classes, weighted
):
    import tensorflow as tf

    from unet.network.backend import keras
    from unet.network.losses import loss

    weights = [0.5, 3, 2][: len(classes) + 1] if weighted else None
    truth, probability = batch(1 if len(classes) == 1 else 3)
    plain = keras.losses.get(loss(name, classes, weights))
    ignoring = loss(name, classes, weights, ignoring=True)

    def value_and_gradient(function, truth, probability):
        given = tf.constant(probability)
        with tf.GradientTape() as tape:
            tape.watch(given)
            value = tf.reduce_mean(function(np.float32(truth), given))
        return float(value), tape.gradient(value, given).numpy()

    value, gradient = value_and_gradient(plain, left(truth), left(probability))
    truth[:, :, 4:] = UNKNOWN
    again, whole = value_and_gradient(ignoring, truth, probability)
    assert again == pytest.approx(value, rel=1e-5)
    np.testing.assert_allclose(left(whole), gradient, rtol=1e-4, atol=1e-8)
    assert not whole[:, :, 4:].any()
    none = np.full_like(truth, UNKNOWN)
    value, gradient = value_and_gradient(ignoring, none, probability)
    assert np.isfinite(value)
    assert not gradient.any()


def test_the_loss_of_seams_knows_the_labelled_pixels_alone():
    from unet.network.losses import loss, seam_loss
    from unet.network.model import SEAMS

    truth, probability = batch(2)
    truth = np.repeat(truth, 2, axis=-1)
    expected = float(seam_loss(left(truth), left(probability)))
    truth[:, :, 4:] = UNKNOWN
    found = loss("bce", ["roof"], None, True, ignoring=True)[SEAMS]
    assert float(found(truth, probability)) == pytest.approx(expected, rel=1e-5)


def test_seams_are_unknown_where_they_could_be_of_what_is_ignored():
    instances = np.array([[0, 1, 1, 1, 1, 2, 2, 2, 2, 2]], np.uint16)
    ignored = box(np.s_[:], np.s_[:1], instances.shape)
    seam, border = np.moveaxis(seams(instances, ignored), 2, 0)
    assert seam.tolist() == [[255, 255, 255, 1, 1, 1, 1, 0, 0, 0]]
    assert border.tolist() == [[255, 255, 255, 0, 1, 1, 0, 0, 0, 0]]


@pytest.mark.parametrize("classes", [["roof"], ["road", "roof"]])
def test_metrics_know_the_labelled_pixels_alone(classes):
    from unet.training import fitting

    truth, probability = batch(1 if len(classes) == 1 else 3)
    pairs = [
        (left(truth), left(probability)),
        (np.where(np.arange(8)[:, None] < 4, truth, UNKNOWN), probability),
    ]
    values = []
    for pair_of_batch in pairs:
        metrics = fitting.metrics(classes)
        for metric in metrics:
            metric.update_state(*pair_of_batch)
        values.append([float(metric.result()) for metric in metrics])
    assert values[0] == pytest.approx(values[1])


# Scores


def test_a_boundary_has_no_contour_along_what_is_unknown():
    mask = box(np.s_[:], np.s_[2:4])
    frame = boundary(mask, 1)
    assert frame.sum() == 12
    rim = boundary(mask, 1, IGNORED)
    expected = mask & ~box(np.s_[1:5], np.s_[3:4])
    np.testing.assert_array_equal(rim, expected)


def scored(truth, predicted, objects=None):
    scores = Scores(["building"])
    probability = np.where(predicted == 1, 0.8, 0.3)[..., None]
    known = Objects(true=objects)
    scores.add("a", truth, predicted, probability, known)
    return scores.summary()


def test_scores_do_not_move_with_what_is_predicted_there():
    truth = ids_of(ROOF)
    predicted = box(np.s_[1:4], np.s_[1:5]).astype(np.uint8)
    summary = scored(truth, predicted)
    score = summary["classes"]["building"]
    assert score["pixels"] == {"tp": 6, "fp": 3, "fn": 0, "tn": 15}
    # 6 of 9 pixels match, and its pixel in ignored ground counts nowhere.
    assert score["object_f1"] == score["object_f1_components"] == 1
    entropy = -(6 * np.log(0.8) + 3 * np.log(0.2) + 15 * np.log(0.7)) / 24
    assert summary["cross_entropy"] == pytest.approx(entropy)
    for columns in (np.s_[4:], np.s_[4:6], np.s_[7:]):
        changed = predicted.copy()
        changed[1:4, columns] ^= 1
        assert scored(truth, changed) == summary


@pytest.mark.parametrize(
    ("columns", "predicted"),
    [(np.s_[2:5], 1), (np.s_[2:6], 0), (np.s_[5:7], 0)],
)
def test_an_object_mostly_there_is_neither_right_nor_wrong(columns, predicted):
    """With half of its pixels there it is none, as a crowd's in COCO."""
    found = box(np.s_[1:4], columns).astype(np.uint8)
    score = scored(ids_of(), found)["classes"]["building"]
    assert score["objects"] == {"true": 0, "predicted": predicted}
    assert score["object_f1"] == (0 if predicted else None)


def test_calibration_and_heights_leave_it_out():
    truth = ids_of(ROOF)
    probability = np.linspace(0, 1, 48).reshape(*SHAPE, 1).astype(np.float32)
    whole, half = Reliability(["roof"]), Reliability(["roof"])
    whole.add(truth, probability)
    half.add(truth[LEFT], probability[LEFT])
    np.testing.assert_array_equal(whole.counts, half.counts)
    choice = HeightChoice(["roof"], ["roof"])
    found = (ROOF | box(np.s_[5:], np.s_[6:])).astype(np.uint8)
    strip = Strip(0, None, found, found[..., None] * 0.9, None)
    choice.add(Truth(truth, (ROOF & ~IGNORED).astype(np.int32)), strip, 1)
    assert choice.counts["roof"][0].tolist() == [1, 1, 1]


# Pictures


def test_pictures_hatch_it_and_nothing_else():
    image = np.full((80, 80, 3), 90, np.uint8)
    ids = np.zeros((80, 80), np.uint8)
    plain = overlay.overlay(image, ids), overlay.errors(image, ids, ids)
    ids[:, 40:] = UNKNOWN
    pictures = [
        *zip(
            plain,
            (
                overlay.overlay(image, ids),
                overlay.errors(image, ids, np.ones_like(ids)),
            ),
            strict=True,
        ),
        (np.zeros_like(image), overlay.in_colour(ids)),
    ]
    for before, after in pictures:
        stripes = (after[:, 40:] == overlay.STRIPE).all(axis=-1)
        assert stripes.mean() == 0.5
        rest = after[:, 40:][~stripes]
        assert (rest == before[:, 40:][~stripes]).all()


# Formats


def convert(tmp_path, images, annotations, colours=None, choice=None):
    """The truth of image "a", its classes, and ``DrawnImage``."""
    rules = Rules(colours=colours and parse_colours(colours))
    pairs, problems = pair(images, [annotations], None, rules)
    assert not problems
    known = [one.annotation for one in pairs]
    chosen = choose_classes(known, choice or ClassChoice())
    drawn = list(draw_folders(tmp_path / "out", pairs, chosen.classes, rules))
    (sample,) = find_samples(tmp_path / "out")
    # The masks of a single class lie directly in masks/.
    classes = chosen.classes if chosen.classes[1:] else ["building"]
    assert set(class_names([sample])) == set(classes)
    return read_truth(sample, classes, SHAPE).ids, chosen, drawn[0]


@pytest.fixture
def images(tmp_path):
    write_png(tmp_path / "images" / "a.png", np.zeros((*SHAPE, 3), np.uint8))
    return tmp_path / "images"


def test_a_colour_of_complete_masks(tmp_path, images):
    picture = np.zeros((*SHAPE, 3), np.uint8)
    picture[ROOF], picture[ROAD], picture[IGNORED] = 60, 200, 155
    write_png(tmp_path / "masks" / "a.png", picture)
    colours = "3C3C3C=roof,C8C8C8=road,9B9B9B=Ignore"
    ids, chosen, drawn = convert(tmp_path, images, tmp_path / "masks", colours)
    assert chosen.classes == ["road", "roof"]
    assert chosen.ignored == 1
    assert (drawn.count, drawn.ignored, drawn.pixels) == (2, 24, 48)
    np.testing.assert_array_equal(ids, ids_of(ROAD, ROOF))


def test_void_of_pascal_voc(tmp_path, images):
    picture = Image.fromarray(np.where(IGNORED, 255, ROOF).astype(np.uint8))
    palette = np.zeros((256, 3), np.uint8)
    palette[1], palette[255] = (128, 0, 0), (224, 224, 192)
    picture.putpalette(palette.ravel().tolist())
    (tmp_path / "masks").mkdir()
    picture.save(tmp_path / "masks" / "a.png")
    ids, chosen, _ = convert(tmp_path, images, tmp_path / "masks")
    assert chosen.classes == ["#800000"]
    np.testing.assert_array_equal(ids, ids_of(ROOF))
    masks = tmp_path / "out" / "a" / "masks"
    assert (masks / "ignore" / "a_ignore.png").exists()
    assert (masks / "a_mask_1.png").exists()


def ring(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def labelme(*shapes):
    return {
        "imagePath": "a.png", "imageHeight": 6, "imageWidth": 8,
        "shapes": [
            {"label": label, "points": points, "shape_type": "polygon"}
            for label, points in shapes
        ],
    }  # fmt: skip


def test_ignore_of_labelme_and_what_is_drawn_later_wins(tmp_path, images):
    path = tmp_path / "a.json"
    late = ring(6, 0, 8, 6)
    shapes = [("__ignore__", ring(4, 0, 8, 6)), ("roof", late)]
    path.write_text(json.dumps(labelme(*shapes)))
    ids, chosen, _ = convert(tmp_path, images, path)
    expected = ids_of()
    expected[:, 6:] = 1
    np.testing.assert_array_equal(ids, expected)
    assert chosen.counts == {"roof": 1}


def test_a_class_may_be_renamed_to_it(tmp_path, images):
    path = tmp_path / "a.json"
    shapes = [("roof", ring(2, 1, 6, 4)), ("unsure", ring(4, 0, 8, 6))]
    path.write_text(json.dumps(labelme(*shapes)))
    choice = ClassChoice(wanted=("roof",), renamed={"unsure": "ignore"})
    ids, chosen, _ = convert(tmp_path, images, path, choice=choice)
    np.testing.assert_array_equal(ids, ids_of(ROOF))
    assert not chosen.left_out


def test_a_crowd_of_coco_lies_under_the_objects(tmp_path, images):
    packed = rle.encode(np.asfortranarray(IGNORED, np.uint8))
    crowd = {"size": list(SHAPE), "counts": packed["counts"].decode()}
    one = {"image_id": 1, "category_id": 1}
    flat = np.ravel(ring(2, 1, 6, 4)).tolist()
    data = {
        "images": [
            {"id": 1, "file_name": "a.png", "height": 6, "width": 8},
        ],
        "categories": [{"id": 1, "name": "roof"}],
        "annotations": [
            {**one, "id": 1, "segmentation": [flat], "iscrowd": 0},
            {**one, "id": 2, "segmentation": crowd, "iscrowd": 1},
        ],
    }
    path = tmp_path / "all.json"
    path.write_text(json.dumps(data))
    ids, _, drawn = convert(tmp_path, images, path)
    expected = ids_of()
    expected[ROOF] = 1
    np.testing.assert_array_equal(ids, expected)
    assert dict(drawn.repairs) == {
        "crowd ignored, as nobody counted its objects": 1
    }


@pytest.mark.parametrize(
    "name",
    ["labelme", "coco", "geojson", "via", "yolo", "cvat", "label-studio"],
)
def test_what_is_ignored_can_be_written_and_read_again(tmp_path, images, name):
    writer = WRITERS[name](tmp_path / "new", ["ignore", "roof"])
    instances = [Instance(shapely.box(4, 0, 8, 6), "ignore")]
    writer.add(AnnotatedImage("a", images / "a.png", SHAPE, instances))
    writer.close()
    ids, chosen, _ = convert(tmp_path, images, tmp_path / "new")
    np.testing.assert_array_equal(ids, ids_of())
    assert not chosen.classes


def write_raster(path, bands, **options):
    path.parent.mkdir(exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", count=len(bands), height=6, width=8,
        dtype="uint8", crs="EPSG:3857", transform=from_origin(0, 0, 1, 1),
        **options,
    ) as raster:  # fmt: skip
        raster.write(bands)
    return path


def test_no_data_of_a_raster(tmp_path):
    bands = np.full((3, *SHAPE), 90, np.uint8)
    bands[:, IGNORED] = 7
    image = write_raster(tmp_path / "images" / "a.tif", bands, nodata=7)
    np.testing.assert_array_equal(no_data(image, SHAPE), IGNORED)
    path = tmp_path / "a.json"
    data = labelme(("roof", ring(2, 1, 6, 4)))
    path.write_text(json.dumps({**data, "imagePath": "a.tif"}))
    ids, chosen, _ = convert(tmp_path, image.parent, path)
    np.testing.assert_array_equal(ids, ids_of(ROOF))
    assert chosen.ignored == 0
    items, _ = raw_items(image.parent, [path])
    (exam,), _ = check(tmp_path, items, 0, no_bar)
    assert exam.ignored == 24
    assert exam.covers == {"roof": 6}


def test_no_data_of_a_complete_mask(tmp_path, images):
    mask = np.where(IGNORED, 200, ROOF * 255).astype(np.uint8)
    path = tmp_path / "masks" / "a.tif"
    write_raster(path, mask[None], nodata=200)
    ids, _, _ = convert(tmp_path, images, path)
    np.testing.assert_array_equal(ids, ids_of(ROOF))
    # Many masks call their background so.
    write_raster(path, np.where(ROOF, 255, 0)[None].astype("u1"), nodata=0)
    assert not no_data(path, SHAPE, is_mask=True).any()


# Truth of a scene


@pytest.fixture
def scene(tmp_path):
    bands = np.full((3, *SHAPE), 90, np.uint8)
    return write_raster(tmp_path / "scene.tif", bands)


def truth_of(path, scene, classes=("roof",), rules=None):
    truth = open_truth(path, scene, classes, rules or Rules())
    ids, _ = truth.rows(0, SHAPE[0])
    truth.close()
    return ids


def test_truth_in_polygons(tmp_path, scene):
    shapes = [("roof", ring(2, 1, 6, 4)), ("ignore", ring(4, 0, 8, 6))]
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(labelme(*shapes)))
    np.testing.assert_array_equal(truth_of(path, scene), ids_of(ROOF))


@pytest.mark.parametrize("name", ["truth.png", "truth.tif"])
def test_truth_in_a_mask(tmp_path, scene, name):
    mask = np.where(IGNORED, 255, ROOF).astype(np.uint8)
    path = tmp_path / name
    if name.endswith("png"):
        write_png(path, mask)
    else:
        write_raster(path, mask[None])
    np.testing.assert_array_equal(truth_of(path, scene), ids_of(ROOF))
    rules = Rules(colours=parse_colours("1=roof,255=ignore"))
    ids = truth_of(path, scene, rules=rules)
    np.testing.assert_array_equal(ids, ids_of(ROOF))


def test_of_shades_beside_white_nobody_knows_which_is_unknown(tmp_path, scene):
    write_png(
        tmp_path / "truth.png",
        np.where(ROOF, 200, IGNORED * 255).astype(np.uint8),
    )
    with pytest.raises(DataError, match="0 and one other value"):
        truth_of(tmp_path / "truth.png", scene)


# What looks at data


def test_check_counts_it_and_finds_what_is_ignored_everywhere(tmp_path):
    root = tree(tmp_path / "tree", road=ROAD, roof=ROOF)
    tree(root, "b", ignored=IGNORED | True, road=ROAD)
    items, findings = tree_items(root)
    assert not findings
    exams, found = check(root, items, 0, no_bar)
    assert [exam.ignored for exam in exams] == [24, 48]
    assert exams[0].covers == {"road": 4, "roof": 6}
    everywhere = [f for f in found if f.kind == "ignored"]
    assert [finding.item.name for finding in everywhere] == ["b"]
    assert "mixed-masks" not in {finding.kind for finding in found}
    mended = tmp_path / "mended"
    mend(exams, found, {"": mended}, 0, no_bar)
    again = find_samples(mended)
    classes = ["road", "roof"]
    assert class_names(again) == classes
    for sample, new in zip(find_samples(root), again, strict=True):
        expected = read_truth(sample, classes, SHAPE).ids
        ids = read_truth(new, classes, SHAPE).ids
        np.testing.assert_array_equal(ids, expected)


def test_it_lies_beside_loose_masks_without_a_finding(tmp_path):
    items, findings = tree_items(tree(tmp_path))
    assert not findings
    assert items[0].classes == ["building"]


# Scripts


def test_resized_folders_keep_it(tmp_path):
    tree(tmp_path / "tree")
    result = run_script(
        "util/resize.py", "tree", "--size", 4, "--out", "small", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    (sample,) = find_samples(tmp_path / "small")
    ids = read_truth(sample, ["building"], (4, 4)).ids
    np.testing.assert_array_equal(ids, resize_ids(ids_of(ROOF), (4, 4)))


def test_grabcut_leaves_it_as_it_is_drawn(tmp_path, images):
    points = ring(4.0, 0.0, 8.0, 6.0)
    path = tmp_path / "boxes" / "a.json"
    path.parent.mkdir()
    path.write_text(json.dumps(labelme(("__ignore__", points))))
    words = [images, path.parent, "--out", "new"]
    result = run_script("util/grabcut.py", *words, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    (shape,) = json.loads((tmp_path / "new" / "a.json").read_text())["shapes"]
    assert shape["label"] == "__ignore__"
    assert sorted(shape["points"]) == sorted(points)


def test_training_refuses_in_one_line_and_the_model_has_no_such_class(tmp_path):
    options = ["--size", 32, "--filters", 2, "--depth", 2, "--quiet"]
    options += ["--out", "run"]
    train = make_tree(tmp_path / "train", 6)
    test = make_tree(tmp_path / "test", 2)

    def run(*more):
        words = [tmp_path, *options, "--model", "my.keras", *more]
        return run_script("train/train_unet.py", *words, cwd=tmp_path)

    road = test / "Folder_1" / "masks" / "road"
    road.mkdir()
    for mask in (test / "Folder_1" / "masks").glob("*.png"):
        mask.rename(road / mask.name)
    assert_refused(run(), road, "found road")
    for mask in road.glob("*.png"):
        mask.rename(road.parent / mask.name)
    road.rmdir()
    ignored = box(np.s_[:], np.s_[:20], (32, 32))
    for folder in [*train.iterdir(), *test.iterdir()]:
        write_ignored(folder, ignored)
    result = run("--epochs", 1)
    assert result.returncode == 0, result.stderr
    assert "ignored:  62.5% of all pixels" in result.stdout
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["classes"] == ["building"]
    pixels = summary["scores"]["classes"]["building"]["pixels"]
    assert sum(pixels.values()) == 2 * 32 * 12
    for folder in train.iterdir():
        write_ignored(folder, ignored | True)
    assert_refused(run(), "ignore every pixel")


@needs_real_data
def test_land_cover_gives_exactly_the_pixels_of_its_colours(tmp_path):
    place = REAL / "landcover"
    colours = "3C1098=building,8429F6=land,6EC1E4=road,FEDD3A=vegetation,"
    colours += "E2A929=water,9B9B9B=ignore,000000=ignore"
    image = place / "images" / "tile1_0.jpg"
    mask = place / "masks" / "tile1_0.png"
    result = run_script(
        "util/polygon_to_mask.py", image, mask,
        "--colours", colours, "--out", "tree", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    values, _ = read_values(mask)
    expected = np.isin(values, [0x9B9B9B, 0])
    assert f"ignored: {expected.sum()} pixels" in result.stdout
    (sample,) = find_samples(tmp_path / "tree")
    classes = class_names([sample])
    assert "ignore" not in classes
    ids = read_truth(sample, classes, values.shape).ids
    assert expected.any()
    np.testing.assert_array_equal(ids == UNKNOWN, expected)
