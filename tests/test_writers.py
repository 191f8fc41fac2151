"""unet.annotations.coco: what is written is read back as the same masks."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from pycocotools.coco import COCO
from rasterio.crs import CRS
from rasterio.transform import from_origin

from test_polygons import blobs, iou
from unet.annotations.article import split_rings
from unet.annotations.formats import WRITERS
from unet.annotations.placing import from_shares, in_pixels
from unet.annotations.reading import annotation_files, read_file
from unet.annotations.writing import AnnotatedImage
from unet.files.errors import DataError
from unet.files.folders import CLASSES
from unet.geometry.keyhole import keyhole
from unet.geometry.polygons import class_outlines, outlines
from unet.imagery.png import write_png
from unet.imagery.stored import stored_as

SEVERAL = [name for name in WRITERS if name != "article"]
ENDINGS = {
    "article": "a.txt",
    "labelme": "a.json",
    "coco": "annotations.json",
    "geojson": "a.geojson",
    "via": "via_project.json",
    "cvat": "annotations.xml",
    "label-studio": "tasks.json",
    "yolo": "a.txt",
}


def write(kind, out, images, classes):
    """Write images in a format; returns the files."""
    writer = WRITERS[kind](out, classes)
    for one in images:
        writer.add(one)
    writer.close()
    return writer.files([one.name for one in images])


def annotating(files):
    """These files without those that name the classes."""
    return [file for file in files if file.name != CLASSES]


def plain_image(path, shape):
    write_png(path, np.zeros((*shape, 3), np.uint8))
    return path


def read_back(path, image):
    """The instances of a file of one image."""
    ((name, annotation),) = read_file(path).items()
    assert name == image.stem
    if annotation.crs:
        annotation = in_pixels(annotation, image)
    return from_shares(annotation, stored_as(image).shape).instances


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("smooth", [0.5, 2, 5])
def test_instances_are_read_back_exactly(tmp_path, kind, smooth):
    mask = blobs(1, smooth)
    image = plain_image(tmp_path / "a.png", mask.shape)
    found = outlines(mask, label="building")
    files = write(
        kind,
        tmp_path / "out",
        [AnnotatedImage("a", image, mask.shape, found)],
        ["building"],
    )
    (path,) = annotating(files)
    assert path == tmp_path / "out" / ENDINGS[kind]
    assert annotation_files(tmp_path / "out") == [path]
    read = read_back(path, image)
    total = np.zeros(mask.shape, bool)
    for one, written in zip(read, found, strict=True):
        assert one.label == (None if kind == "article" else "building")
        assert (one.mask(mask.shape) == written.mask(mask.shape)).all()
        total |= one.mask(mask.shape)
    assert iou(total, mask) >= 0.995


@pytest.mark.parametrize("kind", SEVERAL)
def test_classes_are_kept(tmp_path, kind):
    ids = np.zeros((30, 40), np.uint8)
    ids[2:20, 3:15], ids[8:12, 6:10], ids[5:25, 20:38] = 2, 1, 1
    image = plain_image(tmp_path / "a.png", ids.shape)
    found = class_outlines(ids, ["grüne Wiese", "road"])
    files = write(
        kind,
        tmp_path / "out",
        [AnnotatedImage("a", image, ids.shape, found)],
        ["grüne Wiese", "road"],
    )
    (path,) = annotating(files)
    read = read_back(path, image)
    assert [one.label for one in read] == ["grüne Wiese"] * 2 + ["road"]
    again = np.zeros_like(ids)
    for one in read:
        number = ["grüne Wiese", "road"].index(one.label) + 1
        again[one.mask(ids.shape)] = number
    assert (again == ids).all()


@pytest.mark.parametrize("kind", WRITERS)
def test_an_image_without_instances_is_known_to_have_none(tmp_path, kind):
    image = plain_image(tmp_path / "a.png", (8, 9))
    files = write(
        kind,
        tmp_path / "out",
        [AnnotatedImage("a", image, (8, 9), [])],
        ["roof"],
    )
    (path,) = annotating(files)
    assert read_back(path, image) == []


@pytest.mark.parametrize("kind", WRITERS)
def test_several_images(tmp_path, kind):
    images, masks = [], {}
    for number, name in enumerate(["a", "b"]):
        masks[name] = blobs(number, 4, (40, 50 + number))
        path = plain_image(tmp_path / f"{name}.png", masks[name].shape)
        found = outlines(masks[name], label="roof")
        images.append(AnnotatedImage(name, path, masks[name].shape, found))
    files = write(kind, tmp_path / "out", images, ["roof"])
    assert sorted(map(str, (tmp_path / "out").iterdir())) == sorted(
        {str(file) for file in files}
    )
    read = {}
    for file in set(annotating(files)):
        read |= read_file(file)
    assert sorted(read) == ["a", "b"]
    for name, annotation in read.items():
        annotation = from_shares(annotation, masks[name].shape)
        total = np.zeros(masks[name].shape, bool)
        for one in annotation.instances:
            total |= one.mask(total.shape)
        assert iou(total, masks[name]) >= 0.995


def test_the_articles_text_has_one_class(tmp_path):
    with pytest.raises(DataError, match=r"one class.* road, roof.* labelme"):
        WRITERS["article"](tmp_path, ["road", "roof"])


def test_the_articles_text_is_points_of_closed_rings(tmp_path):
    mask = np.zeros((9, 30), bool)
    mask[2:8, 3:9] = mask[2:8, 15:27] = True
    image = plain_image(tmp_path / "a.png", mask.shape)
    (path,) = write(
        "article",
        tmp_path,
        [AnnotatedImage("a", image, mask.shape, outlines(mask))],
        ["roof"],
    )
    points = json.loads(path.read_text())
    rings, repairs = split_rings(points)
    assert [len(ring) for ring in rings] == [4, 4]
    assert not repairs
    assert points[0] == points[4]


def test_labelme_finds_the_image_from_its_file(tmp_path):
    mask = np.zeros((20, 30), bool)
    mask[3:15, 4:20] = True
    mask[6:9, 7:12] = False
    image = plain_image(tmp_path / "in" / "images" / "a.png", mask.shape)
    found = outlines(mask, label="r", probability=mask)
    (path,) = write(
        "labelme",
        tmp_path / "out" / "annotations",
        [AnnotatedImage("a", image, mask.shape, found)],
        ["r"],
    )
    data = json.loads(path.read_text())
    assert data["imagePath"] == "../../in/images/a.png"
    assert (path.parent / data["imagePath"]).resolve() == image.resolve()
    assert (data["imageHeight"], data["imageWidth"]) == (20, 30)
    assert data["imageData"] is None
    assert data["version"].startswith("5.")
    (shape,) = data["shapes"]
    assert shape["shape_type"] == "polygon"
    assert (shape["label"], shape["description"]) == ("r", "1.0000")
    assert {"points", "group_id", "flags"} <= set(shape)


def test_coco_loads_with_scores(tmp_path):
    mask = np.zeros((40, 60), bool)
    mask[5:15, 5:25] = mask[20:38, 10:40] = True
    mask[25:30, 20:30] = False
    image = plain_image(tmp_path / "a.png", mask.shape)
    found = outlines(mask, label="roof", probability=np.full(mask.shape, 0.75))
    (path,) = write(
        "coco",
        tmp_path / "out",
        [AnnotatedImage("a", image, mask.shape, found)],
        ["road", "roof"],
    )
    coco = COCO(path)
    assert coco.loadImgs(1)[0]["file_name"] == "a.png"
    assert [one["name"] for one in coco.loadCats([1, 2])] == ["road", "roof"]
    solid, pierced = coco.loadAnns(coco.getAnnIds())
    for one in (solid, pierced):
        assert one["score"] == 0.75
        assert (one["category_id"], one["iscrowd"]) == (2, 0)
    assert isinstance(solid["segmentation"], list)
    assert solid["bbox"] == pytest.approx([5, 5, 20, 10], abs=0.2)
    assert solid["area"] == pytest.approx(200, abs=2)
    assert pierced["bbox"] == [10, 20, 30, 18]
    assert pierced["area"] == 18 * 30 - 50
    assert (coco.annToMask(pierced) == found[1].mask(mask.shape)).all()


CUSTOM = "+proj=tmerc +lat_0=27.6 +lon_0=85.5 +k=1 +datum=WGS84 +units=m"


@pytest.mark.parametrize(
    ("crs", "origin", "pixel", "name"),
    [
        ("EPSG:32645", (349000, 3061000), 0.15, "EPSG::32645"),
        ("EPSG:3857", (9519926.12, 3202940.8), 0.15, "EPSG::3857"),
        ("EPSG:4326", (85.51, 27.63), 1.5e-6, "OGC:1.3:CRS84"),
        (CUSTOM, (120, 900), 0.15, "OGC:1.3:CRS84"),
    ],
)
def test_geojson_lies_on_the_ground(tmp_path, crs, origin, pixel, name):
    mask = blobs(2, 3)
    image = tmp_path / "a.tif"
    with rasterio.open(
        image, "w", driver="GTiff", width=mask.shape[1], height=mask.shape[0],
        count=3, dtype="uint8", crs=CRS.from_user_input(crs),
        transform=from_origin(*origin, pixel, pixel),
    ):  # fmt: skip
        pass
    found = outlines(mask, label="roof", probability=mask * 0.8)
    (path,) = write(
        "geojson",
        tmp_path / "out",
        [AnnotatedImage("a", image, mask.shape, found)],
        ["roof"],
    )
    data = json.loads(path.read_text())
    assert data["crs"]["properties"]["name"] == f"urn:ogc:def:crs:{name}"
    first = data["features"][0]
    assert first["properties"] == {"class": "roof", "score": 0.8}
    for feature in data["features"]:
        outer, *holes = feature["geometry"]["coordinates"]
        assert shapely.LinearRing(outer).is_ccw
        assert not any(shapely.LinearRing(hole).is_ccw for hole in holes)
    for one, written in zip(read_back(path, image), found, strict=True):
        read, wanted = one.mask(mask.shape), written.mask(mask.shape)
        # A pixel whose centre lies on the outline may fall to either side.
        assert (read ^ wanted).sum() <= 1
    if name == "EPSG::32645":
        x, y = np.array(first["geometry"]["coordinates"][0]).T
        assert 349000 <= x.min() <= x.max() <= 349000 + 110 * pixel
        assert 3061000 - 90 * pixel <= y.min() <= y.max() <= 3061000


def test_via_names_the_class_and_the_score(tmp_path):
    mask = np.ones((5, 6), bool)
    image = plain_image(tmp_path / "a.png", mask.shape)
    found = outlines(mask, label="roof", probability=mask)
    (path,) = write(
        "via",
        tmp_path / "out",
        [AnnotatedImage("a", image, mask.shape, found)],
        ["roof"],
    )
    data = json.loads(path.read_text())
    size = image.stat().st_size
    entry = data["_via_img_metadata"][f"a.png{size}"]
    assert (entry["filename"], entry["size"]) == ("a.png", size)
    (region,) = entry["regions"]
    assert region["region_attributes"] == {"class": "roof", "score": "1.0000"}
    assert data["_via_attributes"]["region"]["class"]["options"] == {"roof": ""}
    assert data["_via_image_id_list"] == [f"a.png{size}"]


@pytest.mark.parametrize("seed", range(3))
def test_keyholes_cover_what_their_polygons_cover(seed):
    mask = blobs(seed, 0.7)
    pierced = [one for one in outlines(mask) if len(one.geometry.interiors) > 0]
    assert max(len(one.geometry.interiors) for one in pierced) > 20
    for one in pierced:
        ring = keyhole(one.geometry)
        assert ring.count(ring[0]) == 1
        (read,), repairs = split_rings([*ring, ring[0]])
        assert len(read) == len(ring)
        assert not repairs
        assert shapely.Polygon(ring).area == pytest.approx(one.geometry.area)


def test_a_hole_that_touches_the_outline_gets_a_keyhole_too():
    polygon = shapely.Polygon(
        [(0, 0), (9, 0), (9, 9), (0, 9)], [[(0, 0), (5, 2), (2, 5)]]
    )
    ring = keyhole(polygon)
    (read,), _ = split_rings([*ring, ring[0]])
    assert shapely.Polygon(read).area == polygon.area


def test_nothing_is_half_written(tmp_path, monkeypatch):
    image = plain_image(tmp_path / "a.png", (5, 6))
    record = AnnotatedImage("a", image, (5, 6), outlines(np.ones((5, 6), bool)))

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write("labelme", tmp_path / "out", [record], ["roof"])
    assert list((tmp_path / "out").iterdir()) == []
