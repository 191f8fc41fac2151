"""unet.prediction.map_layer: a scene to polygons, while it streams."""

import json
import os
import signal
import subprocess
import sys

import geopandas
import numpy as np
import pytest
import shapely
from rasterio.transform import from_origin

from conftest import CODE, blobs, strips
from unet.files.errors import DataError
from unet.geometry.masks import rasterise
from unet.geometry.outlining import Outlining
from unet.geometry.polygons import outlines
from unet.imagery.georeference import Georeference
from unet.prediction import map_layer
from unet.prediction.map_layer import Layer

ORIGIN = 9_520_000, 3_202_900
HERE = from_origin(*ORIGIN, 0.5, 0.5)
MERCATOR = Georeference("EPSG:3857", HERE)


def write(path, height, ids, classes=("building",), known=None, **options):
    probability = options.pop("probability", None)
    with Layer(path, ids.shape, classes, **options) as layer:
        for strip in strips(height, ids, probability, known=known):
            layer.add(strip)
    return layer


@pytest.mark.parametrize("smooth", [0.6, 2])
def test_objects_do_not_depend_on_the_strips(tmp_path, smooth):
    ids = blobs(2, smooth, (150, 90)).astype(np.uint8)
    probability = np.random.default_rng(0).random((*ids.shape, 1))
    texts = set()
    for height in (1, 7, 64, 150):
        path = tmp_path / f"{height}.geojson"
        write(path, height, ids, probability=probability)
        texts.add(path.read_text())
    assert len(texts) == 1
    table = geopandas.read_file(path)
    whole = outlines(
        ids == 1, probability=probability.astype(np.float32)[..., 0]
    )
    assert len(table) == len(whole)
    scores = {one.geometry.normalize().wkt: one.score for one in whole}
    found = dict(
        zip(table.normalize().to_wkt(), table["probability"], strict=True)
    )
    assert found == pytest.approx(scores, abs=6e-5)
    areas = shapely.area(table.geometry.to_numpy())
    assert np.abs(table["area_px"] - areas).max() < 0.01
    assert table["id"].tolist() == list(range(1, len(table) + 1))


def test_both_formats_say_the_same_in_the_crs_of_the_scene(tmp_path):
    ids = blobs(3).astype(np.uint8)
    tables = []
    for name in ("a.geojson", "a.gpkg"):
        write(tmp_path / name, 32, ids, place=MERCATOR)
        tables.append(geopandas.read_file(tmp_path / name))
    for table in tables:
        assert table.crs.to_epsg() == 3857
        assert list(table) == [
            "id",
            "class",
            "area_m2",
            "probability",
            "geometry",
        ]
        assert set(table.geom_type) == {"Polygon"}
        assert table.is_valid.all()
        # Mercator's metres are too large here, by about 1 / cos(27.6 degrees).
        ratio = table["area_m2"].sum() / table.area.sum()
        assert 0.78 < ratio < 0.785
    one, other = tables
    assert one.drop(columns="id").equals(other.drop(columns="id"))
    # Every pixel is where the transform says.
    inverse = (~HERE).to_shapely()
    pixels = one.geometry.affine_transform(inverse)
    drawn = np.any([rasterise(p, ids.shape) for p in pixels], axis=0)
    both = (drawn & (ids > 0)).sum() / (drawn | (ids > 0)).sum()
    assert both > 0.995


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg"])
def test_longitude_and_latitude_by_option(tmp_path, name):
    ids = blobs(3).astype(np.uint8)
    own = {"place": MERCATOR}
    write(tmp_path / "own.gpkg", 32, ids, **own)
    write(tmp_path / name, 32, ids, longitude_latitude=True, **own)
    table = geopandas.read_file(tmp_path / name)
    assert table.crs.to_epsg() == 4326
    assert table.is_valid.all()
    projected = geopandas.read_file(tmp_path / "own.gpkg")
    moved = table.to_crs(3857).geometry
    assert moved.hausdorff_distance(projected.geometry).max() < 0.01
    assert table["area_m2"].equals(projected["area_m2"])


def test_rfc_7946_has_no_crs_and_turns_to_the_left(tmp_path):
    ids = np.zeros((20, 20), np.uint8)
    ids[4:14, 4:14] = 1
    ids[7:10, 7:10] = 0
    path = tmp_path / "a.geojson"
    write(
        path,
        5,
        ids,
        place=MERCATOR,
        longitude_latitude=True,
    )
    data = json.loads(path.read_text())
    assert set(data) == {"type", "features"}
    (feature,) = data["features"]
    outer, hole = feature["geometry"]["coordinates"]
    assert shapely.LinearRing(outer).is_ccw
    assert not shapely.LinearRing(hole).is_ccw


@pytest.mark.parametrize("share", [0.3, 0.5, 0.62])
@pytest.mark.parametrize("square", [False, True])
def test_noise_gives_valid_polygons(tmp_path, share, square):
    ids = blobs(5, 0, (70, 60), share).astype(np.uint8)
    here = {"place": MERCATOR, "longitude_latitude": True}
    here["outlining"] = Outlining(square=square)
    write(tmp_path / "a.gpkg", 9, ids, **here)
    table = geopandas.read_file(tmp_path / "a.gpkg")
    assert table.is_valid.all() and not table.is_empty.any()
    assert len(table) == len(outlines(ids == 1, tolerance=0))


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg"])
def test_classes_small_objects_and_no_data(tmp_path, name):
    ids = np.zeros((100, 40), np.uint8)
    ids[60:70, 5:15] = 1
    ids[60:70, 15:20] = 2
    ids[2, 2] = 2
    ids[90:95, 5:15] = 1
    known = np.ones(ids.shape, bool)
    known[90:] = False
    probability = np.full((*ids.shape, 3), 0.1)
    probability[..., 1], probability[..., 2] = 0.7, 0.2
    layer = write(
        tmp_path / name,
        8,
        ids,
        ("roof", "road"),
        known,
        probability=probability,
        outlining=Outlining(smallest=2),
    )
    table = geopandas.read_file(tmp_path / name)
    assert layer.count == 2
    # Programs take a GeoJSON without a system for degrees.
    assert (table.crs is None) == name.endswith(".gpkg")
    assert table["class"].tolist() == ["roof", "road"]
    assert table["probability"].tolist() == [0.7, 0.2]
    assert table["area_px"].tolist() == pytest.approx([100, 50], abs=0.6)


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg"])
def test_nothing_found_is_an_empty_layer(tmp_path, name):
    ids = np.zeros((30, 20), np.uint8)
    write(tmp_path / name, 8, ids, place=Georeference("EPSG:32645", HERE))
    table = geopandas.read_file(tmp_path / name)
    assert len(table) == 0 and table.crs.to_epsg() == 32645


def test_many_objects_come_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(map_layer, "_BATCH", 7)
    ids = np.zeros((90, 90), np.uint8)
    ids[::6, ::6] = 1
    write(tmp_path / "a.gpkg", 16, ids, place=MERCATOR)
    table = geopandas.read_file(tmp_path / "a.gpkg")
    assert table["id"].tolist() == list(range(1, 226))


def test_what_is_too_large_is_cut_along_a_row(tmp_path, monkeypatch):
    monkeypatch.setattr(map_layer, "LARGEST", 60 * 100)
    ids = np.zeros((600, 60), np.uint8)
    ids[:500, :10] = ids[:500, 30:40] = ids[10:20, :40] = 1  # two legs
    ids[550:560, 20:30] = 1
    texts = set()
    for height in (1, 64, 600):
        path = tmp_path / f"{height}.geojson"
        layer = write(path, height, ids)
        texts.add(path.read_text())
    assert len(texts) == 1
    table = geopandas.read_file(path)
    assert layer.cut == 1 and table.is_valid.all()
    drawn = [rasterise(one, ids.shape) for one in table.geometry]
    assert np.sum(drawn, axis=0).max() == 1  # no pixel is in two
    assert (np.any(drawn, axis=0) != (ids > 0)).mean() < 0.001
    # The two legs are one object above the cut, two below it.
    assert len(table) == 4
    assert all(
        outlines(mask)[0].mask(ids.shape).sum() == mask.sum() for mask in drawn
    )


def test_open_objects_alone_are_kept(tmp_path):
    ids = np.zeros((64, 64), np.uint8)
    ids[10:20, 10:20] = ids[30:64, 30:40] = 1
    with Layer(tmp_path / "a.gpkg", (640, 64), ["building"]) as layer:
        for _ in range(10):
            (strip,) = strips(64, ids)
            layer.add(strip)
            (one,) = layer._classes.values()
            # What touches the last row alone may go on.
            assert len(one._open) == 1
            assert (
                sum(len(runs) for o in one._open.values() for runs in o.runs)
                == 34
            )


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg"])
def test_a_scene_without_its_end_leaves_nothing(tmp_path, name):
    ids = blobs(3).astype(np.uint8)
    half = list(strips(45, ids))[:1]
    layer = Layer(tmp_path / name, ids.shape, ["building"])
    layer.add(half[0])
    with pytest.raises(ValueError, match="45 of the 90 rows"):
        layer.close()
    assert not list(tmp_path.iterdir())
    with (
        pytest.raises(KeyboardInterrupt),
        Layer(tmp_path / name, ids.shape, ["building"]) as layer,
    ):
        layer.add(half[0])
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


KILLED = """
import os, signal, sys
import numpy as np
from conftest import blobs, strips
from unet.prediction import map_layer
map_layer._BATCH = 2
ids = blobs(3).astype(np.uint8)
layer = map_layer.Layer(sys.argv[1], ids.shape, ["building"])
for strip in list(strips(30, ids))[:-1]:
    layer.add(strip)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg"])
def test_a_killed_run_leaves_no_file_of_that_name(tmp_path, name):
    here = os.pathsep.join([str(CODE), str(CODE.parent / "tests")])
    result = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / name)],
        env={**os.environ, "PYTHONPATH": here},
        check=False,
    )
    assert result.returncode == -signal.SIGKILL
    assert not (tmp_path / name).exists()
    assert all(path.name.startswith(".") for path in tmp_path.iterdir())


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.shp: expected a file that ends"):
        Layer(tmp_path / "a.shp", (3, 3), ["building"])
    with pytest.raises(DataError, match="need a scene that has"):
        Layer(
            tmp_path / "a.gpkg", (3, 3), ["building"], longitude_latitude=True
        )
    assert not list(tmp_path.iterdir())
