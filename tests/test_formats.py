"""The annotation files of other tools, read into instances."""

import base64
import copy
import io
import json
import math

import numpy as np
import pandas as pd
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as rle
from rasterio.transform import from_origin

from conftest import assert_refused, run_script
from test_label_studio import DOCUMENT as LABEL_STUDIO
from test_label_studio import SHORT as JSON_MIN
from unet.annotations.placing import in_pixels
from unet.annotations.reading import annotation_files, read_file
from unet.annotations.rules import NO_RULES, Limits, Rules
from unet.files.errors import DataError
from unet.imagery.png import write_png
from unet.imagery.reading import image_from

SQUARE = [[1, 1], [5, 1], [5, 5], [1, 5]]
FLAT = [1, 1, 5, 1, 5, 5, 1, 5]
TRIANGLE = [[8, 8], [12, 8], [8, 12]]
CIRCLE = 64 * math.sin(math.pi / 64)  # of radius 1, drawn with 128 corners


def write(path, data):
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def read(tmp_path, data, name="a.json", **options):
    """{image name: ([(area, label), ...], repairs)}."""
    path = write(tmp_path / name, data)
    found = read_file(path, rules=Rules(**options))
    return {key: told(one) for key, one in found.items()}


def told(annotation):
    instances = [
        (round(one.geometry.area, 6), one.label) for one in annotation.instances
    ]
    return instances, dict(annotation.repairs)


def test_files_of_known_endings_are_found_and_sorted(tmp_path):
    for name in ("b10.txt", "b9.TXT", "a.png", "x.docx", ".hidden.txt",
                 "classes.txt", "labelmap.txt"):  # fmt: skip
        (tmp_path / name).touch()
    found = annotation_files(tmp_path)
    assert [path.name for path in found] == ["a.png", "b9.TXT", "b10.txt"]
    assert annotation_files(tmp_path / "a.png") == found[:1]


def test_annotations_that_are_not_there_are_refused(tmp_path):
    (tmp_path / "x.docx").touch()
    for place in (tmp_path, tmp_path / "x.docx", tmp_path / "none"):
        with pytest.raises(DataError, match=f"{place}: expected annotations"):
            annotation_files(place)


# labelme -------------------------------------------------------------------


def labelme(*shapes, **more):
    return {"version": "5.2.1", "shapes": list(shapes), **more}


def shape(points, kind="polygon", label="roof", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


def test_labelme_3_has_no_shape_type(tmp_path):
    one = {"label": " tail ", "points": SQUARE, "fill_color": None}
    data = {"version": "3.6.1", "shapes": [one], "imagePath": "b.jpg"}
    assert read(tmp_path, data) == {"b": ([(16, "tail")], {})}


def test_labelme_5_has_rectangles_circles_and_lines(tmp_path):
    data = labelme(
        shape([[9, 8], [3, 4]], "rectangle"),
        shape([[9, 9], [9, 12]], "circle"),
        shape(SQUARE, "linestrip"),
        shape([[1, 1]], "point"),
        shape(SQUARE, "spline"),
        shape(SQUARE[:2]),
    )
    expected = {
        "line or point left out": 2,
        "shape of unknown kind left out": 1,
        "ring of fewer than three points left out": 1,
    }
    area = round(9 * CIRCLE, 6)
    instances = [(24, "roof"), (area, "roof")]
    assert read(tmp_path, data) == {"a": (instances, expected)}


def test_labelme_shapes_of_one_group_and_label_are_one_object(tmp_path):
    data = labelme(
        shape(SQUARE, group_id=1),
        shape(TRIANGLE, group_id=2),
        shape([[3, 3], [9, 3], [9, 5], [3, 5]], group_id=1),
        shape(TRIANGLE, group_id=1, label="tree"),
        shape(TRIANGLE, group_id=None),
    )
    path = write(tmp_path / "a.json", data)
    both, *others = read_file(path)["a"].instances
    assert [one.label for one in others] == ["roof", "tree", "roof"]
    assert [one.geometry.area for one in others] == [8, 8, 8]
    expected = np.zeros((9, 10), bool)
    expected[1:5, 1:5] = expected[3:5, 3:9] = True  # they overlap
    np.testing.assert_array_equal(both.mask((9, 10)), expected)


@pytest.mark.parametrize(
    "own", ["../given/b.png", "C:\\photos\\b.PNG", "/etc/b.jpg", "b.png"]
)
def test_of_an_image_path_the_name_alone_counts(tmp_path, own):
    data = labelme(shape(SQUARE), imagePath=own)
    given = (tmp_path / "given",)
    (tmp_path / "labels").mkdir()
    assert list(read(tmp_path / "labels", data, directories=given)) == ["b"]


@pytest.mark.parametrize("own", ["../../x", "..\\..\\x.png", "a/../../../x"])
@pytest.mark.parametrize("kind", ["labelme", "coco", "via", "table", "text"])
def test_names_that_lead_out_of_the_given_directories_are_refused(
    tmp_path, kind, own
):
    name, data = {
        "labelme": ("a.json", labelme(shape(SQUARE), imagePath=own)),
        "coco": ("a.json", {"images": [{"id": 1, "file_name": own}],
                            "annotations": []}),
        "via": ("a.json", {"k": {"filename": own, "regions": []}}),
        "table": ("a.csv", f"image,ring\n{own},POLYGON EMPTY\n"),
        "text": ("a.txt", f"{own}\t{SQUARE}\n"),
    }[kind]  # fmt: skip
    (tmp_path / "labels").mkdir()
    place = tmp_path / "labels"
    with pytest.raises(DataError, match=rf"{name}: .*leads out") as refusal:
        read(place, data, name, directories=(place,))
    assert "\n" not in str(refusal.value)


def test_labelme_masks_lie_at_their_corner(tmp_path):
    pixels = np.array([[1, 0, 1], [1, 1, 1]], bool)
    data = labelme(
        shape([[2, 1], [4, 2]], "mask", mask=encoded(pixels)),
        shape([[-1, 3], [1, 4]], "mask", mask=encoded(pixels), label="tree"),
        imageHeight=5,
        imageWidth=6,
    )
    annotation = read_file(write(tmp_path / "a.json", data))["a"]
    first, second = annotation.instances
    expected = np.zeros((5, 6), bool)
    expected[1:3, 2:5] = pixels
    np.testing.assert_array_equal(first.mask((5, 6)), expected)
    expected[:] = False
    expected[3:5, :2] = pixels[:, 1:]
    np.testing.assert_array_equal(second.mask((5, 6)), expected)
    assert [first.label, second.label] == ["roof", "tree"]


def encoded(pixels):
    """A picture as labelme keeps it."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_labelme_image_within_the_file_is_used_where_there_is_none(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (9, 8, 3), np.uint8)
    data = labelme(shape(SQUARE), imagePath="b.jpg", imageData=encoded(image))
    (tmp_path / "texts").mkdir()
    (tmp_path / "images").mkdir()
    write(tmp_path / "texts" / "b.json", data)
    result = convert(tmp_path)
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "tree" / "b" / "images" / "b.png") as file:
        np.testing.assert_array_equal(np.array(file), image)
    mask = pixels(tmp_path / "tree" / "b" / "masks" / "b_mask_1.png")
    assert mask[1:5, 1:5].all()
    assert mask.sum() == 16
    write(tmp_path / "texts" / "b.json", {**data, "imageData": "AAAA"})
    result = convert(tmp_path, "--overwrite")
    assert_refused(result, "b.json", "image")


def test_labelme_points_fit_a_photo_that_exif_turns(tmp_path):
    image = np.full((4, 6, 3), 30, np.uint8)
    image[0, 3:] = 220  # lies upright along the right border, at the bottom
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right
    (tmp_path / "images").mkdir()
    (tmp_path / "texts").mkdir()
    Image.fromarray(image).save(tmp_path / "images" / "b.png", exif=exif)
    ring = [[3, 3], [4, 3], [4, 6], [3, 6]]
    data = labelme(shape(ring), imageHeight=6, imageWidth=4, imagePath="b.png")
    write(tmp_path / "texts" / "b.json", data)
    result = convert(tmp_path)
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "tree" / "b" / "images" / "b.png") as file:
        upright = np.array(file)[..., 0] > 128
    mask = pixels(tmp_path / "tree" / "b" / "masks" / "b_mask_1.png")
    assert mask.shape == (6, 4)
    np.testing.assert_array_equal(mask, upright)
    data.update(imageHeight=4, imageWidth=6)
    write(tmp_path / "texts" / "b.json", data)
    result = convert(tmp_path, "--overwrite")
    assert_refused(result, "b.json", "6 x 4", "4 x 6")


# COCO ----------------------------------------------------------------------


def coco(*annotations):
    return {
        "categories": [{"id": 3, "name": "roof"}, {"id": 7, "name": "tree"}],
        "images": [
            {"id": 1, "file_name": "b.jpg", "height": 4, "width": 6},
            {"id": 2, "file_name": "dir/c.jpg", "height": 4, "width": 6},
        ],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 3, **one}
            for n, one in enumerate(annotations)
        ],
    }


def test_coco_polygons_rings_and_boxes(tmp_path):
    far = [10, 1, 12, 1, 12, 4]
    data = coco(
        {"segmentation": [FLAT]},
        {"segmentation": [FLAT, far], "category_id": 7},
        {"bbox": [1, 2, 3, 4], "segmentation": [], "iscrowd": 1},
        {"segmentation": [[1, 1, 2, 2]], "category_id": 9},
    )
    repairs = {
        "crowd ignored, as nobody counted its objects": 1,
        "box used, there is no polygon": 1,
        "ring of fewer than three points left out": 1,
    }
    instances = [(12, "ignore"), (16, "roof"), (19, "tree")]
    assert read(tmp_path, data) == {"b": (instances, repairs), "c": ([], {})}


@pytest.mark.parametrize("packed", [False, True])
def test_coco_run_lengths_go_down_the_columns(tmp_path, packed):
    expected = np.zeros((4, 6), bool)
    expected[1:, 0] = expected[:2, 1] = expected[3, 5] = True
    counts = [1, 5, 17, 1]
    if packed:
        counts = rle.encode(np.asfortranarray(expected, np.uint8))["counts"]
        counts = counts.decode()
    one = {"segmentation": {"size": [4, 6], "counts": counts}, "iscrowd": 1}
    found = read_file(write(tmp_path / "a.json", coco(one)))["b"]
    (instance,) = found.instances
    assert instance.label == "ignore"
    assert found.repairs == {"crowd ignored, as nobody counted its objects": 1}
    np.testing.assert_array_equal(instance.mask((4, 6)), expected)
    with pytest.raises(DataError, match=r"a\.json: .*6 x 4.*4 x 6"):
        found.check_size((6, 4))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"segmentation": {"size": [4, 6], "counts": [1, 5]}}, "24 pix.*6"),
        ({"segmentation": {"size": [4, 6], "counts": [30, -6]}}, "24 pix.*24"),
        ({"segmentation": {"size": [4, 6], "counts": "0"}}, "24 pixels"),
        ({"segmentation": {"size": [4, 6], "counts": "\u00fc"}}, "coco"),
        ({"segmentation": {"size": [6, 4], "counts": [24]}}, "4 x 6.*6 x 4"),
        ({"segmentation": [[1, 2, 3]]}, "coco"),
        ({"segmentation": [FLAT], "image_id": 5}, "image 5"),
    ],
)
def test_bad_coco_is_refused(tmp_path, change, words):
    path = write(tmp_path / "a.json", coco(change))
    with pytest.raises(DataError, match=rf"a\.json: .*{words}"):
        read_file(path)


def test_coco_images_of_one_name_are_refused(tmp_path):
    data = coco()
    data["images"][1]["file_name"] = "other/b.png"
    with pytest.raises(DataError, match="two images called b"):
        read(tmp_path, data)


# VIA -----------------------------------------------------------------------


def via_shape(points):
    x, y = zip(*points, strict=True)
    return {"name": "polygon", "all_points_x": x, "all_points_y": y}


def via(regions):
    return {"b.jpg123": {"filename": "b.jpg", "size": 123, "regions": regions}}


def region(one, **attributes):
    return {"shape_attributes": one, "region_attributes": attributes}


def test_via_shapes_of_all_kinds(tmp_path):
    regions = [
        region(via_shape(SQUARE), name="bina \n"),
        region({"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}),
        region({"name": "circle", "cx": 5, "cy": 5, "r": 2}),
        region({"name": "ellipse", "cx": 5, "cy": 5, "rx": 4, "ry": 2,
                "theta": 1.0}),
        region({"name": "polyline", "all_points_x": [1], "all_points_y": [1]}),
        region({"name": "point", "cx": 1, "cy": 1}),
    ]  # fmt: skip
    areas = [(16, "bina"), (12, None)]
    areas += [(round(4 * CIRCLE, 6), None), (round(8 * CIRCLE, 6), None)]
    expected = {"b": (areas, {"line or point left out": 2})}
    assert read(tmp_path, via(regions)) == expected
    numbered = {str(n): one for n, one in enumerate(regions)}  # VIA 1.x
    assert read(tmp_path, via(numbered)) == expected
    project = {"_via_settings": {}, "_via_img_metadata": via(regions)}
    assert read(tmp_path, project) == expected


def test_via_ellipse_is_turned(tmp_path):
    one = {"name": "ellipse", "cx": 5, "cy": 5, "rx": 4, "ry": 2}
    data = via([region({**one, "theta": math.pi / 2})])
    (turned,) = read_file(write(tmp_path / "a.json", data))["b"].instances
    np.testing.assert_allclose(turned.geometry.bounds, (3, 1, 7, 9))


def test_via_attribute_that_holds_the_class(tmp_path):
    attributes = {"name": "x", "kind": {"old": False, "roof": True}}
    data = via([region(via_shape(SQUARE), **attributes)])
    assert read(tmp_path, data) == {"b": ([(16, "x")], {})}
    found = read(tmp_path, data, attribute="kind")
    assert found == {"b": ([(16, "roof")], {})}


def via_3(*regions, name="dir/b.jpg", kind=2):
    """A project of VIA 3 as it saves one, of an image and one without."""
    text = {
        "aname": "Note",
        "anchor_id": "FILE1_Z0_XY1",
        "type": 1,
        "desc": "",
        "options": {},
        "default_option_id": "",
    }
    chosen = {
        **text,
        "type": 3,
        "aname": "kind",
        "options": {"0": "flat", "1": "gable"},
    }
    ticked = {
        **chosen,
        "type": 2,
        "aname": "class",
        "options": {"r": "roof", "w": "wall"},
    }
    return {
        "project": {"pid": "__VIA_PROJECT_ID__", "pname": "houses",
                    "data_format_version": "3.1.1", "vid_list": ["1", "2"]},
        "config": {"file": {"loc_prefix": {"1": "", "2": ""}}, "ui": {}},
        "attribute": {"1": text, "2": chosen, "3": ticked},
        "file": {
            "1": {"fid": "1", "fname": name, "type": kind, "loc": 1,
                  "src": ""},
            "2": {"fid": 2, "fname": "c.jpg", "type": 2, "loc": 1, "src": ""},
        },
        "metadata": {
            f"1_{k}": {"vid": "1", "flg": 0, "z": [], "xy": xy, "av": av}
            for k, (xy, av) in enumerate(regions)
        },
        "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": [2]}},
    }  # fmt: skip


def test_via_3_shapes_are_numbers(tmp_path):
    project = via_3(
        ([7, *np.ravel(SQUARE).tolist()], {"1": "wall \n"}),
        ([2, 1, 2, 3, 4], {"3": "r,w", "1": "x"}),
        ([3, 5, 5, 2], {"2": "1"}),
        ([4, 5, 5, 4, 2], {"9": "of no attribute"}),
        ([8, 5, 1, 9, 4, 6, 6, 4, 2], {}),
        ([9, 3, 5, 7, 5, 5, 7], {}),
        ([1, 5, 5], {}),
        ([5, 1, 1, 2, 2], {}),
        ([6, 1, 1, 2, 2, 3, 1], {}),
        ([7, 1, 1, 2, 2], {}),
        ([], {"1": "a note on the image"}),
    )
    circle = round(4 * CIRCLE, 6)
    found = read(tmp_path, project)
    assert found["b"] == (
        [
            (16, "wall"),
            (12, "roof"),
            (circle, "gable"),
            (round(8 * CIRCLE, 6), None),
            (25, None),
            (circle, None),
        ],
        {
            "line or point left out": 3,
            "ring of fewer than three points left out": 1,
        },
    )
    assert found["c"] == ([], {})
    found = read(tmp_path, project, attribute="Note")
    assert [label for _, label in found["b"][0]][:3] == ["wall", "x", None]


def test_via_3_boxes_and_circles_by_their_outermost_points(tmp_path):
    data = via_3(([8, 5, 1, 9, 4, 6, 6, 4, 2], {}), ([9, 3, 5, 7, 5, 5, 7], {}))
    path = write(tmp_path / "a.json", data)
    box, circle = read_file(path)["b"].instances
    assert box.geometry.bounds == (4, 1, 9, 6)
    np.testing.assert_allclose(circle.geometry.bounds, (3, 3, 7, 7))


@pytest.mark.parametrize(
    ("project", "words"),
    [
        (via_3(name="b.mp4", kind=4), "one image each, found view 1 of b.mp4"),
        ({**via_3(), "view": {"5": {"fid_list": []}}}, "view 5 of no file"),
        (
            {**via_3(), "view": {"1": {"fid_list": [1, 2]}}},
            "view 1 of dir/b.jpg, c.jpg",
        ),
        (via_3(name="../../b.png"), "leads out"),
        (via_3(([2, 1, 2, 3], {})), "via annotations"),
    ],
)
def test_bad_projects_of_via_3_are_refused(tmp_path, project, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, project, directories=(tmp_path,))


def test_via_image_without_regions_was_looked_at(tmp_path):
    assert read(tmp_path, via([])) == {"b": ([], {})}


# GeoJSON -------------------------------------------------------------------


def closed(points):
    return [*points, points[0]]


def feature(coordinates, kind="Polygon", **properties):
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def collection(*features, crs=None):
    data = {"type": "FeatureCollection", "features": list(features)}
    if crs:
        data["crs"] = {"type": "name", "properties": {"name": crs}}
    return data


def write_tile(path, left=500000, top=3000000):
    """A GeoTIFF of 20 x 20 pixels of 2 m in UTM zone 45 N."""
    place = {"crs": "EPSG:32645", "transform": from_origin(left, top, 2, 2)}
    with rasterio.open(path, "w", driver="GTiff", width=20, height=20, count=3,
                       dtype="uint8", **place) as file:  # fmt: skip
        file.write(np.full((3, 20, 20), 90, np.uint8))
    return path


def on_ground(points, left=500000, top=3000000):
    return closed([[left + 2 * x, top - 2 * y] for x, y in points])


def in_degrees(points):
    x, y = zip(*on_ground(points), strict=True)
    x, y = rasterio.warp.transform("EPSG:32645", "OGC:CRS84", x, y)
    return [list(point) for point in zip(x, y, strict=True)]


def test_geojson_in_degrees_on_an_image_in_metres(tmp_path):
    tile = write_tile(tmp_path / "b.tif")
    hole = [[2, 2], [4, 2], [4, 4], [2, 4]]
    beyond = [[15, 15], [25, 15], [25, 18], [15, 18]]
    outside = [[30, 30], [35, 30], [35, 35]]
    data = collection(
        feature([in_degrees(SQUARE), in_degrees(hole)], label="roof"),
        feature([[in_degrees(SQUARE)], [in_degrees(TRIANGLE)]], "MultiPolygon"),
        feature([in_degrees(beyond)], Class=7),
        feature([in_degrees(outside)]),
        feature(in_degrees(SQUARE), "LineString"),
        {"type": "Feature", "geometry": None, "properties": None},
    )
    found = read_file(write(tmp_path / "a.geojson", data))["a"]
    placed = in_pixels(found, tile)
    assert placed.crs is None
    instances, repairs = told(placed)
    assert [label for _, label in instances] == ["roof", None, "7"]
    areas = [area for area, _ in instances]
    np.testing.assert_allclose(areas, [12, 24, 15], rtol=1e-3)
    assert repairs == {
        "line or point left out": 2,
        "polygon cut at the border of its image": 1,
        "polygon outside its image left out": 1,
    }
    mask = placed.instances[0].mask((20, 20))
    expected = np.zeros((20, 20), bool)
    expected[1:5, 1:5] = True
    expected[2:4, 2:4] = False
    np.testing.assert_array_equal(mask, expected)


def test_geojson_of_places_that_the_projection_lacks(tmp_path):
    tile = write_tile(tmp_path / "b.tif")
    far = closed([[0, 95], [180, 0], [1e300, 5]])
    data = collection(feature([far]), feature([in_degrees(SQUARE)]))
    found = read_file(write(tmp_path / "a.json", data))["a"]
    instances, repairs = told(in_pixels(found, tile))
    assert len(instances) == 1
    assert repairs == {"polygon outside its image left out": 1}
    found = read_file(write(tmp_path / "a.json", collection()))["a"]
    assert told(in_pixels(found, tile)) == ([], {})


def test_geojson_on_a_plain_image_is_in_pixels(tmp_path):
    write_png(tmp_path / "a.png", np.zeros((16, 14), bool))
    data = feature([closed(SQUARE)], category="roof")
    found = read_file(write(tmp_path / "a.json", data))["a"]
    assert told(in_pixels(found, tmp_path / "a.png")) == ([(16, "roof")], {})


@pytest.mark.parametrize(
    "crs", ["EPSG:999999", "nonsense", "/etc/hostname", "http://a.b/c", 5, [1]]
)
def test_unknown_crs_is_refused_and_no_file_is_opened(tmp_path, crs):
    tile = write_tile(tmp_path / "b.tif")
    data = collection(feature([closed(SQUARE)]), crs=crs)
    found = read_file(write(tmp_path / "a.json", data))["a"]
    with pytest.raises(DataError, match=r"a\.json: .*reference system"):
        in_pixels(found, tile)


# Tables --------------------------------------------------------------------


def test_wkt_in_two_and_three_dimensions(tmp_path):
    rows = [
        "ImageId,Geo,PolygonWKT_Pix",
        'b,"POLYGON ((0 0, 1 0, 1 1, 0 0))","POLYGON ((1 1, 5 1, 5 5, 1 1))"',
        'b.png,POLYGON EMPTY,"POLYGON ((1 1 0,5 1 0,5 5 0,1 5 0,1 1 0))"',
        'c,POLYGON EMPTY,"MULTIPOLYGON (((0 0,6 0,6 6,0 6,0 0),'
        '(1 1,2 1,2 2,1 1)),((8 8,9 8,9 9,8 8)))"',
        "d,POLYGON EMPTY,POLYGON EMPTY",
        'e,POLYGON EMPTY,"LINESTRING (1 1, 2 2)"',
    ]
    assert read(tmp_path, "\n".join(rows), "t.csv") == {
        "b": ([(8, None), (16, None)], {}),
        "c": ([(36, None)], {}),
        "d": ([], {}),
        "e": ([], {"line or point left out": 1}),
    }


TABLE = [
    {"file": "b.jpg", "class": "roof", "ring": str(closed(SQUARE))},
    {"file": "b.jpg", "class": "tree", "ring": str(TRIANGLE)},
    {"file": "c.jpg", "class": "", "ring": ""},
]
TABLE_READ = {
    "b": ([(16, "roof"), (8, "tree")], {"open ring closed": 1}),
    "c": ([], {}),
}


@pytest.mark.parametrize("sign", [",", "\t", ";"])
def test_lists_in_a_table(tmp_path, sign):
    text = pd.DataFrame(TABLE).to_csv(sep=sign, index=False)
    for name in ("t.csv", "t.tsv"):
        assert read(tmp_path, text, name) == TABLE_READ


def test_lists_in_a_spreadsheet(tmp_path):
    path = tmp_path / "t.xlsx"
    pd.DataFrame(TABLE).to_excel(path, index=False)
    found = {name: told(one) for name, one in read_file(path).items()}
    assert found == TABLE_READ


def test_column_that_holds_the_class(tmp_path):
    text = pd.DataFrame(TABLE).rename(columns={"class": "kind"})
    text = text.to_csv(index=False)
    labels = [
        [label for _, label in read(tmp_path, text, "t.csv", **o)["b"][0]]
        for o in ({}, {"attribute": "kind"})
    ]
    assert labels == [[None, None], ["roof", "tree"]]
    with pytest.raises(DataError, match=r"column size, found file, kind"):
        read(tmp_path, text, "t.csv", attribute="size")


def test_via_csv(tmp_path):
    rows = [
        {"filename": name, "region_count": 1,
         "region_shape_attributes": json.dumps(one),
         "region_attributes": json.dumps(attributes)}
        for name, one, attributes in (
            ("b.jpg", via_shape(SQUARE), {"name": " bina", "kind": "roof"}),
            ("b.jpg", {"name": "point", "cx": 1, "cy": 2}, {}),
            ("c.jpg", {}, {}),
        )
    ]  # fmt: skip
    text = pd.DataFrame(rows).to_csv(index=False)
    expected = [(16, "bina")], {"line or point left out": 1}
    assert read(tmp_path, text, "t.csv") == {"b": expected, "c": ([], {})}
    found = read(tmp_path, text, "t.csv", attribute="kind")
    assert found["b"][0] == [(16, "roof")]


def test_a_csv_of_the_articles_lines_is_none_of_these_tables(tmp_path):
    for heading in ("", "image,points\n"):
        text = f"{heading}b.png,{closed(SQUARE)}\nc,[]\n"
        expected = {"b": ([(16, None)], {}), "c": ([], {})}
        assert read(tmp_path, text, "t.csv") == expected


def test_points_of_a_json_list_are_the_articles(tmp_path):
    assert read(tmp_path, closed(SQUARE)) == {"a": ([(16, None)], {})}
    both = [SQUARE, closed(TRIANGLE)]
    repairs = {"open ring closed": 1}
    assert read(tmp_path, both) == {"a": ([(16, None), (8, None)], repairs)}
    assert read(tmp_path, []) == {"a": ([], {})}
    with pytest.raises(DataError, match=r"a\.json: .* a known format"):
        read(tmp_path, [{}])


def test_x_and_y_with_a_point_in_each_row(tmp_path):
    rows = [("b.png", x, y) for x, y in closed(SQUARE) + closed(TRIANGLE)]
    text = pd.DataFrame(rows, columns=["image", "x", "y"]).to_csv(index=False)
    expected = {"b": ([(16, None), (8, None)], {})}
    assert read(tmp_path, text, "t.csv") == expected


def test_x_and_y_with_numbered_objects_need_not_close(tmp_path):
    rows = [
        {"X": x, "Y": y, "image": "b.png", "polygon_id": n, "label": label}
        for n, (ring, label) in enumerate(
            [(SQUARE, "roof"), (TRIANGLE, "tree")]
        )
        for x, y in ring
    ]
    rows.append({"X": "", "Y": "", "image": "c", "polygon_id": 3, "label": ""})
    text = pd.DataFrame(rows).to_csv(index=False)
    expected = {"b": ([(16, "roof"), (8, "tree")], {}), "c": ([], {})}
    assert read(tmp_path, text, "t.csv") == expected


@pytest.mark.parametrize("form", [str, lambda v: " ".join(map(str, v))])
def test_x_and_y_with_an_object_in_each_row(tmp_path, form):
    x, y = zip(*SQUARE, strict=True)
    rows = [{"file": "b.png", "all_points_x": form(list(x)),
             "all_points_y": form(list(y))}]  # fmt: skip
    text = pd.DataFrame(rows).to_csv(index=False)
    assert read(tmp_path, text, "t.csv") == {"b": ([(16, None)], {})}
    rows[0]["all_points_y"] = form([1, 2])
    text = pd.DataFrame(rows).to_csv(index=False)
    with pytest.raises(DataError, match=r"line 2: .*4 x and 2 y"):
        read(tmp_path, text, "t.csv")


def test_columns_are_taken_by_name_where_they_are_named(tmp_path):
    text = (
        "scene,outline,other,east,north\n"
        'b.png,"[[1,1],[5,1],[5,5],[1,5]]","[[0,0],[1,0],[0,1]]",2,3\n'
    )
    options = {"image_column": "scene", "polygon_column": "outline"}
    repairs = {"open ring closed": 1}
    found = read(tmp_path, text, "t.csv", **options)
    assert found == {"b": ([(16, None)], repairs)}
    options["polygon_column"] = "other"
    found = read(tmp_path, text, "t.csv", **options)
    assert found == {"b": ([(0.5, None)], repairs)}
    options["polygon_column"] = "east,north"
    found = read(tmp_path, text, "t.csv", **options)
    assert found == {"b": ([], {"stray point dropped": 1})}
    for bad in ({"image_column": "size"}, {"polygon_column": "east,size"}):
        with pytest.raises(DataError, match="a column size, found scene, out"):
            read(tmp_path, text, "t.csv", **bad)


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"mebibytes": 0}, "at most 0 MiB"),
        ({"points": 8}, "at most 8 points, found 9"),
    ],
)
def test_what_exceeds_a_limit_is_refused(tmp_path, limits, words):
    rings = [closed(SQUARE)[:4], TRIANGLE]
    data = labelme(*map(shape, rings))
    limits = Limits(**{"points": 9, **limits})
    text = json.dumps(data).ljust(1 << 20)
    with pytest.raises(DataError, match=rf"a\.json: .*{words}"):
        read(tmp_path, text, limits=limits)


def test_spreadsheet_of_too_much_is_refused(tmp_path):
    path = tmp_path / "t.xlsx"
    pd.DataFrame({"image": ["b"] * 40000}).to_excel(path, index=False)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="at most 1 MiB without compression"):
        read_file(path, rules=Rules(limits=Limits(unpacked=1)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a table"),
        (
            "image,size\nb,4\n",
            "column of polygons.*image, size.*--polygon-column",
        ),
        ("image,ring\n,POLYGON EMPTY\n", "line 2.*name of an image"),
        ('image,ring\nb,"POLYGON ((1 1, 2"\n', "line 2: expected WKT"),
        ('image,ring\nb,"POLYGON ((0 0, 1 0, 1e9 1, 0 0))"\n', "line 2.*1e"),
    ],
)
def test_bad_table_is_refused(tmp_path, text, words):
    with pytest.raises(DataError, match=rf"t\.csv.*{words}"):
        read(tmp_path, text, "t.csv")


# Damage --------------------------------------------------------------------

RLE = {"size": [4, 6], "counts": [1, 5, 17, 1]}
PACKED = {"size": [4, 6], "counts": "1505"}
DOCUMENTS = {
    "labelme": labelme(
        shape(SQUARE, group_id=1),
        shape(TRIANGLE, group_id=1),
        shape(SQUARE[:2], "circle"),
        shape(SQUARE[:2], "rectangle"),
        shape(SQUARE[:2], "mask", mask=encoded(np.eye(3, dtype=bool))),
        imagePath="b.png",
        imageData=encoded(np.eye(3, dtype=bool)),
        imageHeight=4,
        imageWidth=6,
    ),
    "article": [closed(SQUARE), closed(TRIANGLE)],
    "coco": coco(
        {"segmentation": [FLAT, FLAT]},
        {"bbox": [1, 2, 3, 4]},
        {"segmentation": RLE},
        {"segmentation": PACKED},
    ),
    "via": via(
        [
            region(via_shape(SQUARE), name="roof"),
            region({"name": "circle", "cx": 5, "cy": 5, "r": 2}),
            region({"name": "ellipse", "cx": 5, "cy": 5, "rx": 4, "ry": 2}),
            region({"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}),
        ]
    ),
    "via-3": via_3(
        ([7, *np.ravel(SQUARE).tolist()], {"1": "roof"}),
        ([3, 5, 5, 2], {"2": "1"}),
        ([8, 5, 1, 9, 4, 6, 6, 4, 2], {"3": "r,w"}),
        ([9, 3, 5, 7, 5, 5, 7], {}),
    ),
    "label-studio": LABEL_STUDIO,
    "json-min": JSON_MIN,
    "geojson": collection(
        feature([closed(SQUARE), closed(TRIANGLE)], label="roof"),
        feature([[closed(SQUARE)], [closed(TRIANGLE)]], "MultiPolygon"),
        crs="EPSG:32645",
    ),
}
JUNK = [None, True, 0, -1, -5.5, 1e9, 1e308, 10**400, math.nan, math.inf,
        "", "a", "\ud800", "../../x", [], [[]], {}, {"a": 1}, [[[[1, 2]]]],
        [1, 2, 3], [[0, 0], [1, 1], [2, 2], [0, 0]]]  # fmt: skip


def places(value, path=()):
    """The path of every value inside a document."""
    yield path
    inside = {}
    if isinstance(value, dict):
        inside = value.items()
    elif isinstance(value, (list, tuple)):
        inside = enumerate(value)
    for key, one in inside:
        yield from places(one, (*path, key))


def damaged(data, draw):
    """A copy of a document with one to three values changed or dropped."""
    data = json.loads(json.dumps(data))
    for _ in range(draw(st.integers(1, 3))):
        inside = list(places(data))[1:]
        if not inside:
            break
        *path, last = draw(st.sampled_from(inside))
        target = data
        for key in path:
            target = target[key]
        if draw(st.booleans()):
            target[last] = copy.deepcopy(draw(st.sampled_from(JUNK)))
        else:
            del target[last]
        if len(list(places(data))) < 2:
            break
    return data


def survives(path, tile, rules=NO_RULES):
    """Reading and drawing a file ends well or in one line."""
    try:
        for one in read_file(path, rules=rules).values():
            if one.crs is not None:
                one = in_pixels(one, tile)
            for instance in one.instances:
                assert instance.mask((32, 32)).dtype == bool
                assert instance.label is None or instance.label.encode()
            if one.picture:
                assert image_from(one.picture(), path).dtype == np.uint8
    except DataError as error:
        assert len(str(error).splitlines()) == 1
        assert str(path.name) in str(error)


quickly = settings(
    max_examples=150,
    deadline=5000,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", DOCUMENTS)
@quickly
@given(st.data())
def test_damaged_documents_end_in_one_line(tmp_path_factory, kind, data):
    place = tmp_path_factory.getbasetemp()
    tile = place / "tile.tif"
    if not tile.exists():
        write_tile(tile)
    document = damaged(DOCUMENTS[kind], data.draw)
    survives(write(place / "damaged.json", document), tile)


CVAT = """<?xml version="1.0"?><annotations><image id="0" name="b.png"
width="8" height="6"><polygon label="roof" points="1,1;5,1;5,5" z_order="0"/>
<box label="a" xtl="1" ytl="2" xbr="4" ybr="4" rotation="30"/><ellipse cx="4"
label="b" cy="3" rx="2" ry="1"/><mask label="c" rle="1, 2, 3" left="1" top="1"
width="3" height="2"/></image></annotations>"""
VOC = """<annotation><filename>b.png</filename><size><width>8</width>
<height>6</height><depth>3</depth></size><object><name>roof</name><bndbox>
<xmin>1</xmin><ymin>2</ymin><xmax>4</xmax><ymax>5</ymax></bndbox></object>
</annotation>"""
ENDINGS = ["json", "csv", "tsv", "txt", "xlsx", "xml", "png", "tif"]
RULES = [
    NO_RULES,
    Rules(threshold=0.5, attribute="kind"),
    Rules(colours={0x010101: "a", 0x090A0B: "b"}, image_column="image"),
]


def write_whole(path):
    """An undamaged file of the kind that its ending names."""
    if path.suffix == ".json":
        write(path, DOCUMENTS["geojson"])
    elif path.suffix == ".txt":
        write(path, f"a.png\t{closed(SQUARE)}\n")
    elif path.suffix == ".xlsx":
        pd.DataFrame(TABLE).to_excel(path, index=False)
    elif path.suffix == ".xml":
        write(path, CVAT)
    elif path.suffix in (".png", ".tif"):
        picture = Image.fromarray(np.eye(9, dtype=np.uint8) * 3, mode="P")
        picture.putpalette(list(range(30)))
        picture.save(path)
    elif path.suffix == ".tsv":
        rows = [("b.png", *point) for point in closed(SQUARE)]
        table = pd.DataFrame(rows, columns=["image", "x", "y"])
        table.to_csv(path, index=False, sep="\t")
    else:
        pd.DataFrame(TABLE).to_csv(path, index=False)


@quickly
@given(st.data())
def test_damaged_bytes_end_in_one_line(tmp_path_factory, data):
    place = tmp_path_factory.getbasetemp()
    tile = place / "tile.tif"
    if not tile.exists():
        write_tile(tile)
    ending = data.draw(st.sampled_from(ENDINGS))
    whole = place / f"whole.{ending}"
    if not whole.exists():  # once: a spreadsheet holds the time
        write_whole(whole)
    path = place / f"damaged.{ending}"
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        end = start + data.draw(st.integers(0, 20))
        content[start:end] = data.draw(st.binary(max_size=8))
    path.write_bytes(content)
    survives(path, tile, data.draw(st.sampled_from(RULES)))


@pytest.mark.parametrize("text", ["{}", "1", "null", '"shapes"'])
def test_json_that_is_no_annotation_is_refused(tmp_path, text):
    with pytest.raises(DataError, match=r"a\.json: expected an annotation"):
        read(tmp_path, text)


def test_scribbles_take_no_time(tmp_path):
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 99, (2, 2000, 2)).tolist()
    data = labelme(*(shape(one, group_id=1) for one in points))
    (one,) = read_file(write(tmp_path / "a.json", data))["a"].instances
    assert one.mask((99, 99)).any()


def test_lines_of_spaces_take_no_time(tmp_path):
    text = "a" + " " * 200_000 + "b\n"
    with pytest.raises(DataError, match="expected"):
        read(tmp_path, text * 2, "a.txt")


# The script ------------------------------------------------------------------


def convert(root, *arguments):
    return run_script(
        "util/polygon_to_mask.py", "images", "texts", "--out", "tree",
        *arguments, cwd=root,
    )  # fmt: skip


def pixels(path):
    with Image.open(path) as file:
        return np.array(file) > 0


def test_classes_go_to_folders_and_later_features_win(tmp_path):
    write_png(tmp_path / "images" / "b.png", np.zeros((16, 14, 3), np.uint8))
    (tmp_path / "texts").mkdir()
    above = [[3, 3], [9, 3], [9, 7], [3, 7]]
    data = labelme(
        shape(SQUARE, label="tree"),
        shape(above, label="bina"),
        shape(SQUARE, label="car"),
        shape([[4, 4], [6, 4], [6, 6], [4, 6]], label="tree"),
        imagePath="../images/b.jpg",
    )
    write(tmp_path / "texts" / "x.json", data)
    result = convert(tmp_path, "--classes", "roof,tree", "--rename",
                     "bina=roof")  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines() == [
        "1 images, 3 instances -> tree",
        "  0 images with nothing on them (masks/ is empty)",
        "  classes: roof (1), tree (2)",
        "  classes left out: car (1)",
    ]
    roof, tree, last = np.zeros((3, 16, 14), bool)
    last[4:6, 4:6] = tree[1:5, 1:5] = roof[3:7, 3:9] = True
    found = {}
    for kind in ("roof", "tree"):
        place = tmp_path / "tree" / "b" / "masks" / kind
        found[kind] = np.any([pixels(p) for p in place.iterdir()], axis=0)
    roof &= ~last
    np.testing.assert_array_equal(found["roof"], roof)
    np.testing.assert_array_equal(found["tree"], (tree | last) & ~roof)


def test_one_geojson_for_several_tiles(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "texts").mkdir()
    for k in range(3):
        write_tile(tmp_path / "images" / f"t{k}.tif", left=500000 + 40 * k)
    across = [[15, 2], [25, 2], [25, 6], [15, 6]]
    data = collection(feature([on_ground(across)]), crs="EPSG:32645")
    write(tmp_path / "texts" / "all.geojson", data)
    result = convert(tmp_path)
    assert result.returncode == 0, result.stderr
    assert "3 images, 2 instances" in result.stdout
    assert "1 images without annotation" in result.stdout
    for name, columns in (("t0", slice(15, 20)), ("t1", slice(0, 5))):
        expected = np.zeros((20, 20), bool)
        expected[2:6, columns] = True
        mask = tmp_path / "tree" / name / "masks" / f"{name}_mask_1.png"
        np.testing.assert_array_equal(pixels(mask), expected)


def test_what_lies_on_no_tile_is_counted_once(tmp_path):
    for k in range(3):
        (tmp_path / "images").mkdir(exist_ok=True)
        write_tile(tmp_path / "images" / f"t{k}.tif", left=500000 + 40 * k)
    data = collection(
        feature([on_ground(SQUARE)]),
        feature([on_ground(SQUARE, left=500040)]),
        feature([on_ground(SQUARE, left=900000)]),
        feature(on_ground(SQUARE), "LineString"),
        crs="EPSG:32645",
    )
    write(tmp_path / "all.geojson", data)
    result = run_script(
        "util/polygon_to_mask.py", "images", "all.geojson", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert "2 instances" in result.stdout
    assert "line or point left out: 1" in result.stdout
    assert "polygon outside all images left out: 1" in result.stdout


@pytest.mark.parametrize("points", [on_ground(SQUARE), closed(SQUARE)])
def test_geojson_far_from_the_image_of_its_name_is_refused(tmp_path, points):
    tile = write_tile(tmp_path / "a.tif")
    data = collection(feature([points]))  # in metres or pixels, without a CRS
    found = read_file(write(tmp_path / "a.json", data))["a"]
    with pytest.raises(DataError, match=r"a\.json: .* all 1 far .*CRS84"):
        in_pixels(found, tile)


def test_geojson_for_several_plain_images_is_refused(tmp_path):
    for name in "ab":
        write_png(tmp_path / "images" / f"{name}.png", np.ones((9, 9), bool))
    (tmp_path / "texts").mkdir()
    data = collection(feature([closed(SQUARE)]))
    write(tmp_path / "texts" / "all.geojson", data)
    assert_refused(convert(tmp_path), "all.geojson", "georeferenced")


def test_unknown_json_is_refused(tmp_path):
    write_png(tmp_path / "images" / "b.png", np.ones((9, 9), bool))
    (tmp_path / "texts").mkdir()
    write(tmp_path / "texts" / "x.json", {"pictures": []})
    assert_refused(convert(tmp_path), "x.json", "--format", "labelme")


def test_rows_longer_than_the_heading_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('image,polygon\na,"POLYGON ((0 0, 4 0, 4 4, 0 0))",x,y\n')
    with pytest.raises(DataError, match=r"t\.csv"):
        read_file(path)


def test_objects_that_lose_their_class_or_their_pixels_are_counted(tmp_path):
    write_png(tmp_path / "images" / "a.png", np.zeros((20, 20), bool))
    write_png(tmp_path / "images" / "b.png", np.zeros((20, 20), bool))
    (tmp_path / "texts").mkdir()
    speck = [[1, 1], [1.2, 1], [1.2, 1.2]]
    both = labelme(shape(SQUARE), shape(TRIANGLE, label=""))
    write(tmp_path / "texts" / "a.json", both)
    write(tmp_path / "texts" / "b.json", labelme(shape(speck)))
    result = convert(tmp_path)
    assert result.returncode == 0, result.stderr
    assert "object without a class taken for building: 1" in result.stdout
    assert "image of which no object is left" in result.stdout
    both = labelme(shape(SQUARE, label="a/b"), shape(TRIANGLE, label="a:b"))
    write(tmp_path / "texts" / "a.json", both)
    result = convert(tmp_path, "--overwrite")
    assert_refused(result, "'a/b'", "'a:b'", "--rename")


def test_what_is_no_text_of_points_is_told_what_it_is(tmp_path):
    table = tmp_path / "t.csv"
    table.write_bytes(
        'image,polygon\nä.png,"[[1,1],[2,2],[1,2]]"\n'.encode("cp1252")
    )
    with pytest.raises(DataError, match=r't\.csv: .* Save it as "CSV UTF-8"'):
        read_file(table)
    results = write(tmp_path / "r.json", [{"image_id": 1, "category_id": 2}])
    with pytest.raises(DataError, match=r"r\.json: .* a known format"):
        read_file(results)
    (tmp_path / "dota.txt").write_text("0 1 0 4 2 4 2 1 roof 0\n")
    with pytest.raises(DataError, match=r"Correct the text"):
        read_file(tmp_path / "dota.txt")
    wide = tmp_path / "w.json"
    wide.write_text(json.dumps(labelme(shape(SQUARE))), encoding="utf-16")
    assert len(read_file(wide)["w"].instances) == 1
