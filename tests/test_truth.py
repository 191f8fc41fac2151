"""unet.prediction.truth: what is truly in a scene, row by row."""

import json

import cv2
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.enums import ColorInterp
from rasterio.transform import from_origin

from conftest import REAL, blobs, needs_real_data
from unet.annotations.placing import in_pixels
from unet.annotations.reading import read_file
from unet.annotations.rules import Rules
from unet.files.errors import DataError
from unet.files.folders import UNKNOWN
from unet.imagery.png import write_png
from unet.prediction.truth import open_truth

HERE = from_origin(1000, 2000, 0.5, 0.5)
SHAPE = (90, 110)


def write_raster(path, bands, crs="EPSG:3857", transform=HERE, **options):
    bands = np.atleast_3d(bands).transpose(2, 0, 1)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=len(bands),
        height=bands.shape[1],
        width=bands.shape[2],
        dtype=bands.dtype,
        crs=crs,
        transform=transform,
        **options,
    ) as raster:
        raster.write(bands)
    return path


@pytest.fixture
def scene(tmp_path):
    image = np.full((*SHAPE, 3), 80, np.uint8)
    return write_raster(tmp_path / "scene.tif", image)


def read(path, scene, classes=("building",), height=16, rules=None):
    truth = open_truth(path, scene, classes, rules or Rules())
    rows = [
        truth.rows(top, min(height, SHAPE[0] - top))[0]
        for top in range(0, SHAPE[0], height)
    ]
    truth.close()
    return np.concatenate(rows)


@pytest.mark.parametrize("high", [1, 7, 255])
def test_a_mask_of_two_values(tmp_path, scene, high):
    mask = blobs(1)
    path = write_raster(tmp_path / "mask.tif", mask.astype(np.uint8) * high)
    assert np.array_equal(read(path, scene), mask)
    png = tmp_path / "mask.png"
    cv2.imwrite(str(png), mask.astype(np.uint8) * high)
    assert np.array_equal(read(png, scene), mask)


def test_background_may_be_called_no_data(tmp_path, scene):
    mask = blobs(1)
    path = tmp_path / "mask.tif"
    write_raster(path, mask.astype(np.uint8) * 255, nodata=0)
    assert np.array_equal(read(path, scene), mask)


def test_no_data_is_unknown(tmp_path, scene):
    mask = blobs(1).astype(np.uint8)
    mask[20:30] = 9
    path = write_raster(tmp_path / "mask.tif", mask, nodata=9)
    mask[20:30] = UNKNOWN
    assert np.array_equal(read(path, scene), mask)


def test_another_grid_is_aligned(tmp_path, scene):
    """A mask of half the resolution, of a part of the scene."""
    mask = blobs(1, shape=(30, 40))
    there = from_origin(1010, 1990, 1, 1)
    path = tmp_path / "mask.tif"
    expected = np.full(SHAPE, UNKNOWN, np.uint8)
    expected[20:80, 20:100] = np.kron(mask, np.ones((2, 2)))
    for options in ({}, {"nodata": 0}, {"nodata": 9}):
        write_raster(path, mask.astype(np.uint8), transform=there, **options)
        assert np.array_equal(read(path, scene), expected)


def test_a_mask_without_a_place_has_the_size_of_the_scene(tmp_path, scene):
    mask = blobs(1)
    path = tmp_path / "mask.tif"
    write_raster(path, mask.astype(np.uint8), crs=None)
    assert np.array_equal(read(path, scene), mask)
    for name in ("small.tif", "small.png"):
        small = tmp_path / name
        if name.endswith("png"):
            write_png(small, mask[:50])
        else:
            write_raster(small, mask[:50].astype(np.uint8), crs=None)
        with pytest.raises(DataError, match=r"110 x 90 .*found 110 x 50"):
            open_truth(small, scene, ["building"])


def test_class_ids_and_colours(tmp_path, scene):
    ids = np.random.default_rng(0).integers(0, 3, SHAPE).astype(np.uint8)
    ids[0, 0] = UNKNOWN
    path = write_raster(tmp_path / "ids.tif", ids)
    classes = ("roof", "road")
    assert np.array_equal(read(path, scene, classes), ids)
    ids[0, 0] = 0
    palette = np.array([(0, 0, 0), (60, 16, 152), (110, 193, 228)], np.uint8)
    rules = Rules(colours={0x6EC1E4: "road", 0x3C1098: "roof"})
    path = write_raster(tmp_path / "colours.tif", palette[ids])
    assert np.array_equal(read(path, scene, classes, rules=rules), ids)
    path = write_raster(tmp_path / "indexed.tif", ids)
    with rasterio.open(path, "r+") as raster:
        raster.colorinterp = [ColorInterp.palette]
        raster.write_colormap(1, dict(enumerate(map(tuple, palette.tolist()))))
    assert np.array_equal(read(path, scene, classes, rules=rules), ids)
    path = write_raster(tmp_path / "grey.tif", ids)
    assert np.array_equal(read(path, scene, classes, rules=rules), ids)
    rules = Rules(colours={0x6EC1E4: "road"})
    path = write_raster(tmp_path / "colours.tif", palette[ids])
    with pytest.raises(DataError, match="found #3C1098 as well"):
        open_truth(path, scene, classes, rules)


@pytest.mark.parametrize(
    ("values", "classes", "text"),
    [
        ([0, 1, 2], ["building"], "0 and one other value.*found 0, 1, 2"),
        ([0, 3], ["roof", "road"], "class ids from 0 to 2.*found 0, 3"),
        (range(100), ["building"], "0 and one other value"),
    ],
)
def test_other_values_are_refused(tmp_path, scene, values, classes, text):
    mask = np.resize(np.array(values, np.uint8), SHAPE)
    path = write_raster(tmp_path / "mask.tif", mask)
    with pytest.raises(DataError, match=text) as caught:
        open_truth(path, scene, classes)
    assert "--" not in str(caught.value)


def test_advice_names_no_option_that_the_script_lacks(tmp_path, scene):
    table, other = tmp_path / "a.csv", tmp_path / "b.json"
    table.write_text("image,note\nscene,none\n")
    other.write_text('{"what": 1}')
    for path in (table, other):
        with pytest.raises(DataError) as caught:
            open_truth(path, scene, ["building"])
        assert "--" not in str(caught.value)


def write_geojson(path, polygons, crs="EPSG:3857"):
    features = [
        {
            "type": "Feature",
            "properties": {"class": label} if label else {},
            "geometry": shapely.geometry.mapping(polygon),
        }
        for label, polygon in polygons
    ]
    head = {"type": "name", "properties": {"name": crs}}
    data = {"type": "FeatureCollection", "crs": head, "features": features}
    path.write_text(json.dumps(data))
    return path


@pytest.mark.parametrize("height", [1, 7, 90])
def test_polygons_are_drawn_by_rows(tmp_path, scene, height):
    # 20 x 40 pixels of half a metre, from column 10 and row 30 on.
    one = shapely.box(1005, 1965, 1025, 1985)
    other = shapely.box(1015, 1975, 1035, 1995)
    path = write_geojson(
        tmp_path / "a.geojson", [("roof", one), ("road", other)]
    )
    ids = np.zeros(SHAPE, np.uint8)
    ids[30:70, 10:50] = 1
    ids[10:50, 30:70] = 2  # the later one wins
    found = read(path, scene, ("roof", "road"), height)
    assert np.array_equal(found, ids)


def test_one_class_may_be_called_otherwise(tmp_path, scene):
    box = shapely.box(1005, 1965, 1025, 1985)
    for label in (None, "hut"):
        path = write_geojson(tmp_path / "a.geojson", [(label, box)])
        assert read(path, scene).sum() == 1600
    path = write_geojson(
        tmp_path / "a.geojson", [("hut", box), ("building", box)]
    )
    with pytest.raises(DataError, match=r"polygons of building, found hut"):
        open_truth(path, scene, ["building"])
    write_geojson(path, [("hut", box)])
    with pytest.raises(DataError, match=r"polygons of a, b, found hut"):
        open_truth(path, scene, ["a", "b"])


def test_masks_of_annotation_tools(tmp_path, scene):
    """COCO's run-length code: column by column, background first."""
    path = tmp_path / "coco.json"
    counts = [90 * 20 + 10, 40, 50, 40, 90 * 110 - 90 * 20 - 140]
    size = {"height": 90, "width": 110}
    path.write_text(
        json.dumps(
            {
                "images": [{"id": 1, "file_name": "scene.tif", **size}],
                "categories": [{"id": 1, "name": "building"}],
                "annotations": [
                    {
                        "id": 1,
                        "image_id": 1,
                        "category_id": 1,
                        "segmentation": {"size": [90, 110], "counts": counts},
                    }
                ],
            }
        )
    )
    ids = np.zeros(SHAPE, np.uint8)
    ids[10:50, 20:22] = 1
    for height in (1, 7, 90):
        assert np.array_equal(read(path, scene, height=height), ids)


def test_nothing_there_is_background(tmp_path, scene):
    path = write_geojson(tmp_path / "a.geojson", [])
    assert not read(path, scene).any()
    with pytest.raises(DataError, match="found nothing"):
        open_truth(tmp_path / "no.geojson", scene, ["building"])


@needs_real_data
@pytest.mark.parametrize("height", [1, 100])
def test_real_polygons_are_drawn_as_in_the_whole(height):
    scene = REAL / "scene" / "banepa.tif"
    path = scene.with_suffix(".geojson")
    with rasterio.open(scene) as raster:
        shape = raster.shape
    truth = open_truth(path, scene, ["building"])
    whole = np.zeros(shape, bool)
    for one in in_pixels(read_file(path)["banepa"], scene).instances:
        window, top, left = one.window(shape)
        whole[top : top + len(window), left : left + window.shape[1]] |= window
    for top in range(0, 1000, height):
        ids, _ = truth.rows(top, height)
        assert np.array_equal(ids > 0, whole[top : top + height])
