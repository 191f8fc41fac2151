"""Where the pixels of a scene lie on the ground, and how large they are."""

import numpy as np
import pyproj
import shapely
from shapely import affinity
from shapely.geometry.polygon import orient

_LONGITUDE_LATITUDE = "urn:ogc:def:crs:OGC:1.3:CRS84"
_DECIMALS = 3  # of a pixel, in coordinates on the ground
_LONGEST = 256  # pixels of a side that is taken for straight on the globe


class Ground:
    """From pixels to a coordinate reference system (CRS), or to themselves.

    Args:
        crs: of the scene, anything that ``pyproj`` understands (rasterio's
            CRS is); None where nobody knows it. One that has no place on the
            globe (a local grid) counts as None.
        transform: ``affine.Affine`` from pixels to the CRS.
        longitude_latitude: give longitude and latitude, WGS 84, instead of
            coordinates in the CRS.

    Attributes:
        crs: ``pyproj.CRS`` of the coordinates, None: they are pixels.
        member: GeoJSON's member "crs"; None where they are pixels, or the CRS
            has no registered name.
    """

    def __init__(self, crs, transform, longitude_latitude=False):
        own = None if crs is None else pyproj.CRS.from_user_input(crs)
        if own is not None and own.geodetic_crs is None:
            own = None
        self.crs, self.member, self._project = own, None, None
        if own is None:
            return
        self._matrix = transform.to_shapely()
        self._globe = own.get_geod()
        self._degrees = _transformer(own, own.geodetic_crs)
        if longitude_latitude:
            self.crs = pyproj.CRS("EPSG:4326")
            self._project = _transformer(own, self.crs)
        authority = self.crs.to_authority()
        # "EPSG:4326" has latitude first in some programs, this has it in none.
        if authority:
            name = "urn:ogc:def:crs:{}::{}".format(*authority)
            if authority == ("EPSG", "4326"):
                name = _LONGITUDE_LATITUDE
            self.member = {"type": "name", "properties": {"name": name}}
        pixel = self._moved(shapely.LineString([(0, 0), (1, 0)])).length
        self._decimals = _DECIMALS - int(np.floor(np.log10(pixel)))

    def _moved(self, geometry):
        geometry = affinity.affine_transform(geometry, self._matrix)
        if self._project is None:
            return geometry
        return shapely.transform(geometry, self._project)

    def move(self, geometry):
        """A Polygon or MultiPolygon from pixels to the CRS.

        Rounded to a thousandth of a pixel; outer rings anticlockwise and
        holes clockwise (RFC 7946).
        """
        if self.crs is not None:
            geometry = shapely.transform(
                self._moved(geometry), lambda at: at.round(self._decimals)
            )
        parts = [orient(part) for part in shapely.get_parts(geometry)]
        return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)

    def area(self, polygon):
        """Square metres of a polygon in pixels, on the ellipsoid of the CRS.

        A projection's own areas are not the ground's: those of EPSG:3857 are
        too large by 1 / cos(latitude)^2. Without a CRS the result is square
        pixels. (C. F. F. Karney, Algorithms for geodesics, 2013, in PROJ.)
        """
        if self.crs is None:
            return polygon.area
        # The sides of the CRS are no geodesics, except where they are short.
        short = shapely.segmentize(polygon, _LONGEST)
        on_crs = affinity.affine_transform(orient(short), self._matrix)
        degrees = shapely.transform(on_crs, self._degrees)
        return abs(self._globe.geometry_area_perimeter(degrees)[0])

    def place(self, x, y):
        """(longitude, latitude) of a pixel coordinate; None without a CRS."""
        if self.crs is None:
            return None
        point = affinity.affine_transform(shapely.Point(x, y), self._matrix)
        at = shapely.transform(point, self._degrees)
        return at.x, at.y


def named_ground(crs, transform):
    """The ``Ground`` for GeoJSON, whose CRS needs a registered name.

    Others become longitude and latitude.
    """
    ground = Ground(crs, transform)
    unnamed = ground.crs is not None and ground.member is None
    return Ground(crs, transform, True) if unnamed else ground


def _transformer(source, target):
    """A function that moves N x 2 coordinates, x or longitude first."""
    move = pyproj.Transformer.from_crs(source, target, always_xy=True)
    return lambda points: np.column_stack(move.transform(*points.T))
