"""GeoJSON, on the ground or in pixels."""

import numpy as np
import shapely
from shapely.geometry import mapping
from shapely.geometry import shape as geometry_of

from unet.annotations.annotation import Annotation
from unet.annotations.repairs import Repair
from unet.annotations.shapes import CLASS_KEYS, add, areas, find_key
from unet.annotations.writing import Writer, json_text
from unet.files.errors import DataError
from unet.imagery.georeference import named_ground, place_of
from unet.imagery.opening import open_raster


def read_geojson(data, path, rules):
    """GeoJSON in any CRS, or in pixels where the image has no place.

    The annotation is called like the file; where there is no such image it is
    for every image that it touches.
    """
    crs = data.get("crs") or {}
    name = (crs.get("properties") or {}).get("name") or "OGC:CRS84"
    annotation = Annotation(path, crs=name)
    features = data.get("features", [data])
    for feature in features:
        geometry = feature.get("geometry", feature)
        properties = feature.get("properties") or {}
        key = rules.attribute or find_key(properties, CLASS_KEYS)
        shapes = areas(geometry_of(geometry)) if geometry else []
        if not shapes:
            annotation.repairs[Repair.NO_AREA] += 1
        for shape in shapes:
            flat = shapely.force_2d(shape)
            if not np.isfinite(shapely.get_coordinates(flat)).all():
                raise DataError(
                    f"{path}: expected finite coordinates, found NaN or "
                    "infinity. Remove or correct that feature."
                )
            add(annotation, flat, properties.get(key))
    return {path.stem: annotation}


def is_collection(data):
    kinds = ("FeatureCollection", "Feature", "Polygon", "MultiPolygon")
    return isinstance(data, dict) and data.get("type") in kinds


class GeojsonWriter(Writer):
    """NAME.geojson, one feature an instance.

    On an image that has a place on the ground the coordinates are in the
    image's own coordinate reference system, which the file names; systems
    without a registered name give longitude and latitude. On other images
    the coordinates are pixels and "crs" is null.
    """

    ending = ".geojson"

    def _text(self, annotated):
        with open_raster(annotated.image) as raster:
            place = place_of(raster)
        ground = named_ground(place)
        features = []
        for instance in annotated.instances:
            properties = {"class": instance.label}
            if instance.score is not None:
                properties["score"] = round(instance.score, 4)
            geometry = ground.move(instance.geometry)
            features.append(
                {
                    "type": "Feature",
                    "properties": properties,
                    "geometry": mapping(geometry),
                }
            )
        return json_text(
            {
                "type": "FeatureCollection",
                "crs": ground.member,
                "features": features,
            }
        )
