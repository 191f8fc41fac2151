"""unet.geometry.grabcut and grabcut.py: rough polygons become outlines."""

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
from pycocotools import mask as rle
from shapely import affinity

from conftest import REAL, assert_refused, contents, needs_real_data, run_script
from unet.annotations.article import read_article_text
from unet.annotations.reading import read_file
from unet.geometry.grabcut import tighten
from unet.geometry.masks import rasterise
from unet.imagery.png import write_png
from unet.imagery.reading import read_image

SCRIPT = "util/grabcut.py"
SIDE = 96
TURNED = affinity.rotate(shapely.box(26, 36, 72, 62), 30)
ANGLE = shapely.Polygon(
    [(20, 20), (74, 20), (74, 50), (54, 50), (54, 76), (20, 76)]
)


def scene(*roofs):
    """Bright roofs on noisy ground: uint8, SIDE x SIDE x 3."""
    rng = np.random.default_rng(0)
    image = rng.normal((90, 110, 70), 18, (SIDE, SIDE, 3))
    for roof in roofs:
        mask = rasterise(roof, (SIDE, SIDE))
        image[mask] = rng.normal((190, 175, 165), 14, (mask.sum(), 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def box_of(geometry):
    return shapely.box(*geometry.bounds)


def iou(geometry, truth, shape=(SIDE, SIDE)):
    one, other = rasterise(geometry, shape), rasterise(truth, shape)
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("roof", [TURNED, ANGLE], ids=["turned", "angle"])
def test_a_box_becomes_the_roof(roof):
    found = tighten(scene(roof), box_of(roof))
    assert iou(box_of(roof), roof) < 0.85
    assert iou(found, roof) > 0.9
    assert box_of(roof).covers(box_of(found))


@pytest.mark.parametrize("shift", [(-2, 1), (2, 2)])
def test_a_rough_polygon_becomes_the_roof(shift):
    rough = affinity.translate(TURNED, *shift)
    found = tighten(scene(TURNED), rough)
    assert iou(rough, TURNED) < 0.9
    assert iou(found, TURNED) > 0.95


def test_only_the_rim_of_a_polygon_is_open():
    roof = shapely.box(10, 10, 90, 90)
    rough = affinity.rotate(shapely.box(30, 30, 60, 60), 20)
    found = tighten(scene(roof), rough)
    rim = 0.08 * np.sqrt(rough.area)
    assert found is None or rough.buffer(rim + 0.5).covers(found)
    beside = affinity.translate(TURNED, 6, 0)
    found = tighten(scene(TURNED), beside)
    rim = 0.08 * np.sqrt(TURNED.area)
    assert beside.buffer(rim + 0.5).covers(found)
    assert found.buffer(0.5).covers(beside.buffer(-rim - 0.5))


def test_holes_and_parts_of_a_polygon_stay():
    court = TURNED.difference(TURNED.centroid.buffer(8))
    shed = shapely.box(76, 76, 94, 92)
    roofs = shapely.MultiPolygon([court, shed])
    rough = affinity.translate(roofs, 1, 1)
    found = tighten(scene(court, shed), rough)
    assert iou(found, roofs) > 0.87 > iou(rough, roofs)
    assert len(found.geoms) == 2
    assert sum(len(part.interiors) for part in found.geoms) == 1


def test_of_a_box_everything_inside_the_outline_belongs_to_it():
    dark = scene(TURNED)
    cv2.circle(dark, (49, 49), 3, (60, 80, 50), -1)
    found = tighten(dark, box_of(TURNED))
    assert len(found.interiors) == 0
    assert iou(found, TURNED) > 0.9


@pytest.mark.parametrize(
    "image",
    [np.full((SIDE, SIDE, 3), 120, np.uint8), scene()],
    ids=["one colour", "noise"],
)
@pytest.mark.parametrize(
    "drawn", [box_of(TURNED), TURNED], ids=["box", "polygon"]
)
def test_where_nothing_is_to_be_seen_the_shape_is_kept(image, drawn):
    assert tighten(image, drawn) is None


@pytest.mark.parametrize(
    "drawn",
    [
        shapely.box(0, 0, SIDE, SIDE),
        shapely.box(-20, -20, SIDE + 20, SIDE + 20),
        shapely.box(SIDE, 0, SIDE + 20, 20),
        shapely.box(200, 200, 220, 220),
        shapely.box(30, 30, 30, 50),
        shapely.box(30, 30, 30.01, 30.01),
        shapely.Polygon([(20, 20), (70, 70), (70, 20), (20, 70)]),
        shapely.Polygon([(10, 10), (80, 60), (80, 61)]),
        shapely.Polygon(),
    ],
    ids=[
        "whole image",
        "around the image",
        "at the image",
        "outside",
        "line",
        "speck",
        "crossing",
        "thin",
        "empty",
    ],
)
def test_what_cannot_be_used_is_kept(drawn):
    assert tighten(scene(TURNED), drawn) is None


@pytest.mark.parametrize("x, y", [(0, 0), (45, 45), (95, 95)])
def test_a_box_of_one_pixel_does_no_harm(x, y):
    drawn = shapely.box(x, y, x + 1, y + 1)
    found = tighten(scene(TURNED), drawn)
    assert found is None or drawn.covers(found)


def test_a_box_may_reach_beyond_the_image():
    roof = affinity.translate(TURNED, 35, 0)
    visible = roof.intersection(shapely.box(0, 0, SIDE, SIDE))
    found = tighten(scene(roof), box_of(roof))
    assert iou(found, visible) > 0.9
    assert box_of(roof).covers(found)
    assert found.is_valid
    assert found.bounds[2] == SIDE


def test_results_depend_on_nothing_but_the_input():
    image = scene(TURNED)
    boxes = [box_of(TURNED).buffer(k / 9).envelope for k in range(-9, 9)]
    first = [tighten(image, box) for box in boxes]
    cv2.setRNGSeed(99)
    fit = partial(tighten, image)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(fit, reversed(boxes)))
    assert [one.wkt for one in first] == [one.wkt for one in again[::-1]]


@needs_real_data
def test_on_real_roofs_it_is_nearer_to_the_truth():
    source = REAL / "buildings"
    tile, before, after = "banepa_06_11", [], []
    index = pd.read_csv(source / "index.csv", index_col="name")
    assert index.loc[tile, "split"] == "test"
    image = read_image(source / "images" / f"{tile}.png")
    shape = image.shape[:2]
    path = source / "annotations" / f"{tile}.txt"
    for one in read_article_text(path)[tile].instances:
        box = box_of(one.geometry)
        if one.geometry.area >= 100:
            before.append(iou(box, one.geometry, shape))
            found = tighten(image, box) or box
            after.append(iou(found, one.geometry, shape))
    assert np.mean(after) > np.mean(before) + 0.1


# The script -----------------------------------------------------------------


def add_image(root, name="a", *roofs):
    write_png(root / "images" / f"{name}.png", scene(*roofs or (TURNED,)))


def labelme(root, *labels, name="a"):
    """One box a label."""
    left, top, right, bottom = TURNED.bounds
    shapes = [
        {
            "label": label,
            "points": [[left, top], [right, bottom]],
            "shape_type": "rectangle",
        }
        for label in labels
    ]
    data = {"shapes": shapes, "imagePath": f"{name}.png"}
    return write_json(root / "notes" / f"{name}.json", data)


def coco(root):
    left, top, right, bottom = TURNED.bounds
    bbox = [left, top, right - left, bottom - top]
    one = {"id": 1, "image_id": 1, "category_id": 1, "bbox": bbox}
    return write_coco(root, one)


def coco_mask(root):
    """A run-length encoded mask of the roof, off by some pixels."""
    rough = rasterise(affinity.translate(TURNED, 3, 3), (SIDE, SIDE))
    packed = rle.encode(np.asfortranarray(rough, np.uint8))
    packed["counts"] = packed["counts"].decode()
    one = {"id": 1, "image_id": 1, "category_id": 1, "segmentation": packed}
    return write_coco(root, one)


def write_coco(root, annotation):
    image = {"id": 1, "file_name": "a.png", "height": SIDE, "width": SIDE}
    data = {
        "images": [image],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "roof"}],
    }
    return write_json(root / "notes" / "coco.json", data)


def via(root):
    left, top, right, bottom = TURNED.bounds
    region = {
        "shape_attributes": {
            "name": "rect",
            "x": left,
            "y": top,
            "width": right - left,
            "height": bottom - top,
        },
        "region_attributes": {"class": "roof"},
    }
    data = {"a.png1": {"filename": "a.png", "size": 1, "regions": [region]}}
    return write_json(root / "notes" / "via.json", data)


def write_json(path, data):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(data))
    return path


def run(root, *options):
    return run_script(SCRIPT, "images", "notes", *options, cwd=root)


@pytest.mark.parametrize(
    "write", [lambda root: labelme(root, "roof"), coco, via, coco_mask],
    ids=["labelme", "coco", "via", "masks"],
)  # fmt: skip
def test_any_format_is_read_and_the_class_is_kept(tmp_path, write):
    add_image(tmp_path)
    write(tmp_path)
    before = contents(tmp_path)
    result = run(tmp_path, "--out", "out")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[:2] == [
        "1 images -> out",
        "  1 instances tightened, 0 kept as drawn",
    ]
    (one,) = read_file(tmp_path / "out" / "a.json")["a"].instances
    assert one.label == "roof"
    assert iou(one.geometry, TURNED) > 0.9
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize(
    "kind, file",
    [
        ("article", "a.txt"),
        ("labelme", "a.json"),
        ("coco", "annotations.json"),
        ("geojson", "a.geojson"),
        ("via", "via_project.json"),
        ("cvat", "annotations.xml"),
        ("label-studio", "tasks.json"),
    ],
)
def test_any_format_is_written_and_runs_are_equal(tmp_path, kind, file):
    add_image(tmp_path)
    coco(tmp_path)
    for out in ("one", "two"):
        result = run(tmp_path, "--format-out", kind, "--out", out)
        assert result.returncode == 0, result.stderr
    (one,) = read_file(tmp_path / "one" / file)["a"].instances
    assert iou(one.geometry, TURNED) > 0.9
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_shapes_that_are_kept_are_counted_and_written_as_drawn(tmp_path):
    add_image(tmp_path, "a")
    write_png(tmp_path / "images" / "b.png", np.full((96, 96, 3), 9, np.uint8))
    add_image(tmp_path, "c")
    add_image(tmp_path, "d")
    labelme(tmp_path, "roof", "shed")
    labelme(tmp_path, "roof", name="b")
    labelme(tmp_path, name="c")
    result = run(tmp_path, "--out", "out")
    assert result.stdout.splitlines() == [
        "3 images -> out",
        "  2 instances tightened, 1 kept as drawn",
        "  1 images without annotation, left out",
    ]
    (kept,) = read_file(tmp_path / "out" / "b.json")["b"].instances
    assert kept.geometry.equals(box_of(TURNED))
    assert read_file(tmp_path / "out" / "c.json")["c"].instances == []
    assert not (tmp_path / "out" / "d.json").exists()
    written = read_file(tmp_path / "out" / "a.json")["a"].instances
    assert [one.label for one in written] == ["roof", "shed"]


def test_the_overlay_shows_both_outlines(tmp_path):
    add_image(tmp_path)
    labelme(tmp_path, "roof")
    run(tmp_path, "--out", "out")
    overlay = read_image(tmp_path / "out" / "overlays" / "a.png")
    assert overlay.shape == (768, 768, 3)
    x, y = (np.array(TURNED.bounds[:2]) * 8).round().astype(int)
    assert overlay[y, x : x + 60].min() > 200  # the line is anti-aliased
    pink = np.abs(overlay - np.array([230.0, 60, 150])).max(axis=2) < 20
    assert pink.sum() > 500
    assert not pink[: y - 8].any()


def test_nothing_is_replaced_unasked(tmp_path):
    add_image(tmp_path)
    source = labelme(tmp_path, "roof")
    run(tmp_path, "--out", "out")
    assert_refused(run(tmp_path, "--out", "out"), "a.json", "--overwrite")
    again = run(tmp_path, "--out", "out", "--overwrite")
    assert again.returncode == 0, again.stderr
    before = source.read_bytes()
    refused = run(tmp_path, "--out", "notes", "--overwrite")
    assert_refused(refused, "a.json", "own input", "--out")
    assert source.read_bytes() == before


def test_bad_input_is_told_in_one_line(tmp_path):
    add_image(tmp_path)
    source = labelme(tmp_path, "roof", "shed")
    refused = run(tmp_path, "--format-out", "article")
    assert_refused(refused, "article", "roof, shed")
    other = labelme(tmp_path, "roof", name="b")
    kept = source.read_text()
    source.unlink()
    assert_refused(run(tmp_path), "b.json", "no such image", "images")
    other.unlink()
    source.write_text(kept)
    (tmp_path / "notes" / "a.txt").write_text("[]")
    assert_refused(run(tmp_path), "a.txt", "a.json", "Give one")
    (tmp_path / "notes" / "a.txt").unlink()
    source.write_text('{"shapes": [{}]}')
    assert_refused(run(tmp_path), "a.json", "labelme")
    write_json(source, {"images": [], "annotations": []})
    assert_refused(run(tmp_path), "notes", "of images in images, found none")
    labelme(tmp_path, "roof")
    (tmp_path / "images" / "a.png").write_bytes(b"\x89PNG")
    assert_refused(run(tmp_path), "a.png")
    assert not (tmp_path / "prepared" / "tightened").exists()


def test_annotations_of_a_project_beside_a_part_of_its_images(tmp_path):
    add_image(tmp_path)
    labelme(tmp_path, "roof")
    for name in "bcd":
        labelme(tmp_path, "roof", name=name)
    result = run(tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    (line,) = [t for t in result.stdout.splitlines() if "left out" in t]
    assert line.startswith(
        "  left out: notes: annotations of 3 images (b, c, d)"
    )


def test_an_image_of_many_bands_and_a_file_of_another_name(tmp_path):
    picture = scene(TURNED).transpose(2, 0, 1)
    bands = np.concatenate([picture[::-1], picture * 0])
    size = {"width": SIDE, "height": SIDE, "count": 6, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", "GTiff", **size) as file:
        file.write(bands)
    points = [list(p) for p in box_of(TURNED).exterior.coords]
    (tmp_path / "other.txt").write_text(json.dumps(points))
    command = (SCRIPT, "a.tif", "other.txt", "--out", "out")
    assert_refused(run_script(*command, cwd=tmp_path), "a.tif", "--bands")
    result = run_script(*command, "--bands", "3,2,1", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "1 instances tightened" in result.stdout
    found = read_file(tmp_path / "out" / "a.json")["a"].instances
    assert iou(found[0].geometry, TURNED) > 0.9
