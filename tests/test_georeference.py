"""Where images lie survives the way through the scripts."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from conftest import make_tree, run_script
from test_scenes import noise, write_scene
from unet.files.folders import find_samples
from unet.imagery.georeference import (
    Georeference,
    read_georeference,
    write_georeference,
)
from unet.imagery.png import write_png
from unet.training import dataset

UTM = rasterio.crs.CRS.from_epsg(32645)
PLACE = Georeference(UTM, Affine(0.5, 0, 333000, 0, -0.25, 3058000))


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "a.png"
    write_png(path, np.zeros((40, 30, 3), np.uint8))
    return path


def test_metres_are_those_of_the_ground_in_every_crs():
    # UTM's scale is 0.9996 on its meridian, and larger beside it.
    assert PLACE.resolution((40, 30)) == pytest.approx((0.25, 0.5), rel=6e-4)
    # Degrees of latitude have 110.6 km at the equator, 111.7 km at the poles.
    degrees = Affine(1e-5, 0, 85.5, 0, -1e-5, 60)
    at_60 = Georeference(rasterio.crs.CRS.from_epsg(4326), degrees)
    rows, columns = at_60.resolution((40, 30))
    assert rows == pytest.approx(1.1141, abs=1e-3)
    assert columns == pytest.approx(0.5580, abs=1e-3)
    # Web maps are twice as large there.
    web = Georeference(
        rasterio.crs.CRS.from_epsg(3857), Affine(1, 0, 0, 0, -1, 8399738)
    )
    assert web.resolution((40, 30)) == pytest.approx((0.5, 0.5), rel=0.01)


def test_a_turned_image_has_the_resolution_of_the_upright_one():
    turned = Georeference(UTM, PLACE.transform * Affine.rotation(90))
    assert turned.resolution((40, 30)) == pytest.approx((0.5, 0.25), rel=6e-4)


def test_a_sidecar_is_read_as_it_was_written(png):
    assert read_georeference(png) is None
    write_georeference(png, PLACE)
    assert read_georeference(png) == PLACE
    with rasterio.open(png) as raster:
        assert raster.crs == UTM
        assert raster.transform == PLACE.transform


def test_scaled_and_moved_places_keep_their_corners():
    half = PLACE.scaled(0.5, 0.25)
    assert half.transform * (0, 0) == PLACE.transform * (0, 0)
    assert half.transform * (10, 10) == PLACE.transform * (40, 20)
    moved = PLACE.moved(3, 5)
    assert moved.transform * (1, 1) == PLACE.transform * (6, 4)


def test_the_place_reaches_the_training(tmp_path):
    """polygon_to_mask, split and resize keep it."""
    options = {"crs": UTM, "transform": PLACE.transform}
    for name in ("a", "b", "c", "d"):
        image = noise(40, 60, seed=ord(name))
        write_scene(_made(tmp_path / "in") / f"{name}.tif", image, **options)
        texts = _made(tmp_path / "texts")
        (texts / f"{name}.txt").write_text("[[1, 1], [1, 9], [9, 9], [1, 1]]")

    def run(script, *words):
        run_script(f"util/{script}", *words, cwd=tmp_path).check_returncode()

    run("polygon_to_mask.py", "in", "texts", "--out", "folders")
    found = read_georeference(tmp_path / "folders/a/images/a.png")
    assert found == PLACE
    run("split.py", "folders", "--out", "data")
    for image in (tmp_path / "data").glob("*/*/images/*.png"):
        assert read_georeference(image) == PLACE
    run("resize.py", "folders", "--size", "20", "--keep-aspect", "--out", "r")
    found = read_georeference(tmp_path / "r/a/images/a.png")
    # 40 x 60 became 13 x 20, and three rows were added above.
    expected = PLACE.scaled(13 / 40, 20 / 60).moved(-3, 0)
    assert found.transform.almost_equals(expected.transform)
    samples = find_samples(tmp_path / "folders")
    data = dataset.load(samples, (20, 20), ["building"], lambda one, *_: one)
    assert data.scales == pytest.approx([0.5, 1 / 3])
    assert data.resolution == pytest.approx([0.5, 1.5], rel=1e-3)
    again = dataset.load(samples, (20, 20), ["building"], None)
    assert again.resolution == data.resolution


def test_plain_images_have_no_resolution(tmp_path):
    samples = find_samples(make_tree(tmp_path / "tree", 2))
    data = dataset.load(samples, (16, 16), ["building"], lambda one, *_: one)
    assert data.resolution is None
    assert data.scales == [0.5, 0.5]


def _made(directory):
    directory.mkdir(exist_ok=True)
    return directory
