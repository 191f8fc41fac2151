"""Label Studio's JSON, as its exports and imports have it."""

import json
import math

import numpy as np
import pytest
import shapely

from conftest import CODE, run_script
from unet.annotations.brush import decode_brush
from unet.annotations.formats import WRITERS
from unet.annotations.pairing import pair
from unet.annotations.reading import read_file
from unet.annotations.rules import Limits, Rules
from unet.annotations.writing import AnnotatedImage
from unet.files.errors import DataError
from unet.geometry.instances import Instance
from unet.imagery.mask_values import read_mask
from unet.imagery.png import write_png

SCRIPT = CODE / "util" / "polygon_to_mask.py"
HEIGHT, WIDTH = SHAPE = (10, 20)
IMAGE = "/data/upload/3/a1b2c3d4-b.png"
SQUARE = {"points": [[10, 10], [30, 10], [30, 50], [10, 50]]}  # x 2-6, y 1-5
# To the corner of Label Studio's turned rectangles 4 pixels and 2 pixels.
BOX = {"x": 50, "y": 20, "width": 20, "height": 20}


def result(name, value, label="roof", **more):
    """A shape as Label Studio exports it, with its sizes and its tag."""
    return {
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {**value, f"{name}labels": [label]},
        "id": f"{name}{label}",
        "from_name": "label",
        "to_name": "image",
        "type": f"{name}labels",
        "origin": "manual",
        **more,
    }


def annotation(*results, by=1, at="2026-01-01T10:00:00.0Z", **more):
    return {
        "id": 5,
        "completed_by": by,
        "result": list(results),
        "was_cancelled": False,
        "created_at": "2026-01-01T09:00:00.0Z",
        "updated_at": at,
        **more,
    }


def task(*annotations, image=IMAGE, number=7, **more):
    return {
        "id": number,
        "annotations": list(annotations),
        "file_upload": image.rpartition("/")[2],
        "drafts": [],
        "predictions": [],
        "data": {"image": image},
        **more,
    }


def read(tmp_path, data, **options):
    path = tmp_path / "project-1-at-2026.json"
    path.write_text(json.dumps(data))
    return read_file(path, rules=Rules(**options))


def only(tmp_path, data, **options):
    (one,) = read(tmp_path, data, **options).values()
    return one


# One of everything, for tests of damage.
DOCUMENT = [
    task(
        annotation(
            result("polygon", SQUARE),
            result("rectangle", {**BOX, "rotation": 30}),
            result("ellipse", {"x": 5, "y": 5, "radiusX": 2, "radiusY": 3}),
            result("brush", {"format": "rle", "rle": [0, 0, 0, 4, 57, 27,
                                                      252, 143, 248]},
                   original_width=1, original_height=1),
            result("keypoint", {"x": 1, "y": 1, "width": 0.4}),
            by={"id": 3, "email": "b@x.org"},
        ),
        annotation(by=4, was_cancelled=True),
    ),
    task(
        annotation(result("brush", {"rle": [0, 0, 0, 4, 57, 27, 252, 143, 248]},
                          original_width=1, original_height=1)),
        image="https://x.org/c.png?sig=1",
    ),
]  # fmt: skip
SHORT = [
    {
        "image": IMAGE,
        "id": 7,
        "label": [
            {**SQUARE, "polygonlabels": ["roof"], "original_width": WIDTH,
             "original_height": HEIGHT},
        ],
        "annotator": 1,
        "annotation_id": 5,
        "updated_at": "2026-01-01T10:00:00Z",
    },
    {"image": "c.png", "id": 8, "annotation_id": None},
]  # fmt: skip


def told(annotation):
    return [
        (one.label, round(one.geometry.area, 4)) for one in annotation.instances
    ]


def code_of(mask, word=8, sizes=(3, 4, 8, 16)):
    """A mask in the code of brush strokes: long runs, and single values."""
    values = np.repeat(mask.ravel(), 4) * (2**word - 1)
    bits = f"{len(values):032b}{word - 1:05b}"
    bits += "".join(f"{size - 1:04b}" for size in sizes)
    ends = [*np.flatnonzero(np.diff(values)) + 1, len(values)]
    for start, end in zip([0, *ends], ends, strict=False):
        one = f"{values[start]:0{word}b}"
        if end - start > 2 ** sizes[0]:
            bits += f"1{3:02b}{end - start - 1:0{sizes[3]}b}{one}"
        else:  # not as a run: every value by itself
            bits += f"0{0:02b}{end - start - 1:0{sizes[0]}b}"
            bits += one * (end - start)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


def disc(shape=SHAPE, centre=(5, 12), radius=4):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


def test_polygons_rectangles_and_ellipses_in_percent(tmp_path):
    circle = 64 * math.sin(math.pi / 64)
    ellipse = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 30, "rotation": 0}
    one = only(
        tmp_path,
        [
            task(
                annotation(
                    result("polygon", {**SQUARE, "closed": True}),
                    result("rectangle", {**BOX, "rotation": 0}, " wall "),
                    result("ellipse", ellipse, "tree"),
                    result("keypoint", {"x": 1, "y": 1, "width": 0.4}),
                    result("vector", {"vertices": [{"x": 1, "y": 1}]}),
                    result("polygon", {"points": SQUARE["points"][:2]}, "x"),
                    {"value": {"choices": ["sunny"]}, "type": "choices",
                     "id": "z", "from_name": "weather", "to_name": "image"},
                    {"from_id": "a", "to_id": "b", "type": "relation"},
                )
            )
        ],
    )  # fmt: skip
    assert told(one) == [
        ("roof", 16), ("wall", 8), ("tree", round(2 * 3 * circle, 4)),
    ]  # fmt: skip
    assert one.size == SHAPE
    assert one.file == "a1b2c3d4-b.png"
    assert one.repairs == {
        "line or point left out": 2,
        "ring of fewer than three points left out": 1,
    }


def test_rectangles_turn_about_their_corner_and_ellipses_about_their_middle(
    tmp_path,
):
    # 4 wide and 2 high from (10, 2) on; a quarter turn clockwise.
    ellipse = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 30, "rotation": 90}
    one = only(
        tmp_path,
        task(
            annotation(
                result("rectangle", {**BOX, "rotation": 90}),
                result("ellipse", ellipse),
            )
        ),
    )
    box, round_one = (instance.geometry for instance in one.instances)
    np.testing.assert_allclose(box.bounds, (8, 2, 10, 6))
    np.testing.assert_allclose(round_one.bounds, (7, 3, 13, 7))


def test_brush_strokes_are_decoded_pixel_by_pixel(tmp_path):
    mask = disc()
    value = {"format": "rle", "rle": code_of(mask)}
    one = only(tmp_path, [task(annotation(result("brush", value, "pond")))])
    (instance,) = one.instances
    assert instance.label == "pond"
    np.testing.assert_array_equal(instance.mask(SHAPE), mask)


@pytest.mark.parametrize(
    ("word", "sizes"), [(8, (3, 4, 8, 16)), (1, (1, 2, 3, 9)), (16, (4,) * 4)]
)
def test_brush_codes_of_any_sizes(word, sizes):
    mask = disc((3, 4), (1, 2), 1.5) if sizes[3] < 8 else disc()
    np.testing.assert_array_equal(
        decode_brush(code_of(mask, word, sizes), mask.shape), mask
    )


def test_a_code_by_label_studios_own_package():
    # mask2rle of label-studio-sdk 2.1.2 for [[0, 255, 255], [0, 0, 255]].
    code = [0, 0, 0, 24, 57, 27, 252, 96, 19, 255, 206, 1, 31, 248]
    expected = [[False, True, True], [False, False, True]]
    assert decode_brush(code, (2, 3)).tolist() == expected


def test_of_several_annotators_the_last_or_the_one_that_was_asked_for(
    tmp_path,
):
    person = {"id": 4, "email": "b@x.org", "first_name": "B"}
    data = [
        task(
            annotation(result("polygon", SQUARE), by=person,
                       at="2026-03-01T10:00:00.0Z"),
            annotation(result("rectangle", BOX), by={"id": 3},
                       at="2026-02-01T10:00:00.0Z"),
            annotation(by=3, at="2026-04-01T10:00:00.0Z", was_cancelled=True),
        )
    ]  # fmt: skip
    later = "annotation left out, a later one of its image is used"
    one = only(tmp_path, data)
    assert told(one) == [("roof", 16)]
    assert one.repairs == {later: 1}
    for who, area in (("b@x.org", 16), ("4", 16), ("3", 8)):
        one = only(tmp_path, data, annotator=who)
        assert told(one) == [("roof", area)]
        assert not one.repairs
    with pytest.raises(DataError, match=r"annotator c, found .*3, b@x\.org"):
        read(tmp_path, data, annotator="c")


def test_tasks_that_nobody_annotated_are_unlabelled_and_others_empty(tmp_path):
    data = [
        task(image="a.png"),
        task(annotation(), image="b.png"),
        task(annotation(was_cancelled=True), image="c.png"),
    ]
    found = read(tmp_path, data)
    assert list(found) == ["b"]
    assert told(found["b"]) == []


def test_predictions_count_where_nobody_annotated_anything(tmp_path):
    guess = {"model_version": "v1", "result": [result("polygon", SQUARE)]}
    first = task(image="a.png", predictions=[guess])
    assert told(read(tmp_path, [first])["a"]) == [("roof", 16)]
    second = task(annotation(result("rectangle", BOX)), image="b.png")
    assert list(read(tmp_path, [first, second])) == ["b"]


def test_what_was_said_of_a_shape_is_no_shape_and_may_be_its_class(tmp_path):
    shape = {**SQUARE, "closed": True}
    bare = result("polygon", SQUARE)
    bare["value"] = shape
    labels = {**bare, "type": "labels", "value": {**shape, "labels": ["roof"]}}
    kind = {**bare, "type": "choices", "from_name": "kind",
            "value": {**shape, "choices": ["flat"]}}  # fmt: skip
    data = [task(annotation(bare, labels, kind))]
    assert told(only(tmp_path, data)) == [("roof", 16)]
    assert told(only(tmp_path, data, attribute="kind")) == [("flat", 16)]
    assert told(only(tmp_path, data, attribute="age")) == [(None, 16)]


def test_json_min(tmp_path):
    value = result("polygon", SQUARE)["value"]
    sizes = {"original_width": WIDTH, "original_height": HEIGHT}
    record = {
        "image": "/data/upload/3/a1b2c3d4-b.png",
        "id": 7,
        "label": [{**value, **sizes}],
        "annotator": 1,
        "annotation_id": 5,
        "created_at": "2026-01-01T10:00:00Z",
        "updated_at": "2026-01-01T10:00:00Z",
        "lead_time": 8.1,
    }
    later = {**record, "label": [], "annotator": "b@x.org",
             "updated_at": "2026-01-02T10:00:00Z"}  # fmt: skip
    nobody = {"image": "c.png", "id": 8, "annotation_id": None}
    found = read(tmp_path, [later, record, nobody])
    assert told(found["a1b2c3d4-b"]) == []
    assert list(found) == ["a1b2c3d4-b"]
    found = read(tmp_path, [later, record, nobody], annotator="1")
    assert told(found["a1b2c3d4-b"]) == [("roof", 16)]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("/data/local-files/?d=some%20where/b%231.png", "b#1"),
        ("/data/local-files/?d=images%5Cb.png", "b"),
        ("https://x.org/p/b%C3%A4.png?sig=a/c.png&d2=1", "bä"),
        ("s3://bucket/dir/b.tif", "b"),
        ("b #1.png", "b #1"),
        ("C:\\images\\b.png", "b"),
    ],
)
def test_images_are_named_by_urls_and_paths(tmp_path, url, name):
    data = [task(annotation(result("polygon", SQUARE)), image=url)]
    data[0]["data"] = {"note": "good.", "image": url}
    assert list(read(tmp_path, data)) == [name]


def test_the_image_is_that_of_the_shapes(tmp_path):
    one = task(annotation(result("polygon", SQUARE, to_name="img")))
    one["data"] = {"preview": "p.png", "image": "i.png", "img": "m.png"}
    assert list(read(tmp_path, [one])) == ["m"]
    one["data"] = {"id": 3, "photo": "p.png"}
    assert list(read(tmp_path, [one])) == ["p"]
    one["data"] = {"image": "https://x.org/15"}
    assert list(read(tmp_path, [one])) == ["a1b2c3d4-b"]
    del one["file_upload"]
    assert list(read(tmp_path, [one])) == ["15"]


def change(one, key, value):
    """A task whose only shape says something else."""
    one["annotations"][0]["result"][0][key] = value
    return one


def bad_tasks():
    def shaped(name="polygon", value=SQUARE, **more):
        return task(annotation(result(name, value, **more)))

    rle = code_of(disc())
    other = result("polygon", SQUARE, original_width=21, id="other")
    return [
        (change(shaped(), "original_width", None), "original_width and"),
        (change(shaped(), "original_height", 0), "found neither"),
        (change(shaped(), "image_rotation", 90), "turned by 90 degrees"),
        (
            task(annotation(result("polygon", SQUARE), other)),
            "image of 20 x 10 pixels and image of 21 x 10 pixels",
        ),
        (
            task(
                annotation(
                    result("polygon", SQUARE, to_name="left"),
                    result("rectangle", BOX, to_name="right"),
                )
            ),
            "left of 20 x 10 pixels and right of 20 x 10 pixels",
        ),
        (shaped("brush", {"rle": rle[:20]}), "20 x 10 pixels, found a code"),
        (shaped("brush", {"rle": code_of(disc((9, 20)))}), "of 720 values"),
        (shaped("brush", {"rle": [*rle[:3], 256]}), "20 x 10 pixels"),
        (shaped("brush", {"rle": 1_000_000_000}), "20 x 10 pixels"),
        (shaped("polygon", {"points": [[1e9, 0], [1, 0], [1, 1]]}), "finite"),
    ]


@pytest.mark.parametrize(("one", "words"), bad_tasks())
def test_bad_tasks_are_refused_and_the_others_are_read(tmp_path, one, words):
    good = task(annotation(result("polygon", SQUARE)), image="c.png")
    found = read(tmp_path, [one, good])
    bad = found["a1b2c3d4-b"]
    assert words in bad.error
    assert "2026.json" in bad.error
    assert "\n" not in bad.error
    assert found["c"].error is None
    assert told(found["c"]) == [("roof", 16)]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([task(annotation(), image="a.png")] * 2, "two tasks .* called a;"),
        ([task(annotation(), image="", data={"text": "x"})], "task 7: .*text"),
        ([task(annotation(), image="../../a.png")], "leads out"),
        ([task({"id": 1})], "label-studio annotations"),
        ([{"data": {"image": "a.png"}}], "a known format"),
    ],
)
def test_bad_files_are_refused(tmp_path, data, words):
    with pytest.raises(DataError, match=words) as refusal:
        read(tmp_path, data, directories=(tmp_path,))
    assert "\n" not in str(refusal.value)


def test_a_brush_on_an_image_of_too_many_pixels_is_refused(tmp_path):
    value = {"format": "rle", "rle": code_of(disc())}
    data = [task(annotation(result("brush", value)))]
    bad = only(tmp_path, data, limits=Limits(pixels=199))
    assert "at most 199 pixels" in bad.error


# The images of uploads -----------------------------------------------------


def names_paired(tmp_path, images, uploads):
    """The image of each task, by the area of its square; and the problems."""
    place = tmp_path / "images"
    place.mkdir()
    for name in images:
        write_png(place / name, np.zeros((*SHAPE, 3), np.uint8))
    path = tmp_path / "tasks.json"
    shape = result("polygon", SQUARE)
    path.write_text(
        json.dumps([task(annotation(shape), image=u) for u in uploads])
    )
    pairs, problems = pair(place, [path])
    paired = {
        known.image.name: known.annotation
        for known in pairs
        if known.annotation
    }
    return paired, problems


def test_uploads_are_matched_without_their_prefix(tmp_path):
    images = ["b.png", "b c (1).png", "d.png", "0badcafe-d.png"]
    uploads = ["a1b2c3d4-b.png", "11111111-b_c_1.png", "0badcafe-d.png"]
    paired, problems = names_paired(tmp_path, images, uploads)
    assert sorted(paired) == ["0badcafe-d.png", "b c (1).png", "b.png"]
    assert problems == []
    found = "image found by its name without the prefix of an upload"
    assert paired["b.png"].repairs == {found: 1}
    assert not paired["0badcafe-d.png"].repairs


def test_the_ending_of_an_upload_tells_images_of_one_name_apart(tmp_path):
    images = ["b.png", "b.jpg", "c.png"]
    paired, problems = names_paired(tmp_path, images, ["a1b2c3d4-b.jpg"])
    assert list(paired) == ["b.jpg"]
    assert problems == []


def test_uploads_that_fit_two_images_or_none_are_not_guessed(tmp_path):
    images = ["b c.png", "b_c.jpg", "(b).png", "[b].png"]
    uploads = ["a1b2c3d4-b_c.jpg", "11111111-b.png", "22222222-x.png"]
    paired, problems = names_paired(tmp_path, images, uploads)
    assert list(paired) == ["b_c.jpg"]
    (problem,) = problems
    assert problem.names == ("11111111-b", "22222222-x")


def test_two_uploads_of_one_image_are_refused(tmp_path):
    uploads = ["a1b2c3d4-b.png", "11111111-b.png"]
    _, problems = names_paired(tmp_path, ["b.png", "c.png"], uploads)
    (problem,) = problems
    assert problem.names == ("b",)
    assert "annotates b, which" in problem.sentence


# As a user -----------------------------------------------------------------


def test_an_export_becomes_masks_and_a_bad_task_is_one_line(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("b", "c"):
        path = tmp_path / "images" / f"{name}.png"
        write_png(path, np.zeros((*SHAPE, 3), np.uint8))
    good = task(annotation(result("polygon", SQUARE)))
    bad = change(
        task(annotation(result("polygon", SQUARE)), image="c.png", number=8),
        "original_width",
        None,
    )
    (tmp_path / "export.json").write_text(json.dumps([good, bad]))
    done = run_script(
        SCRIPT, "images", "export.json", "--out", "out", cwd=tmp_path
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "export.json, task 8: expected original_width" in line
    mask = read_mask(tmp_path / "out" / "b" / "masks" / "b_mask_1.png")
    expected = np.zeros(SHAPE, bool)
    expected[1:5, 2:6] = True
    np.testing.assert_array_equal(mask, expected)
    assert not (tmp_path / "out" / "c").exists()


# Predictions to import -----------------------------------------------------


def test_predictions_have_what_label_studio_asks_for(tmp_path):
    tree = tmp_path / "photos" / "b"
    tree.mkdir(parents=True)
    image = tree / "b 1.png"
    write_png(image, np.zeros((*SHAPE, 3), np.uint8))
    square = shapely.box(2, 1, 6, 5)
    instances = [
        Instance(square, "roof", 0.75),
        Instance(square, "road", 0.25),
    ]
    writer = WRITERS["label-studio"](tmp_path / "out", ["road", "roof"])
    writer.add(AnnotatedImage("b 1", image, SHAPE, instances))
    writer.close()
    ((one,),) = [json.loads((tmp_path / "out" / "tasks.json").read_text())]
    assert one["data"] == {"image": "/data/local-files/?d=b/b%201.png"}
    (prediction,) = one["predictions"]
    assert prediction["model_version"] == "unet"
    assert prediction["score"] == 0.5
    first, second = prediction["result"]
    assert first["id"] != second["id"]
    points = first["value"].pop("points")
    assert sorted(points) == [[10, 10], [10, 50], [30, 10], [30, 50]]
    del first["id"]
    assert first == {
        "type": "polygonlabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": 20,
        "original_height": 10,
        "image_rotation": 0,
        "value": {"closed": True, "polygonlabels": ["roof"]},
        "score": 0.75,
    }
    again = read_file(tmp_path / "out" / "tasks.json")["b 1"]
    assert [one.label for one in again.instances] == ["roof", "road"]
