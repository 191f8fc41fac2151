"""The annotation files of other tools, read into instances.

Each reader turns one file's content into ``{image name: Annotation}``. To add
a format write a reader and add it to ``FORMATS`` with the test that recognises
its content; nothing else needs to know.
"""

import base64
import json
import os
import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
import shapely
from pycocotools import mask as rle
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError
from rasterio.warp import transform
from shapely import affinity
from shapely.geometry import shape as geometry_of

from unet.annotations import (
    NO_RULES,
    Annotation,
    DrawnMask,
    Instance,
    annotation_of_points,
    check_reach,
    image_name,
    image_of,
    packed_of,
    read_article_text,
    split_named_line,
)
from unet.complete import read_complete_mask
from unet.cvat import parse_xml, read_cvat
from unet.folders import CLASSES, IMAGE_ENDINGS, DataError, natural
from unet.images import values_from
from unet.shapes import (
    CLASS_KEYS,
    LEFT_OUT,
    add,
    areas,
    clean,
    ellipse,
    find_key,
    leave_out,
    polygon,
    shortened,
    together,
)
from unet.tables import read_table
from unet.via import is_via, read_via

# What tools put beside annotations; no image's annotation.
_NAMES_OF_CLASSES = (CLASSES, "class_names.txt", "labelmap.txt", "labels.txt")
_HAIR = 0.01  # pixels: what moving to and from the ground may cost
_FARTHEST_PLACE = 1e9  # metres, feet or degrees
_OUTSIDE = "polygon outside its image left out"
_ELSEWHERE = "polygon outside all images left out"
_EMPTY = "image among the annotated ones without a feature, taken for empty"
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


@dataclass(frozen=True)
class Format:
    """A kind of annotation file.

    Attributes:
        endings: of its files' names.
        recognises: function of the content (parsed JSON or XML, or else the
            path).
        read: function (content, path, rules) that returns
            ``{image name: Annotation}``; see ``unet.annotations.Rules``.
    """

    endings: tuple[str, ...]
    recognises: Callable
    read: Callable


def read_file(path, kind=None, rules=NO_RULES):
    """Read an annotation file of any format.

    Args:
        path: the file.
        kind: a key of ``FORMATS``; None recognises the format by the content.
        rules: what the file leaves open.

    Returns:
        dict from image name to ``Annotation``.

    Raises:
        DataError: the file cannot be understood, points out of the given
            directories, or exceeds a limit.
    """
    path = Path(path)
    _check_size(path, rules.limits.mebibytes)
    content = _content(path)
    if kind is None:
        kind = next(
            (
                name
                for name, known in FORMATS.items()
                if path.suffix.lower() in known.endings
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
        found = FORMATS[kind].read(content, path, rules)
    except DataError:
        raise
    except _DAMAGE as error:
        reason = shortened(f"{type(error).__name__}: {error}")
        raise DataError(
            f"{path}: expected {kind} annotations, found something that does "
            f"not read as such ({reason}). Export the file again."
        ) from None
    _check_points(found, path, rules.limits.points)
    return found


def _content(path):
    """A file's parsed JSON or XML; of any other kind the path itself."""
    ending = path.suffix.lower()
    if ending in _JSON:
        return _parse_json(path)
    return parse_xml(path) if ending == ".xml" else path


def _check_size(path, most):
    """Refuse a file that is missing or too large to be annotations."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}.") from None
    if size > most << 20:
        raise DataError(
            f"{path}: expected at most {most} MiB, found {size >> 20} MiB. "
            "Divide the file, or raise the bound with --max-file."
        )


def _check_points(found, path, most):
    """Refuse more points than people draw: they would take for ever."""
    count = sum(
        shapely.get_num_coordinates(one.geometry)
        for annotation in found.values()
        for one in annotation.instances
        if isinstance(one, Instance)
    )
    if count > most:
        raise DataError(
            f"{path}: expected at most {most} points, found {count}. Simplify "
            "the polygons or divide the file, or raise the bound with "
            "--max-points."
        )


def _parse_json(path):
    try:
        return json.loads(path.read_bytes())  # UTF-8, 16 or 32
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: expected a JSON file: {shortened(error)}. Export it "
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
        and (path == source or path.name.lower() not in _NAMES_OF_CLASSES)
        and path.is_file()
    ]
    if not files:
        raise DataError(
            f"{source}: expected annotations (formats: {', '.join(FORMATS)}), "
            "found none. Check the path."
        )
    return files


def read_annotations(sources, images, kind, rules, progress):
    """Read all annotations that belong to images.

    Args:
        sources: files and directories.
        images: of ``unet.annotations.find_images``.
        kind: a key of ``FORMATS``, or None.
        rules: what the files leave open.
        progress: function (iterable, total, title) that shows a bar.

    Returns:
        dict from image name to ``Annotation``. A file that cannot be
        understood counts as the annotation of the image that it is called
        like, with an error: its image is not unlabelled.

    Raises:
        DataError: there is no annotation, one that belongs to no image cannot
            be understood, or two belong to one image.
    """
    # Annotations may lie beside the images.
    own = {path for paths in images.values() for path in paths}
    paths = [
        path
        for source in sources
        for path in annotation_files(source)
        if path not in own
    ]
    annotations = {}
    read = partial(_read_one, kind, rules, images)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(read, paths)
        for path, found in zip(
            paths,
            progress(results, len(paths), "Reading annotations"),
            strict=True,
        ):
            for name, annotation in found.items():
                if name in annotations:
                    raise DataError(
                        f"{path}: annotates {name}, which "
                        f"{annotations[name].source} does as well. Give one "
                        "of the two."
                    )
                annotations[name] = annotation
    return annotations


def pair_the_only_ones(images, annotations):
    """One image and one annotation belong together, whatever their names.

    Args:
        images: by name.
        annotations: by the name that they give to their image.

    Returns:
        The annotations by the name of the image.
    """
    if len(images) != 1 or len(annotations) != 1:
        return annotations
    (name,), ((other, annotation),) = images, annotations.items()
    if other != name:
        what = f"annotation of {other} taken for the only image, {name}"
        annotation.repairs[what] += 1
    return {name: annotation}


def _read_one(kind, rules, images, path):
    """Annotations of one file, by image name."""
    try:
        return dict(placed(read_file(path, kind, rules), images))
    except DataError as error:
        if path.stem not in images:
            raise
        return {path.stem: Annotation(path, error=str(error))}


def placed(found, images):
    """Annotations by image name, moved from the ground to pixels.

    A file of places on the ground that is not called like an image is for
    every georeferenced image among them.

    Args:
        found: of ``read_file``.
        images: of ``unet.annotations.find_images``.

    Yields:
        (image name, ``Annotation``).

    Raises:
        DataError: it touches none.
    """
    for name, annotation in found.items():
        if annotation.crs is None:
            yield name, annotation
        elif name in images or len(images) == 1:
            (only,) = [name] if name in images else images
            image = image_of(images[only], annotation)
            yield only, in_pixels(annotation, image)
        else:
            yield from _on_tiles(annotation, images)


def _on_tiles(annotation, images):
    """The parts of an annotation on the ground, by image name."""
    here, seen = {}, set()
    repairs = annotation.repairs
    for name, paths in images.items():
        one = in_pixels(annotation, image_of(paths, None), seen)
        if one:
            one.repairs += repairs
            here[name], repairs = one, Counter()  # counted once
    if not seen:
        raise DataError(
            f"{annotation.source}: expected the name of an image, or places "
            "on georeferenced images, found neither. Call it like its image, "
            "or correct its CRS."
        )
    missed = len(annotation.instances) - len(seen)
    if missed:
        first = next(one for one in here.values() if one.instances)
        first.repairs[_ELSEWHERE] += missed
    return here.items()


# labelme -------------------------------------------------------------------


def read_labelme(data, path, rules):
    """labelme JSON 3.x to 5.x; shapes of one group and label are one object.

    labelme shows images upright, so its points fit images as we read them.
    """
    annotation = Annotation(path, size=_size(data, "imageHeight", "imageWidth"))
    groups = {}
    for number, one in enumerate(data["shapes"]):
        kind = one.get("shape_type") or "polygon"
        if kind == "mask":
            _add_labelme_mask(annotation, one, rules.limits)
            continue
        geometry = _labelme_geometry(kind, one["points"])
        if geometry is False:
            leave_out(annotation, kind)
            continue
        group = one.get("group_id")
        key = (one["label"], f"group {group}" if group is not None else number)
        groups.setdefault(key, []).append(geometry)
    for (label, _), parts in groups.items():
        add(annotation, together(parts), label)
    if data.get("imageData"):
        annotation.picture = partial(_labelme_picture, path)
    own = str(data.get("imagePath") or path.stem)
    annotation.file = own.replace("\\", "/").rpartition("/")[2]
    return {image_name(own, path, rules.directories): annotation}


def _size(data, *keys):
    """(H, W) of an image; None where a file does not say."""
    size = tuple(int(data.get(key) or 0) for key in keys)
    return size if all(size) else None


def _labelme_picture(path):
    """The bytes of the image that a labelme file holds."""
    try:
        return base64.b64decode(_parse_json(path)["imageData"])
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{path}: expected an image in imageData ({shortened(error)}). "
            "Put the image beside the others."
        ) from None


def _add_labelme_mask(annotation, one, limits):
    """Add a mask shape: a PNG and the corner where it lies."""
    picture = base64.b64decode(one["mask"])
    pixels = values_from(picture, annotation.source, limits.pixels)[0] > 0
    left, top = np.rint(np.array(one["points"][0], float)).astype(int).tolist()
    annotation.instances.append(
        DrawnMask(packed_of(pixels), clean(one["label"]), top, left)
    )


def _labelme_geometry(kind, points):
    """A shape's geometry; None if it has too few points, False if none."""
    if kind == "polygon":
        return polygon(points)
    if kind == "rectangle":
        (x0, y0), (x1, y1) = points
        return shapely.box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    if kind == "circle":
        (x0, y0), (x1, y1) = points
        return ellipse(x0, y0, *[np.hypot(x1 - x0, y1 - y0)] * 2)
    return False


# COCO ----------------------------------------------------------------------


def read_coco(data, path, rules):
    """COCO JSON: polygons, run-length encoded masks, or boxes."""
    labels = {one["id"]: one["name"] for one in data.get("categories", [])}
    annotations, images = {}, {}
    for image in data["images"]:
        name = image_name(str(image["file_name"]), path, rules.directories)
        if name in annotations:
            raise DataError(
                f"{path}: lists two images called {name}; annotations are "
                "paired by name. Rename one."
            )
        size = _size(image, "height", "width")
        annotations[name] = Annotation(path, size=size)
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
            packed = _packed(segmentation, height, width, path, rules.limits)
            annotation.instances.append(DrawnMask(packed, clean(label)))
        elif segmentation:
            parts = [
                polygon(np.reshape(flat, (-1, 2))) for flat in segmentation
            ]
            add(annotation, together(parts), label)
        else:
            x, y, w, h = one["bbox"]
            annotation.repairs["box used, there is no polygon"] += 1
            add(annotation, shapely.box(x, y, x + w, y + h), label)
    return annotations


def _packed(segmentation, height, width, path, limits):
    """A COCO run-length encoded mask, checked and compressed."""
    size = [int(n) for n in segmentation["size"]]
    if size != [height, width] or not 0 < height * width <= limits.pixels:
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


# GeoJSON -------------------------------------------------------------------


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
            annotation.repairs[LEFT_OUT] += 1
        for one in shapes:
            flat = shapely.force_2d(one)
            if not np.isfinite(shapely.get_coordinates(flat)).all():
                raise DataError(
                    f"{path}: expected finite coordinates, found NaN or "
                    "infinity. Remove or correct that feature."
                )
            add(annotation, flat, properties.get(key))
    return {path.stem: annotation}


def in_pixels(annotation, image, seen=None):
    """Move an annotation from the ground to the pixels of an image.

    Args:
        annotation: with a ``crs``.
        image: path of the image. If it has no place on the ground the
            coordinates are taken for pixels.
        seen: where the image is one of several, a set: the numbers of the
            instances that lie on it are added; those elsewhere are no repair.

    Returns:
        An ``Annotation`` without ``crs``; geometry beyond the image is cut.
        With ``seen`` None for an image beyond all instances, or without a
        place: nobody looked at it.

    Raises:
        DataError: the CRS is unknown, the image cannot be read, or is the
            only one and all instances lie far away.
    """
    several = seen is not None
    try:
        with rasterio.open(image) as raster:
            crs, to_ground, shape = raster.crs, raster.transform, raster.shape
    except RasterioIOError as error:
        raise DataError(f"{image}: {shortened(error)}.") from None
    placed = Annotation(annotation.source)
    if not several:
        placed.repairs += annotation.repairs
    if crs is None:
        if several:
            return None
        for one in annotation.instances:
            check_reach(one.geometry, annotation.source)
            placed.instances.append(one)
        return placed
    moved = _to_crs(annotation, crs, image)
    inverse = (~to_ground).to_shapely()
    frame = shapely.box(0, 0, shape[1], shape[0])
    extent = _extent(moved, inverse)
    if several and not extent.intersects(frame):
        return None
    if len(moved) and not extent.dwithin(frame, max(shape)):
        raise DataError(
            f"{annotation.source}: expected polygons on {image}, found all "
            f"{len(moved)} far from it in {annotation.crs} (what a file is in "
            "that names no CRS). Correct the CRS, or take the right image."
        )
    for number, one in enumerate(annotation.instances):
        geometry = moved[number]
        cut = None
        if _on_earth(geometry):
            geometry = affinity.affine_transform(geometry, inverse)
            cut = _cut(geometry, frame)
        if cut is None:
            placed.repairs[_OUTSIDE] += not several
            continue
        if several:
            seen.add(number)
        if cut is not geometry:
            placed.repairs["polygon cut at the border of its image"] += 1
        check_reach(cut, annotation.source)
        placed.instances.append(Instance(cut, one.label))
    placed.repairs += Counter()  # drops the zeros
    if several and not placed.instances:
        placed.repairs[_EMPTY] += 1
    return placed


def _extent(geometries, inverse):
    """The box around all geometries that have a place, in pixels.

    An empty geometry where none has.
    """
    known = [one for one in geometries if _on_earth(one)]
    if not known:
        return shapely.Polygon()
    box = shapely.box(*shapely.total_bounds(known))
    return affinity.affine_transform(box, inverse)


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
            f"{shortened(annotation.crs)} ({shortened(error)}). Correct "
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
    if frame.buffer(_HAIR).covers(shapely.envelope(geometry)):
        return geometry
    if not shapely.envelope(geometry).intersects(frame):
        return None
    if not geometry.is_valid:
        return geometry  # drawing cuts it
    parts = shapely.get_parts(areas(geometry.intersection(frame)))
    return together(list(parts))


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


def _is_collection(data):
    kinds = ("FeatureCollection", "Feature", "Polygon", "MultiPolygon")
    return isinstance(data, dict) and data.get("type") in kinds


def _has_objects(content):
    """Whether a list is one of objects, such as COCO's results."""
    return isinstance(content[0] if content else None, dict)


def _read_article(content, path, rules):
    """The article's list, in a text file or as a JSON file of its own."""
    if content is path:
        return read_article_text(path, rules)
    points = annotation_of_points(content, json.dumps(content), path)
    return {path.stem: points}


_JSON = (".json", ".geojson")
_TEXT = (".txt", ".csv", ".tsv")
FORMATS = {
    "labelme": Format(
        _JSON,
        lambda data: isinstance(data, dict) and "shapes" in data,
        read_labelme,
    ),
    "coco": Format(
        _JSON,
        lambda data: (
            isinstance(data, dict) and {"images", "annotations"} <= set(data)
        ),
        read_coco,
    ),
    "geojson": Format(_JSON, _is_collection, read_geojson),
    "via": Format(
        _JSON, lambda data: isinstance(data, dict) and is_via(data), read_via
    ),
    "cvat": Format(
        (".xml",), lambda root: root.tag == "annotations", read_cvat
    ),
    "article": Format(
        (*_TEXT, ".json"),
        lambda content: (
            (isinstance(content, list) and not _has_objects(content))
            or (isinstance(content, Path) and _is_article_text(content))
        ),
        _read_article,
    ),
    "table": Format((".csv", ".tsv", ".xlsx"), lambda path: True, read_table),
    "masks": Format(
        IMAGE_ENDINGS,
        lambda path: True,
        lambda path, _, rules: read_complete_mask(path, rules),
    ),
}
