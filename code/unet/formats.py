"""The annotation files of other tools, read into instances.

Each reader turns one file's content into ``{image name: Annotation}``. To add
a format write a reader and add it to ``FORMATS`` with the test that recognises
its content; nothing else needs to know.
"""

import json
import re
import warnings
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import rasterio
import shapely
from pycocotools import mask as rle
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError
from rasterio.warp import transform
from shapely import affinity
from shapely.geometry import shape as geometry_of

from unet.annotations import (
    Annotation,
    DrawnMask,
    Instance,
    check_reach,
    image_name,
    parse_article_text,
    read_article_text,
    read_complete_mask,
    split_named_line,
)
from unet.folders import IMAGE_ENDINGS, DataError, natural

_LARGEST_FILE = 2**30  # bytes; more is no annotation file
_LARGEST_IMAGE = 2**30  # pixels of a run-length encoded mask
_LARGEST_UNPACKED = 2**30  # bytes of a spreadsheet without compression
_FARTHEST_PLACE = 1e9  # metres, feet or degrees
_LEFT_OUT = "line or point left out"
_UNKNOWN = "shape of unknown kind left out"
_LINES = ("line", "linestrip", "points", "point", "polyline")
_OUTSIDE = "polygon outside its image left out"
# What damaged content makes of a reader that expects it whole.
_DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    shapely.errors.ShapelyError,
)
# Names alone: GDAL would also open a file or an address that is called so.
_CRS_NAME = re.compile(
    r"(https?://www\.opengis\.net/def/crs/[\w./-]+|[A-Za-z][\w.-]*:[\w.:-]+)"
)
# Where a file may name a class in several ways, in this order.
_CLASS_KEYS = ("class", "label", "category", "class_name")
_VIA_KEYS = ("name", "type")
_IMAGE_KEYS = ("image", "imageid", "image_id", "filename", "file_name", "file")


@dataclass(frozen=True)
class Format:
    """A kind of annotation file.

    Attributes:
        endings: of its files' names.
        recognises: function of the content (a parsed JSON file, or else the
            path).
        read: function (content, path, attribute) that returns
            ``{image name: Annotation}``; ``attribute`` names what holds the
            class, or is None.
    """

    endings: tuple[str, ...]
    recognises: Callable
    read: Callable


def read_file(path, kind=None, attribute=None):
    """Read an annotation file of any format.

    Args:
        path: the file.
        kind: a key of ``FORMATS``; None recognises the format by the content.
        attribute: name of the attribute, property or column that holds the
            class, where a format leaves that open.

    Returns:
        dict from image name to ``Annotation``.

    Raises:
        DataError: the file cannot be understood.
    """
    path = Path(path)
    _check_size(path)
    content = _parse_json(path) if path.suffix.lower() in _JSON else path
    if kind is None:
        kind = next(
            (
                name
                for name, known in FORMATS.items()
                if path.suffix.lower() in known.endings
                and (content is path or isinstance(content, dict))
                and known.recognises(content)
            ),
            None,
        )
    if kind is None:
        raise DataError(
            f"{path}: expected an annotation file of a known format "
            f"({', '.join(FORMATS)}), found none of them. Export it again, "
            "or name the format with --format."
        )
    try:
        return FORMATS[kind].read(content, path, attribute)
    except DataError:
        raise
    except _DAMAGE as error:
        reason = _shortened(f"{type(error).__name__}: {error}")
        raise DataError(
            f"{path}: expected {kind} annotations, found something that does "
            f"not read as such ({reason}). Export the file again."
        ) from None


def _check_size(path):
    """Refuse a file that is missing or too large to be annotations."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}.") from None
    if size > _LARGEST_FILE:
        raise DataError(
            f"{path}: expected at most {_LARGEST_FILE >> 20} MiB, found "
            f"{size >> 20} MiB. Divide the file."
        )


def _shortened(text):
    """A reason as one line of bounded length."""
    text = " ".join(str(text).split()).rstrip(".")
    return text if len(text) <= 120 else text[:117] + "..."


def _parse_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: expected a JSON file: {_shortened(error)}. Export it "
            "again."
        ) from None


def annotation_files(source):
    """The annotation files that a path names, naturally sorted.

    Raises:
        DataError: there is none.
    """
    source = Path(source)
    candidates = [source]
    if source.is_dir():
        candidates = sorted(source.iterdir(), key=lambda p: natural(p.name))
    endings = {end for known in FORMATS.values() for end in known.endings}
    files = [
        path
        for path in candidates
        if path.suffix.lower() in endings
        and not path.name.startswith(".")
        and path.is_file()
    ]
    if not files:
        raise DataError(
            f"{source}: expected annotations (formats: {', '.join(FORMATS)}), "
            "found none. Check the path."
        )
    return files


def _polygon(points):
    """A polygon from points; None for fewer than three different ones."""
    points = [tuple(point[:2]) for point in np.asarray(points, float).tolist()]
    if len(set(points)) < 3:
        return None
    return shapely.Polygon(points)


def _add(annotation, geometry, label):
    """Add an instance, or count why it is none."""
    if geometry is None:
        annotation.repairs["ring of fewer than three points left out"] += 1
        return
    if annotation.crs is None:
        check_reach(geometry, annotation.source)
    annotation.instances.append(Instance(geometry, _clean(label)))


def _clean(label):
    """A label without stray whitespace; None if nothing is left."""
    if label is None:
        return None
    text = str(label).encode("utf-8", "replace").decode()
    return " ".join(text.split()) or None


def _find_key(keys, wanted):
    """The key that is called like one of the wanted names, or None."""
    lower = {str(key).strip().lower(): key for key in keys}
    return next((lower[name] for name in wanted if name in lower), None)


# labelme -------------------------------------------------------------------


def read_labelme(data, path, attribute):
    """labelme JSON 3.x to 5.x; shapes of one group and label are one object.

    labelme shows images upright, so its points fit images as we read them.
    """
    annotation = Annotation(path)
    groups = {}
    for number, one in enumerate(data["shapes"]):
        kind = one.get("shape_type") or "polygon"
        geometry = _labelme_geometry(kind, one["points"])
        if geometry is False:
            annotation.repairs[_why_left_out(kind)] += 1
            continue
        group = one.get("group_id")
        key = (one["label"], f"group {group}" if group is not None else number)
        groups.setdefault(key, []).append(geometry)
    for (label, _), parts in groups.items():
        _add(annotation, _together(parts), label)
    own = str(data.get("imagePath") or path.stem).replace("\\", "/")
    return {image_name(own): annotation}


def _why_left_out(kind):
    return _LEFT_OUT if kind in _LINES else _UNKNOWN


def _labelme_geometry(kind, points):
    """A shape's geometry; None if it has too few points, False if none."""
    if kind == "polygon":
        return _polygon(points)
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points
        return shapely.box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    if kind == "circle":
        (x0, y0), (x1, y1) = points
        return _ellipse(x0, y0, *[np.hypot(x1 - x0, y1 - y0)] * 2)
    return False


def _ellipse(x, y, rx, ry, degrees=0.0):
    circle = shapely.Point(0, 0).buffer(1, quad_segs=32)
    turned = affinity.rotate(
        affinity.scale(circle, rx, ry, origin=(0, 0)), degrees, origin=(0, 0)
    )
    return affinity.translate(turned, x, y)


def _together(parts):
    """One geometry of several polygons, which may overlap; None of none.

    They are not united: that takes for ever where somebody scribbled.
    """
    known = [part for part in parts if part is not None]
    if len(known) < 2:
        return known[0] if known else None
    return shapely.MultiPolygon(known)


# COCO ----------------------------------------------------------------------


def read_coco(data, path, attribute):
    """COCO JSON: polygons, run-length encoded masks, or boxes."""
    labels = {one["id"]: one["name"] for one in data.get("categories", [])}
    annotations, images = {}, {}
    for image in data["images"]:
        name = image_name(str(image["file_name"]).replace("\\", "/"))
        if name in annotations:
            raise DataError(
                f"{path}: lists two images called {name}; annotations are "
                "paired by name. Rename one."
            )
        annotations[name] = Annotation(path)
        images[image["id"]] = (name, image.get("height"), image.get("width"))
    for one in data.get("annotations", []):
        if one["image_id"] not in images:
            raise DataError(
                f"{path}: annotation {one.get('id')} belongs to image "
                f"{one['image_id']}, which the file does not list. Export it "
                "again."
            )
        name, height, width = images[one["image_id"]]
        annotation = annotations[name]
        label = labels.get(one.get("category_id"))
        if one.get("iscrowd"):
            annotation.repairs["crowd read as one object"] += 1
        segmentation = one.get("segmentation")
        if isinstance(segmentation, dict):
            packed = _packed(segmentation, height, width, path)
            annotation.instances.append(DrawnMask(packed, _clean(label), path))
        elif segmentation:
            parts = [
                _polygon(np.reshape(flat, (-1, 2))) for flat in segmentation
            ]
            _add(annotation, _together(parts), label)
        else:
            x, y, w, h = one["bbox"]
            annotation.repairs["box used, there is no polygon"] += 1
            _add(annotation, shapely.box(x, y, x + w, y + h), label)
    return annotations


def _packed(segmentation, height, width, path):
    """A COCO run-length encoded mask, checked and compressed."""
    size = [int(n) for n in segmentation["size"]]
    if size != [height, width] or not 0 < height * width <= _LARGEST_IMAGE:
        raise DataError(
            f"{path}: expected a mask of the size of its image, {height} x "
            f"{width}, found {size[0]} x {size[1]}. Export the file again."
        )
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if min(counts, default=0) < 0 or sum(counts) != height * width:
            raise DataError(
                f"{path}: expected runs that add up to {height * width} "
                f"pixels, found {sum(counts)}. Export the file again."
            )
        return rle.frPyObjects({"size": size, "counts": counts}, *size)
    if _covered(counts.encode("ascii")) != height * width:
        raise DataError(
            f"{path}: expected a run-length code of {height * width} pixels, "
            "found another or a damaged one. Export the file again."
        )
    return {"size": size, "counts": counts}


def _covered(code):
    """How many pixels a compressed run-length code covers; -1 if damaged.

    pycocotools leaves what a short code does not cover to chance.
    """
    counts, value, bits = [], 0, 0
    for sign in code:
        piece = sign - 48
        if not 0 <= piece < 64 or bits > 60:
            return -1
        value |= (piece & 31) << bits
        bits += 5
        if piece & 32:
            continue
        if piece & 16:
            value -= 1 << bits
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = bits = 0
    return -1 if bits or min(counts, default=0) < 0 else sum(counts)


# VGG Image Annotator ---------------------------------------------------------


def read_via(data, path, attribute):
    """VIA JSON 1.x and 2.x, a project or its annotations."""
    annotations = {}
    for entry in data.get("_via_img_metadata", data).values():
        name = image_name(str(entry["filename"]).replace("\\", "/"))
        annotation = annotations.setdefault(name, Annotation(path))
        regions = entry.get("regions") or []
        for region in (
            regions.values() if hasattr(regions, "values") else regions
        ):
            label = via_label(region.get("region_attributes") or {}, attribute)
            _add_via(annotation, region["shape_attributes"], label)
    return annotations


def _add_via(annotation, shape, label):
    geometry = via_geometry(shape)
    if geometry is False:
        annotation.repairs[_why_left_out(shape.get("name"))] += 1
    else:
        _add(annotation, geometry, label)


def via_geometry(one):
    """A VIA shape's geometry; None if too few points, False if no area."""
    kind = one.get("name")
    if kind == "polygon":
        x, y = one["all_points_x"], one["all_points_y"]
        return _polygon(list(zip(x, y, strict=True)))
    if kind == "rect":
        x, y = one["x"], one["y"]
        return shapely.box(x, y, x + one["width"], y + one["height"])
    if kind == "circle":
        return _ellipse(one["cx"], one["cy"], one["r"], one["r"])
    if kind == "ellipse":
        angle = np.degrees(one.get("theta", 0))
        return _ellipse(one["cx"], one["cy"], one["rx"], one["ry"], angle)
    return False


def via_label(attributes, attribute):
    """The class in a region's attributes."""
    key = attribute or _find_key(attributes, (*_CLASS_KEYS, *_VIA_KEYS))
    if key is None:
        key = next(iter(attributes), None)
    value = attributes.get(key)
    if isinstance(value, dict):  # a check box: the first that is ticked
        value = next((name for name, ticked in value.items() if ticked), None)
    return value


# GeoJSON -------------------------------------------------------------------


def read_geojson(data, path, attribute):
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
        key = attribute or _find_key(properties, _CLASS_KEYS)
        shapes = _areas(geometry_of(geometry)) if geometry else []
        if not shapes:
            annotation.repairs[_LEFT_OUT] += 1
        for one in shapes:
            flat = shapely.force_2d(one)
            if not np.isfinite(shapely.get_coordinates(flat)).all():
                raise DataError(
                    f"{path}: expected finite coordinates, found NaN or "
                    "infinity. Remove or correct that feature."
                )
            _add(annotation, flat, properties.get(key))
    return {path.stem: annotation}


def in_pixels(annotation, image, ground=False):
    """Move an annotation from the ground to the pixels of an image.

    Args:
        annotation: with a ``crs``.
        image: path of the image. If it has no place on the ground the
            coordinates are taken for pixels.
        ground: the image is one of several: instances elsewhere are no
            repair, and an image without a place has none.

    Returns:
        An ``Annotation`` without ``crs``; geometry beyond the image is cut.

    Raises:
        DataError: the CRS is unknown, or the image cannot be read.
    """
    try:
        with rasterio.open(image) as raster:
            crs, to_ground, shape = raster.crs, raster.transform, raster.shape
    except RasterioIOError as error:
        raise DataError(f"{image}: {_shortened(error)}.") from None
    placed = Annotation(annotation.source, repairs=annotation.repairs.copy())
    if crs is None:
        for one in [] if ground else annotation.instances:
            check_reach(one.geometry, annotation.source)
            placed.instances.append(one)
        return placed
    moved = _to_crs(annotation, crs, image)
    inverse = (~to_ground).to_shapely()
    frame = shapely.box(0, 0, shape[1], shape[0])
    for one, geometry in zip(annotation.instances, moved, strict=True):
        cut = None
        if _on_earth(geometry):
            geometry = affinity.affine_transform(geometry, inverse)
            cut = _cut(geometry, frame)
        if cut is None:
            placed.repairs[_OUTSIDE] += not ground
            continue
        if cut is not geometry:
            placed.repairs["polygon cut at the border of its image"] += 1
        check_reach(cut, annotation.source)
        placed.instances.append(Instance(cut, one.label))
    placed.repairs += Counter()  # drops the zeros
    return placed


def _to_crs(annotation, crs, image):
    """The geometries of an annotation in an image's CRS."""
    try:
        if not _CRS_NAME.fullmatch(annotation.crs):
            raise ValueError("no name such as EPSG:4326")
        known = CRS.from_user_input(annotation.crs)
    except _DAMAGE as error:
        raise DataError(
            f"{annotation.source}: expected places in a coordinate reference "
            f"system that leads to that of {image}, found "
            f"{_shortened(annotation.crs)} ({_shortened(error)}). Correct "
            "the CRS."
        ) from None

    def move(points):
        try:
            return np.column_stack(transform(known, crs, *points.T))
        except Exception:  # GDAL's errors have no public name
            return np.full_like(points, np.inf)

    geometries = [one.geometry for one in annotation.instances]
    if not geometries:
        return []
    moved = shapely.transform(geometries, move)
    if not _on_earth(moved):
        # One point beyond the projection spoils all that go with it.
        moved = [shapely.transform(one, move) for one in geometries]
    return moved


def _on_earth(geometry):
    """Whether a projection could show every point (it gives inf if not)."""
    points = shapely.get_coordinates(geometry)
    return bool((np.abs(points) < _FARTHEST_PLACE).all())


def _cut(geometry, frame):
    """What lies in a frame: the same object if all does, None if nothing."""
    if frame.covers(shapely.envelope(geometry)):
        return geometry
    if not shapely.envelope(geometry).intersects(frame):
        return None
    if not geometry.is_valid:
        return geometry  # drawing cuts it
    parts = shapely.get_parts(_areas(geometry.intersection(frame)))
    return _together(list(parts))


def _areas(geometry):
    """The Polygon and MultiPolygon parts of a geometry that are not empty."""
    if geometry.geom_type == "GeometryCollection":
        return [part for one in geometry.geoms for part in _areas(one)]
    covers = geometry.geom_type in ("Polygon", "MultiPolygon")
    return [geometry] if covers and not geometry.is_empty else []


# Tables ----------------------------------------------------------------------


def read_table(path, _, attribute):
    """A spreadsheet with a column of images and one of polygons.

    Polygons are WKT, lists of points, or VIA's shape attributes; columns are
    found by their names and contents.
    """
    table = _load_table(path)
    image = _find_key(table, _IMAGE_KEYS) or table.columns[0]
    column, parse = _polygon_column(table, path)
    label_of = _label_reader(table, parse, attribute, path)
    annotations = defaultdict(lambda: Annotation(path))
    for number, row in enumerate(table.to_dict("records"), start=2):
        place = f"{path}, line {number}"
        name = image_name(row[image].replace("\\", "/"))
        if not name:
            raise DataError(
                f"{place}: expected the name of an image in the column "
                f"{image}, found nothing. Fill it in."
            )
        annotation = annotations[name]
        if row[column].strip():
            parse(row[column], place, annotation, label_of(row))
    return dict(annotations)


def _load_table(path):
    try:
        if path.suffix.lower() == ".xlsx":
            _check_unpacked(path)
            table = pd.read_excel(path, dtype=str, keep_default_na=False)
        else:
            with warnings.catch_warnings():
                # Rows longer than the heading: pandas would drop the rest.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                table = pd.read_csv(
                    path,
                    sep=_separator(path),
                    dtype=str,
                    keep_default_na=False,
                    index_col=False,
                    encoding="utf-8-sig",
                )
    except DataError:
        raise
    # The libraries underneath raise whatever a damaged file leads them to.
    except Exception as error:
        reason = _shortened(f"{type(error).__name__}: {error}")
        raise DataError(
            f"{path}: expected a table ({reason}). Save it again."
        ) from None
    table.columns = table.columns.map(str)
    return table.fillna("").astype(str)


def _check_unpacked(path):
    """Refuse a spreadsheet that would fill the memory."""
    with zipfile.ZipFile(path) as file:
        size = sum(one.file_size for one in file.infolist())
    if size > _LARGEST_UNPACKED:
        raise DataError(
            f"{path}: expected at most {_LARGEST_UNPACKED >> 20} MiB without "
            f"compression, found {size >> 20} MiB. Divide the file."
        )


def _separator(path):
    """What separates the columns: the most frequent sign in the heading."""
    with path.open(encoding="utf-8-sig") as file:
        heading = file.readline()
    return max(",\t;|", key=heading.count)


def _polygon_column(table, path):
    """The column that holds polygons, and how to read it.

    Where several do, one whose name says pixels is taken.
    """
    found = []
    for column in table:
        text = next((t for t in table[column] if t.strip()), "").strip()
        if text.upper().startswith(("POLYGON", "MULTIPOLYGON")):
            found.append((column, _add_wkt))
        elif text.startswith("["):
            found.append((column, _add_list))
        elif text.startswith("{") and "shape" in column:
            found.append((column, _add_via_cell))
    if not found:
        raise DataError(
            f"{path}: expected a column of polygons (WKT, [[x, y], ...] or "
            f"VIA shapes), found the columns {_shortened(', '.join(table))}. "
            "Check the file."
        )
    return next((f for f in found if "pix" in f[0].lower()), found[0])


def _label_reader(table, parse, attribute, path):
    """A function that returns the class of a table's row."""
    if parse is _add_via_cell and "region_attributes" in table:
        return lambda row: via_label(
            json.loads(row["region_attributes"] or "{}"), attribute
        )
    if attribute and attribute not in table:
        raise DataError(
            f"{path}: expected a column {attribute}, found "
            f"{_shortened(', '.join(table))}. Correct --attribute."
        )
    column = attribute or _find_key(table, _CLASS_KEYS)
    return lambda row: row[column] if column else None


def _add_wkt(text, place, annotation, label):
    try:
        geometry = shapely.force_2d(shapely.from_wkt(text))
    except shapely.errors.ShapelyError as error:
        raise DataError(
            f"{place}: expected WKT such as POLYGON ((0 0, 4 0, 4 3, 0 0)): "
            f"{_shortened(error)}. Correct it."
        ) from None
    shapes = _areas(geometry)
    if not shapes and not geometry.is_empty:
        annotation.repairs[_LEFT_OUT] += 1
    for one in shapes:
        check_reach(one, place)
        _add(annotation, one, label)


def _add_list(text, place, annotation, label):
    one = parse_article_text(text, place)
    annotation.repairs += one.repairs
    for instance in one.instances:
        _add(annotation, instance.geometry, label)


def _add_via_cell(text, place, annotation, label):
    shape = json.loads(text)
    if shape:
        _add_via(annotation, shape, label)


def _is_article_text(path):
    """Whether a text file is a list, or has lines NAME, list."""
    if path.suffix.lower() == ".txt":
        return True
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        head = [file.readline(), file.readline()]
    return head[0].lstrip()[:1] in ("[", "(") or any(
        split_named_line(line)[0] and '"' not in line and "{" not in line
        and "POLYGON" not in line.upper()
        for line in head
    )  # fmt: skip


_JSON = (".json", ".geojson")
_TEXT = (".txt", ".csv", ".tsv")
FORMATS = {
    "labelme": Format(_JSON, lambda data: "shapes" in data, read_labelme),
    "coco": Format(
        _JSON,
        lambda data: {"images", "annotations"} <= set(data),
        read_coco,
    ),
    "geojson": Format(
        _JSON,
        lambda data: (
            isinstance(data, dict)
            and data.get("type")
            in ("FeatureCollection", "Feature", "Polygon", "MultiPolygon")
        ),
        read_geojson,
    ),
    "via": Format(
        _JSON,
        lambda data: (
            isinstance(data, dict)
            and (
                "_via_img_metadata" in data
                or (
                    bool(data)
                    and all(
                        isinstance(one, dict) and "filename" in one
                        for one in data.values()
                    )
                )
            )
        ),
        read_via,
    ),
    "article": Format(
        _TEXT,
        _is_article_text,
        lambda path, _, attribute: read_article_text(path),
    ),
    "table": Format((".csv", ".tsv", ".xlsx"), lambda path: True, read_table),
    "masks": Format(
        IMAGE_ENDINGS,
        lambda path: True,
        lambda path, _, attribute: read_complete_mask(path),
    ),
}
