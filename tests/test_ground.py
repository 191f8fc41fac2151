"""unet.imagery.georeference: from pixels to places, and their true areas."""

import numpy as np
import pyproj
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.transform import from_origin

from unet.imagery.georeference import Georeference, Ground, named_ground

SQUARE = shapely.box(10, 20, 110, 120)


def ground_at(crs, transform):
    return Ground(Georeference(crs, transform))


@pytest.mark.parametrize("latitude", [0, 27.6, 60])
def test_mercator_does_not_exaggerate_areas(latitude):
    to_mercator = pyproj.Transformer.from_crs(4326, 3857, always_xy=True)
    x, y = to_mercator.transform(85.5, latitude)
    corner = from_origin(x - 10, y + 20, 0.5, 0.5)
    ground = ground_at(CRS.from_epsg(3857), corner)
    # The same square by hand: degrees of longitude shrink by the cosine.
    semi, flat = 6378137, 1 / 298.257223563
    eccentric = flat * (2 - flat)
    sine = np.sin(np.radians(latitude)) ** 2
    n = semi / np.sqrt(1 - eccentric * sine)
    m = n * (1 - eccentric) / (1 - eccentric * sine)
    scale = n * np.cos(np.radians(latitude)) / semi
    expected = 2500 * scale * scale * m / n
    assert ground.area(SQUARE) == pytest.approx(expected, rel=1e-4)


def test_utm_is_nearly_true_near_its_meridian():
    ground = Ground(
        Georeference("EPSG:32645", from_origin(500_000, 3e6, 0.5, 0.5))
    )
    assert ground.area(SQUARE) == pytest.approx(2500 / 0.9996**2, rel=1e-6)


def test_holes_are_no_area():
    ring = SQUARE.difference(shapely.box(30, 40, 80, 90))
    ground = Ground(
        Georeference("EPSG:32645", from_origin(500_000, 3e6, 0.5, 0.5))
    )
    whole, hole = ground.area(SQUARE), ground.area(ring)
    assert hole == pytest.approx(0.75 * whole, rel=1e-6)
    assert Ground(None).area(ring) == 7500


def test_pixels_stay_where_nobody_knows_the_place():
    ground = Ground(None)
    assert ground.move(SQUARE).equals(SQUARE)
    assert ground.crs is None and ground.place(3, 4) is None


def test_geometry_lies_where_the_transform_says():
    ground = Ground(
        Georeference("EPSG:3857", from_origin(1000, 2000, 0.5, 0.5))
    )
    moved = ground.move(SQUARE)
    assert moved.bounds == (1005, 1940, 1055, 1990)
    assert moved.exterior.is_ccw
    assert ground.member["properties"]["name"] == "urn:ogc:def:crs:EPSG::3857"


def test_longitude_comes_first():
    here = from_origin(85.5, 27.7, 1e-5, 1e-5)
    for ground in (
        Ground(Georeference("EPSG:4326", here)),
        Ground(Georeference("EPSG:4326", here), longitude_latitude=True),
    ):
        assert ground.move(SQUARE).bounds == pytest.approx(
            (85.5001, 27.6988, 85.5011, 27.6998)
        )
        assert "CRS84" in ground.member["properties"]["name"]
        assert ground.place(0, 0) == pytest.approx((85.5, 27.7))


def test_geojson_cannot_name_every_crs():
    own = CRS.from_proj4("+proj=laea +lat_0=20 +lon_0=30 +ellps=WGS84")
    ground = named_ground(Georeference(own, from_origin(0, 0, 1, 1)))
    assert "CRS84" in ground.member["properties"]["name"]
    assert ground.move(shapely.box(0, 0, 1, 1)).bounds[0] == pytest.approx(30)
